"""Activations made of straight lines, and their smooth likes: hard and shrinking ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Array, Frame
from ..op import Example, Step
from ..tensor import Tensor
from .elementwise import Elementwise, elementwise

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = [
    "Clip",
    "HardShrink",
    "HardSigmoid",
    "HardTanh",
    "SoftShrink",
    "SparsePlus",
    "TanhShrink",
    "Threshold",
]


@elementwise("hard_sigmoid")
class HardSigmoid(Elementwise):
    """slope * x + offset clipped to [0, 1]; Keras 1 and 2 have a slope of 0.2, Keras 3 of 1/6."""

    slope: float = 0.2
    offset: float = 0.5

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp = at.xp

        def forward() -> None:
            xp.multiply(x, self.slope, out=y)
            xp.add(y, self.offset, out=y)
            xp.clip(y, 0, 1, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, inside, below = at.xp, at.scratch(x.shape, bool), at.scratch(x.shape, bool)

        def backward() -> None:
            xp.greater(y, 0, out=inside)
            xp.less(y, 1, out=below)
            xp.logical_and(inside, below, out=inside)
            xp.multiply(dy, inside, out=dx)
            xp.multiply(dx, self.slope, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("HardSigmoid", [x], alpha=float(self.slope), beta=float(self.offset))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", 3, 4))
        return [(cls(), [x]), (cls(1 / 6), [x]), (cls(2.0, 0.1), [x])]


@elementwise("hard_tanh")
class HardTanh(Elementwise):
    """x clipped to [-1, 1]."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return lambda: at.xp.clip(x, -1, 1, out=y)

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, size, inside = at.xp, at.scratch(x.shape), at.scratch(x.shape, bool)

        def backward() -> None:
            xp.absolute(y, out=size)
            xp.less(size, 1, out=inside)
            xp.multiply(dy, inside, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Clip", [x, tape.constant(-1.0), tape.constant(1.0)])


@elementwise("hard_shrink")
class HardShrink(Elementwise):
    """x where abs(x) > threshold, else 0."""

    threshold: float = 0.5

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return _only_outside(at, self.threshold, x, x, y)

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        return _only_outside(at, self.threshold, x, dy, dx)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Shrink", [x], lambd=float(self.threshold), bias=0.0)


@elementwise("soft_shrink")
class SoftShrink(Elementwise):
    """x moved towards zero by ``threshold``, and 0 within it."""

    threshold: float = 0.5

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, inside = at.xp, at.scratch(x.shape)

        def forward() -> None:
            xp.clip(x, -self.threshold, self.threshold, out=inside)
            xp.subtract(x, inside, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        return _only_outside(at, self.threshold, x, dy, dx)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        threshold = float(self.threshold)
        return tape.op("Shrink", [x], lambd=threshold, bias=threshold)


@elementwise("tanh_shrink")
class TanhShrink(Elementwise):
    """x - tanh(x)."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, tanh = at.xp, at.scratch(x.shape)

        def forward() -> None:
            xp.tanh(x, out=tanh)
            xp.subtract(x, tanh, out=y)

        return forward

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        xp = at.xp

        def write() -> None:
            xp.tanh(x, out=slope)
            xp.multiply(slope, slope, out=slope)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Sub", [x, tape.op("Tanh", [x])])


@elementwise("clip")
class Clip(Elementwise):
    """x clipped to [low, high]; None leaves a side open."""

    low: float | None = None
    high: float | None = None

    def infer(self, x: Tensor) -> Tensor:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return x

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, (low, high) = at.xp, self._bounds()
        return lambda: xp.clip(x, low, high, out=y)

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, (low, high) = at.xp, self._bounds()
        inside, below = at.scratch(x.shape, bool), at.scratch(x.shape, bool)

        def backward() -> None:
            xp.greater_equal(x, low, out=inside)
            xp.less_equal(x, high, out=below)
            xp.logical_and(inside, below, out=inside)
            xp.multiply(dy, inside, out=dx)

        return backward

    def _bounds(self) -> tuple[float, float]:
        low = -math.inf if self.low is None else self.low
        return low, math.inf if self.high is None else self.high

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        low, high = self._bounds()
        return tape.op("Clip", [x, tape.constant(float(low)), tape.constant(float(high))])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", 3, 4))
        return [(op, [x]) for op in (cls(-0.5, 1), cls(low=0.3), cls(high=0.2))]


@elementwise("threshold")
class Threshold(Elementwise):
    """x where x > threshold, else ``value``."""

    threshold: float
    value: float

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, below = at.xp, at.scratch(x.shape, bool)

        def forward() -> None:
            xp.greater(x, self.threshold, out=below)
            xp.logical_not(below, out=below)
            xp.copyto(y, x)
            xp.copyto(y, self.value, where=below)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, above = at.xp, at.scratch(x.shape, bool)

        def backward() -> None:
            xp.greater(x, self.threshold, out=above)
            xp.multiply(dy, above, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        above = tape.op("Greater", [x, tape.constant(float(self.threshold))])
        return tape.op("Where", [above, x, tape.constant(float(self.value))])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(0.2, -3.0), [Tensor(("N", 3, 4))])]


@elementwise("sparse_plus")
class SparsePlus(Elementwise):
    """0 up to -1, (x + 1)**2 / 4 up to 1, then x; its slope is the hard sigmoid (x + 1) / 2."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, ramp = at.xp, at.scratch(x.shape)
        write_ramp = _RAMP.forward(at, x, ramp)

        def forward() -> None:  # ramp**2 + max(x - 1, 0)
            write_ramp()
            xp.multiply(ramp, ramp, out=ramp)
            xp.subtract(x, 1, out=y)
            xp.maximum(y, 0, out=y)
            xp.add(y, ramp, out=y)

        return forward

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        return _RAMP.forward(at, x, slope)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        ramp = _RAMP.onnx(tape, p, x)
        above = tape.op("Relu", [tape.op("Sub", [x, tape.constant(1.0)])])
        return tape.op("Add", [tape.op("Mul", [ramp, ramp]), above])


_RAMP = HardSigmoid(0.5, 0.5)


def _only_outside(at: Frame, threshold: float, x: Array, source: Array, to: Array) -> Step:
    """A step that writes ``source`` where abs(x) > threshold, else 0."""
    xp, size, outside = at.xp, at.scratch(x.shape), at.scratch(x.shape, bool)

    def write() -> None:
        xp.absolute(x, out=size)
        xp.greater(size, threshold, out=outside)
        xp.multiply(source, outside, out=to)

    return write
