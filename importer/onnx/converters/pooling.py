"""Pools of windows, and of everything."""

from __future__ import annotations

from ....runtime import ops
from ....runtime.errors import UnreadableFile, Unsupported
from ....runtime.op import Operation
from ...builder import Value, channels_first
from ..call import Call, onnx
from ..sliding import Pairs, Windows, windows


@onnx("MaxPool", "AveragePool")
def pool(call: Call) -> Value:
    x = call.value(0)
    rank = len(call.shape(x))
    if len([name for name in call.outputs if name]) > 1:
        raise Unsupported(f"{call.title}: its indices are wanted")
    call.options.ignore("storage_order")  # of the indices
    kernel = tuple(call.options["kernel_shape"])
    if rank < 3 or len(kernel) != rank - 2:
        raise UnreadableFile(f"{call.title}: windows of {kernel} over {call.shape(x)}")
    name = call.builder.channels_last(x, call.layer)
    sizes = call.builder.types[name].shape[1:-1]
    w = windows(call, kernel, sizes)
    counts = bool(call.options.get("count_include_pad", 0))
    last = (0,) * len(kernel)
    if call.options.get("ceil_mode", 0) and w.padding != "same":
        last = _beyond(call, w, sizes)
    return channels_first(_pooled(call, name, w, counts, last), rank)


def _pooled(call: Call, name: str, w: Windows, counts: bool, last: tuple[int, ...]) -> str:
    """The pool; ``last`` is how far windows reach beyond the padding, which never counts."""
    padding = w.padding
    if any(last):
        if counts and any(map(any, w.pairs)):
            name = call.add(ops.ZeroPadding(w.pairs), name)
            padding, counts = tuple((0, more) for more in last), False
        else:
            padding = _further(w.pairs, last)
            counts = False
    if call.kind == "MaxPool":
        return call.add(ops.MaxPooling(w.kernel, w.strides, padding, w.dilation), name)
    op = ops.AveragePooling(w.kernel, w.strides, padding, counts, w.dilation)
    return call.add(op, name)


def _further(pairs: Pairs, last: tuple[int, ...]) -> Pairs:
    return tuple((a, b + more) for (a, b), more in zip(pairs, last, strict=True))


def _beyond(call: Call, w: Windows, sizes: tuple[object, ...]) -> tuple[int, ...]:
    """How far the last windows reach beyond the padding; they begin within it.

    Raises:
        Unsupported: it depends on an open size.
    """
    found: list[int] = []
    for i, size in enumerate(sizes):
        if not isinstance(size, int):
            raise Unsupported(f"{call.title}: ceil_mode of the open size {size}")
        before, after = w.pairs[i]
        whole = size + before + after
        count = -(-(whole - w.extent[i]) // w.strides[i]) + 1
        if (count - 1) * w.strides[i] >= size + before:
            count -= 1
        found.append(max((count - 1) * w.strides[i] + w.extent[i] - whole, 0))
    return tuple(found)


@onnx("GlobalAveragePool", "GlobalMaxPool")
def global_pool(call: Call) -> Value:
    x = call.value(0)
    rank = len(call.shape(x))
    average = call.kind == "GlobalAveragePool"
    op: Operation = (ops.GlobalAveragePooling if average else ops.GlobalMaxPooling)(keepdims=True)
    return channels_first(call.add(op, call.builder.channels_last(x, call.layer)), rank)
