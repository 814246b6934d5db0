"""Converters: convolutions, fully connected layers, embeddings."""

from __future__ import annotations

from math import prod
from typing import Any

from ....runtime import ops
from ....runtime.errors import UnreadableFile, Unsupported
from ...builder import Value
from ...deferred import Array, Deferred
from ...options import Options
from ..layer import Layer, caffe, row_axis


def per_axis(param: Options, name: str, count: int, default: int | None = None) -> list[int]:
    """An option with a number for all spatial axes, or one for each; ``name``_h and _w are two.

    Raises:
        UnreadableFile: it is missing, or has another number of entries.
    """
    plain = "kernel" if name == "kernel_size" else name
    if f"{plain}_h" in param or f"{plain}_w" in param:
        if count != 2 or param.get(name):
            raise UnreadableFile(f"{param.title}: {plain}_h and {plain}_w beside {name}")
        found: list[Any] = [param.whole(f"{plain}_{side}", default or 0) for side in "hw"]
    else:
        given: Any = param.get(name)
        given = [default] if given in (None, []) else given
        found = given if isinstance(given, list) else [given]
    if len(found) not in (1, count) or not all(isinstance(n, int) and n >= 0 for n in found):
        raise UnreadableFile(f"{param.title}: {name} is {found}, for {count} spatial axes")
    return found * count if len(found) == 1 else found


def _compare(layer: Layer, param: Options, outputs: int, sizes: tuple[int, ...] = ()) -> None:
    """Notes where the param speak of other sizes than the weights, which count."""
    told = param.whole("num_output", outputs)
    if told != outputs:
        layer.notes.append(
            f"{layer.title}: num_output is {told}, the weights are for {outputs}: the weights count"
        )
    if sizes and any(name in param for name in ("kernel_size", "kernel_h", "kernel_w")):
        given = per_axis(param, "kernel_size", len(sizes))
        if given != list(sizes):
            layer.notes.append(
                f"{layer.title}: its kernel is {given}, in the weights {list(sizes)}: "
                "the weights count"
            )


def _bias(layer: Layer, param: Options, size: int, default: bool = True) -> dict[str, Deferred]:
    if not param.get("bias_term", default):
        return {}
    bias = layer.take(1)
    if bias.shape != (size,):
        raise UnreadableFile(f"{layer.title}: its bias has the shape {bias.shape}, not ({size},)")
    return {"bias": bias}


@caffe("Convolution")
def convolution(layer: Layer, x: Value) -> Value:
    param, kernel = _kernel(layer, x)
    groups, filters = param.whole("group", 1, least=1), kernel.shape[0]
    if groups > 1 and kernel.shape[1] == layer.sizes(x)[0]:
        # An export may have filled up with zeros what no group sees.
        layer.notes.append(f"{layer.title}: group is {groups}, the weights are for all channels")
        groups = 1
    return _convolved(layer, ops.Convolution, x, kernel, filters, groups)


@caffe("Deconvolution")
def deconvolution(layer: Layer, x: Value) -> Value:
    param, kernel = _kernel(layer, x)
    groups = param.whole("group", 1, least=1)
    filters = kernel.shape[1] * groups
    return _convolved(layer, ops.TransposedConvolution, x, kernel, filters, groups)


def _kernel(layer: Layer, x: Value) -> tuple[Options, Deferred]:
    """The options of a convolution, and its kernel: two axes of channels, then the spatial ones."""
    param, rank = layer.options("convolution_param"), layer.rank(x)
    if rank < 3 or row_axis(param, "axis", 1, rank) != 1:
        raise Unsupported(f"{layer.title}: it works on axis {param.get('axis')} of {rank}")
    return param, layer.take(rank)


def _convolved(
    layer: Layer,
    make: type[ops.Convolution | ops.TransposedConvolution],
    x: Value,
    kernel: Deferred,
    filters: int,
    groups: int,
) -> Value:
    param, size = layer.options("convolution_param"), kernel.shape[2:]
    _compare(layer, param, filters, size)
    bias = _bias(layer, param, filters)
    op = make(
        filters,
        size,
        strides=tuple(per_axis(param, "stride", len(size), 1)),
        padding=tuple((n, n) for n in per_axis(param, "pad", len(size), 0)),
        dilation=tuple(per_axis(param, "dilation", len(size), 1)),
        groups=groups,
        use_bias=bool(bias),
    )
    order = (*range(2, len(kernel.shape)), 1, 0)
    return layer.images(op, x, kernel=kernel.map(lambda array: array.transpose(order)), **bias)


@caffe("InnerProduct")
def inner_product(layer: Layer, x: Value) -> Value:
    param, sizes = layer.options("inner_product_param"), layer.sizes(x)
    axis = row_axis(param, "axis", 1, layer.rank(x))
    stored = layer.take(2)
    kernel = stored if param.get("transpose", False) else stored.map(lambda array: array.T)
    units = kernel.shape[1]
    _compare(layer, param, units)
    bias = _bias(layer, param, units)
    op = ops.Dense(units, bool(bias))
    if axis == 1 and x.axes:
        return _flattened(layer, op, x, kernel, bias)
    if axis < len(sizes):
        x = layer.on_plain(ops.Reshape((*sizes[: axis - 1], -1)), x)
    return layer.on_plain(op, x, kernel=kernel, **bias)


def _flattened(
    layer: Layer, op: ops.Dense, x: Value, kernel: Deferred, bias: dict[str, Deferred]
) -> Value:
    """After a layer that has its channels last, the kernel's rows are turned, not the values."""
    sizes, order = layer.sizes(x), tuple(x.axes.index(i) - 1 for i in range(1, len(x.axes)))
    inputs, units = kernel.shape
    if inputs != prod(sizes):
        raise UnreadableFile(
            f"{layer.title}: its weights are for {inputs} inputs, it is given {sizes}"
        )

    def turned(array: Array) -> Array:
        parted = array.reshape(*sizes, units)
        return parted.transpose(*order, len(order)).reshape(inputs, units)

    flat = layer.add(ops.Flatten(), x.name)
    return Value(layer.add(op, flat, kernel=kernel.map(turned), **bias))


@caffe("Embed")
def embed(layer: Layer, x: Value) -> Value:
    param = layer.options("embed_param")
    table = layer.take(2)
    vocabulary, units = table.shape
    param.whole("input_dim", vocabulary)
    _compare(layer, param, units)
    y = layer.on_plain(ops.Embedding(vocabulary, units), x, table=table)
    for bias in _bias(layer, param, units).values():
        value = layer.add(ops.Constant((units,), trainable=True), value=bias)
        y = Value(layer.add(ops.Add(), y.name, value))
    return y
