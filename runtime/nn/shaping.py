"""Layers that only move elements, or collapse an axis."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from .. import ops
from ..op import Operation
from ..tensor import Tensor
from .layers import LayerSpec, layer
from .net import Net


@layer("flatten")
class Flatten(LayerSpec):
    """All of an example as one axis."""

    def op(self, *x: Tensor) -> Operation:
        return ops.Flatten()


@layer("reshape")
class Reshape(LayerSpec):
    """An example's elements in another shape; one size may be -1."""

    shape: tuple[int, ...]

    def op(self, *x: Tensor) -> Operation:
        return ops.Reshape(tuple(self.shape))


@layer("transpose")
class Transpose(LayerSpec):
    """An example's axes in another order; they count from 1, for the batch is axis 0."""

    axes: tuple[int, ...]

    def op(self, *x: Tensor) -> Operation:
        return ops.Transpose((0, *self.axes))


@layer("slice")
class Slice(LayerSpec):
    """The elements from ``begin`` to before ``end`` along an axis, every ``step``-th."""

    begin: int | None = None
    end: int | None = None
    step: int | None = field(default=None, kw_only=True)
    axis: int = field(default=-1, kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        rank = x[0].rank
        if not -rank < self.axis < rank or self.axis == 0:
            raise ValueError(f"an example has no axis {self.axis}")
        before = (None,) * (self.axis % rank)
        return ops.StridedSlice((*before, self.begin), (*before, self.end), (*before, self.step))


@layer("collapse")
class Collapse(LayerSpec):
    """The last step of a sequence, or the sum, the mean or the largest of all."""

    how: Literal["last", "sum", "mean", "max"] = "last"

    def build(self, net: Net, name: str, *x: str) -> str:
        if net.types[x[0]].rank < 3:
            raise ValueError("needs a sequence")
        if self.how != "last":
            return self.add(net, _COLLAPSING[self.how], name, *x)
        last = net.add(ops.Take((-1,), 1), *x, name=f"{name}/last")
        return self.add(net, ops.Squeeze((1,)), name, last)


_COLLAPSING = {
    "sum": ops.ReduceSum((1,)),
    "mean": ops.ReduceMean((1,)),
    "max": ops.ReduceMax((1,)),
}
