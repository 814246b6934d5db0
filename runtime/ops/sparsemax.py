"""Keras's sparsemax."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Tensor

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Sparsemax"]


@operation("sparsemax")
class Sparsemax(Operation):
    """max(x - threshold, 0) along ``axis``, as every backend of Keras 3 computes it.

    Of the elements in falling order z1, z2, ... those count whose zj > (z1 + ... + zj - 1) / j; say
    there are k. For the threshold Martins and Astudillo (2016) take (z1 + ... + zk - 1) / k, and
    the result adds up to 1. Keras adds up all k partial sums there, not the last alone, so where
    k > 1 its result differs. Networks were trained with that: it is what is computed.
    """

    axis: int = -1

    def infer(self, x: Tensor) -> Tensor:
        if not -x.rank <= self.axis < x.rank:
            raise ValueError(f"has no axis {self.axis}")
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, axis, x, y = at.xp, self.axis % at.x[0].ndim, at.x[0], at.y[0]
        one = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
        count, lowest, threshold = at.keep(one), at.keep(one), at.scratch(one)
        ordered, sums, limits = (at.scratch(x.shape) for _ in range(3))
        counts = at.scratch(x.shape, bool)
        column = (x.shape[axis], *[1] * (x.ndim - axis - 1))
        ranks = at.hold(column, fill=xp.arange(1, x.shape[axis] + 1).reshape(column))

        def forward() -> None:
            xp.negative(x, out=ordered)
            ordered.sort(axis=axis)
            xp.negative(ordered, out=ordered)
            xp.cumsum(ordered, axis=axis, out=sums)
            xp.subtract(sums, 1, out=limits)
            xp.divide(limits, ranks, out=limits)
            xp.greater(ordered, limits, out=counts)
            xp.add.reduce(counts, axis=axis, keepdims=True, dtype=count.dtype, out=count)
            xp.multiply(sums, counts, out=sums)
            xp.add.reduce(sums, axis=axis, keepdims=True, out=threshold)
            xp.subtract(threshold, 1, out=threshold)
            xp.divide(threshold, count, out=threshold)
            xp.subtract(x, threshold, out=y)
            xp.maximum(y, 0, out=y)
            xp.logical_not(counts, out=counts)
            xp.copyto(ordered, math.inf, where=counts)
            xp.min(ordered, axis=axis, keepdims=True, out=lowest)

        return forward, self._backward(at, axis, count, lowest) if at.grads else None

    def _backward(self, at: Frame, axis: int, count: Array, lowest: Array) -> Step:
        """An element that counts is in the partial sums of all that count and are no larger."""
        xp, x, y, dy, dx = at.xp, at.x[0], at.y[0], at.dy[0], at.dx[0]
        positive, counts = at.scratch(x.shape, bool), at.scratch(x.shape, bool)
        lanes, counting = xp.moveaxis(x, axis, -1), xp.moveaxis(counts, axis, -1)
        pairs = at.scratch((*lanes.shape, lanes.shape[-1]), bool)
        times, slopes = at.scratch(lanes.shape), at.scratch(x.shape)
        times_there, total = xp.moveaxis(times, -1, axis), at.scratch(count.shape)

        def backward() -> None:
            xp.greater_equal(x, lowest, out=counts)
            xp.less_equal(lanes[..., None, :], lanes[..., :, None], out=pairs)
            xp.logical_and(pairs, counting[..., None, :], out=pairs)
            xp.add.reduce(pairs, axis=-1, dtype=times.dtype, out=times)
            xp.multiply(times_there, counts, out=slopes)
            xp.divide(slopes, count, out=slopes)  # of the threshold
            xp.greater(y, 0, out=positive)
            xp.multiply(dy, positive, out=dx)
            xp.add.reduce(dx, axis=axis, keepdims=True, out=total)
            xp.multiply(slopes, total, out=slopes)
            xp.subtract(dx, slopes, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        x = tape.last(x)
        axis, one, at_axis = self.axis % x.rank, tape.constant(1.0), tape.constant([self.axis])
        shape = tape.op("Shape", [x], rank=1)
        size = tape.op("Shape", [x], rank=1, start=axis, end=axis + 1)
        ordered, _ = tape.op("TopK", [x, size], outputs=2, axis=axis)
        sums = tape.op("CumSum", [ordered, at_axis])
        ones = tape.op("Expand", [one, shape], rank=x.rank)
        limits = tape.op("Div", [tape.op("Sub", [sums, one]), tape.op("CumSum", [ones, at_axis])])
        counts = tape.cast(tape.op("Greater", [ordered, limits]), "float")
        count = tape.op("ReduceSum", [counts, at_axis])
        total = tape.op("ReduceSum", [tape.op("Mul", [sums, counts]), at_axis])
        threshold = tape.op("Div", [tape.op("Sub", [total, one]), count])
        return tape.op("Relu", [tape.op("Sub", [x, threshold])])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(), [Tensor(("N", 5))]), (cls(1), [Tensor(("N", "T", 3))])]
