"""Convolutions. Their channels are last in the graph, whatever ONNX has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....runtime import ops
from ....runtime.errors import UnreadableFile, Unsupported
from ....runtime.op import Operation
from ...builder import Value, channels_first
from ..call import Call, onnx
from ..known import Known
from ..sliding import Pairs, windows

Array = NDArray[np.float32]


def _input(call: Call, kernel: Known) -> tuple[str, int]:
    """(the input with its channels last, its rank)."""
    x = call.value(0)
    rank = len(call.shape(x))
    if rank < 3 or len(kernel.shape) != rank:
        raise UnreadableFile(f"{call.title}: weights of {kernel.shape} for {call.shape(x)}")
    return call.builder.channels_last(x, call.layer), rank


def _last(array: Array) -> Array:
    """The first two axes behind the spatial ones, in the other order."""
    return np.moveaxis(array, (0, 1), (-1, -2))


def _with_bias(call: Call, op: Operation, x: str, rank: int, kernel: str) -> Value:
    params = {"kernel": kernel}
    if call.given(2) is not None:
        params["bias"] = call.weight(call.known(2))
    return channels_first(call.add(op, x, **params), rank)


@onnx("Conv")
def convolution(call: Call) -> Value:
    kernel = call.known(1)
    name, rank = _input(call, kernel)
    filters, groups = kernel.shape[0], call.options.whole("group", 1, 1)
    size = kernel.shape[2:]
    w = windows(call, size, call.builder.types[name].shape[1:-1])
    channels = call.builder.types[name].shape[-1]
    if channels != kernel.shape[1] * groups or filters % groups:
        raise UnreadableFile(
            f"{call.title}: weights of {kernel.shape} in {groups} groups for {channels} channels"
        )
    op = ops.Convolution(
        filters, size, w.strides, w.padding, w.dilation, groups, call.given(2) is not None
    )
    return _with_bias(call, op, name, rank, call.weight(kernel, _last, "channels last"))


@onnx("ConvTranspose")
def transposed_convolution(call: Call) -> Value:
    kernel = call.known(1)
    if call.options.whole("group", 1, 1) != 1:
        raise call.options.refuse("group")
    name, rank = _input(call, kernel)
    size, filters = kernel.shape[2:], kernel.shape[1]
    sizes = call.builder.types[name].shape[1:-1]
    more = tuple(call.options.get("output_padding", (0,) * len(size)))
    padding = _crop(call, size, sizes, more)
    w = windows(call, size, sizes)
    op = ops.TransposedConvolution(
        filters, size, w.strides, padding, more, w.dilation, call.given(2) is not None
    )
    return _with_bias(call, op, name, rank, call.weight(kernel, _last, "channels last"))


def _crop(
    call: Call, size: tuple[int, ...], sizes: tuple[object, ...], more: tuple[int, ...]
) -> Pairs:
    """What is cropped before and after each axis."""
    from ....runtime.tensor import Size

    shape: tuple[Size, ...] = tuple(n for n in sizes if isinstance(n, int | str))
    wanted = call.options.get("output_shape")
    auto = call.options.get("auto_pad", b"NOTSET")
    auto = auto.decode("ascii", "replace") if isinstance(auto, bytes) else auto
    w = windows(call, size, shape)
    if wanted is None and not auto.startswith("SAME"):
        return w.pairs
    if not all(isinstance(n, int) for n in shape):
        raise Unsupported(f"{call.title}: an output of known size of an input of {shape}")
    numbers = [int(n) for n in shape]
    target = wanted or [n * stride for n, stride in zip(numbers, w.strides, strict=True)]
    target = target[-len(size) :]
    pairs: list[tuple[int, int]] = []
    for i, n in enumerate(numbers):
        total = w.strides[i] * (n - 1) + more[i] + w.extent[i] - target[i]
        if total < 0:
            raise Unsupported(f"{call.title}: an output of {tuple(target)} is too large")
        half = total // 2
        pairs.append((half, total - half) if auto != "SAME_LOWER" else (total - half, half))
    return tuple(pairs)
