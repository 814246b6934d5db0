"""Converters: pooling, in the sizes that Caffe gives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ....runtime import ops
from ....runtime.errors import UnreadableFile, Unsupported
from ...builder import Value
from ...options import Options
from ..layer import Layer, caffe
from .convolution import per_axis


class Along(NamedTuple):
    """How windows lie along an axis, as ``PoolingLayer::Reshape`` of Caffe has it.

    Their number is rounded up. Where there is padding, one that would begin behind the image and
    the padding before it is left out.
    """

    size: int
    kernel: int
    stride: int
    pad: int
    is_floor: bool

    @property
    def windows(self) -> int:
        """Number of windows."""
        span = self.size + 2 * self.pad - self.kernel
        count = (span if self.is_floor else span + self.stride - 1) // self.stride + 1
        if self.pad and (count - 1) * self.stride >= self.size + self.pad:
            count -= 1
        return count

    @property
    def end(self) -> int:
        """Where the last window ends, counted from the image's first element."""
        return (self.windows - 1) * self.stride + self.kernel - self.pad

    @property
    def is_whole(self) -> bool:
        """Whether there are windows at all, each with something of the image in it."""
        if self.stride < 1:
            return False
        begins = (self.windows - 1) * self.stride - self.pad
        return 0 <= self.pad < self.kernel and self.windows > 0 and begins < self.size


@caffe("Pooling")
def pooling(layer: Layer, x: Value) -> Value:
    param = layer.options("pooling_param")
    kind = param.get("pool", "MAX")
    if kind not in ("MAX", "AVE"):
        raise param.refuse("pool")
    if layer.rank(x) != 4:
        raise UnreadableFile(f"{layer.title}: its input {layer.shape(x)} is no image")
    if len(layer.facts.tops) > 1:
        raise Unsupported(f"{layer.title}: its second top, where the maxima are, is not supported")
    if param.get("global_pooling", False):
        param.ignore("pad", "pad_h", "pad_w", "stride", "stride_h", "stride_w", "round_mode")
        whole = ops.GlobalMaxPooling if kind == "MAX" else ops.GlobalAveragePooling
        return layer.images(whole(keepdims=True), x)
    return (_largest if kind == "MAX" else _mean)(layer, x, _along(layer, param, x))


def _along(layer: Layer, param: Options, x: Value) -> Sequence[Along]:
    sizes, is_floor = layer.sizes(x)[1:], param.get("round_mode", "CEIL") == "FLOOR"
    kernel, strides = per_axis(param, "kernel_size", 2), per_axis(param, "stride", 2, 1)
    pads = per_axis(param, "pad", 2, 0)
    lies = zip(sizes, kernel, strides, pads, strict=True)
    axes = [Along(*along, is_floor) for along in lies]
    if not all(axis.is_whole for axis in axes):
        raise UnreadableFile(
            f"{layer.title}: windows of {kernel}, {strides} apart and padded by {pads}, "
            f"do not fit an image of {sizes}"
        )
    return axes


def _largest(layer: Layer, x: Value, axes: Sequence[Along]) -> Value:
    padding = tuple((axis.pad, max(axis.end - axis.size, 0)) for axis in axes)
    return layer.images(ops.MaxPooling(*_windows(axes), padding), x)


def _mean(layer: Layer, x: Value, axes: Sequence[Along]) -> Value:
    """Padding counts, but not what a window that is rounded up to has beyond the padding."""
    beyond = [axis.end - axis.size - axis.pad for axis in axes]
    padding = tuple((axis.pad, axis.pad) for axis in axes)
    if max(beyond) <= 0:
        return layer.images(ops.AveragePooling(*_windows(axes), padding, count_padding=True), x)
    if any(axis.pad for axis in axes):
        x = layer.images(ops.ZeroPadding(padding), x)
    more = tuple((0, max(n, 0)) for n in beyond)
    return layer.images(ops.AveragePooling(*_windows(axes), more), x)


def _windows(axes: Sequence[Along]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(axis.kernel for axis in axes), tuple(axis.stride for axis in axes)
