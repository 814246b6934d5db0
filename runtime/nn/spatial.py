"""Convolutions and pooling of images, sequences and volumes."""

from __future__ import annotations

from dataclasses import field, replace
from math import prod
from typing import Any, ClassVar, Literal

from .. import ops
from ..op import Operation
from ..tensor import Tensor
from .connected import Product
from .layers import LayerSpec, layer
from .net import Net

Pair = int | tuple[int, ...]
Pad = int | tuple[int, ...] | Literal["same"]


@layer("convolutional", "convolution", "conv")
class Convolutional(Product):
    """A convolution; ``pad`` is on both sides of each axis, "same" what keeps the size."""

    kernel: Pair
    filters: int = field(kw_only=True)
    pad: Pad = field(default=0, kw_only=True)
    stride: Pair = field(default=1, kw_only=True)
    dilation: Pair = field(default=1, kw_only=True)
    groups: int = field(default=1, kw_only=True)

    def build(self, net: Net, name: str, *x: str) -> str:
        rank = net.types[x[0]].rank - 2
        op = ops.Convolution(
            self.filters,
            per_axis(self.kernel, rank),
            per_axis(self.stride, rank),
            padding(self.pad, rank),
            per_axis(self.dilation, rank),
            self.groups,
            self.biased,
        )
        return self.product(net, op, name, *x)


@layer("transposed_convolutional", "deconvolution", "deconv")
class TransposedConvolutional(Product):
    """The transpose of a convolution; ``pad`` is what is cut off both ends of each axis.

    ``tied`` names a convolution whose kernel is this one's, too.
    """

    kernel: Pair
    filters: int = field(kw_only=True)
    pad: Pad = field(default=0, kw_only=True)
    stride: Pair = field(default=1, kw_only=True)
    tied: str = field(default="", kw_only=True)

    def build(self, net: Net, name: str, *x: str) -> str:
        rank = net.types[x[0]].rank - 2
        op = ops.TransposedConvolution(
            self.filters,
            per_axis(self.kernel, rank),
            per_axis(self.stride, rank),
            padding(self.pad, rank),
            use_bias=self.biased,
        )
        params = {"kernel": net.kernel(self.tied)} if self.tied else None
        return self.product(net, op, name, *x, params=params)


@layer("max_pooling")
class MaxPooling(LayerSpec):
    """The largest of windows, which follow each other unless ``stride`` says otherwise.

    ``round_up``: a window that only a part of the input fills counts, as in Caffe and the first
    seed.
    """

    size: Pair
    stride: Pair | None = field(default=None, kw_only=True)
    pad: Pad = field(default=0, kw_only=True)
    round_up: bool = field(default=False, kw_only=True)

    pooling: ClassVar[Any] = ops.MaxPooling

    def op(self, *x: Tensor) -> Operation:
        rank = x[0].rank - 2
        size = per_axis(self.size, rank)
        stride = per_axis(self.stride, rank) if self.stride is not None else size
        pads = padding(self.pad, rank)
        if self.round_up and pads != "same":
            pads = _rounded_up(x[0].shape[1:-1], size, stride, pads)
        return self.pooling(size, stride, pads)


@layer("average_pooling")
class AveragePooling(MaxPooling):
    """The mean of windows, without what is padded; with ``count_padding`` these zeros count."""

    count_padding: bool = field(default=False, kw_only=True)

    pooling: ClassVar[Any] = ops.AveragePooling

    def op(self, *x: Tensor) -> Operation:
        op: Any = super().op(*x)
        return replace(op, count_padding=self.count_padding)


@layer("l2_pooling")
class L2Pooling(MaxPooling):
    """The root of the sum of squares of windows."""

    pooling: ClassVar[Any] = ops.AveragePooling

    def build(self, net: Net, name: str, *x: str) -> str:
        area = prod(per_axis(self.size, net.types[x[0]].rank - 2))
        squares = net.add(ops.Square(), *x, name=f"{name}/squares")
        op: Any = self.op(net.types[squares])  # what is padded adds nothing to the sum
        means = net.add(replace(op, count_padding=True), squares, name=f"{name}/means")
        # The offset gives the root a slope where a whole window is zero.
        sums = net.add(ops.Scale(float(area), 1e-12), means, name=f"{name}/sums")
        return net.add(ops.Sqrt(), sums, name=name)


@layer("global_average_pooling")
class GlobalAveragePooling(LayerSpec):
    """The mean of each channel."""

    def op(self, *x: Tensor) -> Operation:
        return ops.GlobalAveragePooling()


@layer("global_max_pooling")
class GlobalMaxPooling(LayerSpec):
    """The largest element of each channel."""

    def op(self, *x: Tensor) -> Operation:
        return ops.GlobalMaxPooling()


@layer("roi_pooling")
class RoiPooling(LayerSpec):
    """Each region of an image brought to one ``size``, by the largest of each of its windows.

    Its two inputs are the images and the regions: left, top, right and bottom of each box, in
    units of which the images have ``scale`` to an element (Girshick 2015).
    """

    size: Pair = (7, 7)
    scale: float = field(default=1 / 16, kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        if len(x) != 2:
            raise ValueError(f"needs images and regions, not {len(x)} inputs")
        down, across = per_axis(self.size, 2)
        return ops.RoiPooling((down, across), self.scale)


def per_axis(size: Pair, rank: int) -> tuple[int, ...]:
    """A size for each axis."""
    sizes = (size,) * rank if isinstance(size, int) else tuple(size)
    if len(sizes) != rank or rank < 1:
        raise ValueError(f"{size} has not a size for each of {max(rank, 0)} spatial axes")
    return sizes


def padding(pad: Pad, rank: int) -> Any:
    """As the operations have it."""
    if pad == "same":
        return "same"
    pads = per_axis(pad, rank)
    return tuple((n, n) for n in pads) if any(pads) else "valid"


def _rounded_up(sizes: Any, size: Any, stride: Any, pads: Any) -> Any:
    """The padding with which the last window counts, however little of it the input fills."""
    pairs = ((0, 0),) * len(size) if pads == "valid" else pads
    found: list[tuple[int, int]] = []
    for n, k, step, (before, after) in zip(sizes, size, stride, pairs, strict=True):
        if not isinstance(n, int):
            raise ValueError("round_up needs an input whose sizes are known")
        spare = n + before + after - k
        more = -spare % step
        # Caffe: a window must begin in the input or in what is padded before it.
        if more and (spare + more) >= n + before:
            more = 0
        found.append((before, after + more))
    return tuple(found) if any(map(any, found)) else "valid"
