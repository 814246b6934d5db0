"""Activations that treat what is above zero and what is below apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Param, Tensor
from .elementwise import Elementwise, elementwise

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Celu", "Elu", "Prelu", "Relu", "Selu"]


@elementwise("relu")
class Relu(Elementwise):
    """x clipped to max_value from ``threshold`` on, negative_slope * (x - threshold) below it."""

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, slope = at.xp, self.negative_slope
        if self == Relu():
            zero = at.hold((), fill=0)  # a Python number would be converted every time
            return lambda: xp.maximum(x, zero, out=y)
        sloped = at.scratch(x.shape)
        if self == Relu(negative_slope=slope) and 0 <= slope <= 1:

            def leaky() -> None:
                xp.multiply(x, slope, out=sloped)
                xp.maximum(x, sloped, out=y)

            return leaky
        below = at.scratch(x.shape, bool)

        def forward() -> None:
            xp.less(x, self.threshold, out=below)
            xp.subtract(x, self.threshold, out=sloped)
            xp.multiply(sloped, slope, out=sloped)
            xp.minimum(x, math.inf if self.max_value is None else self.max_value, out=y)
            xp.copyto(y, sloped, where=below)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        if self != Relu():
            return super().backward(at, x, y, dy, dx)
        xp, above, zero = at.xp, at.scratch(x.shape, bool), at.hold((), fill=0)

        def backward() -> None:
            xp.greater(y, zero, out=above)
            xp.multiply(dy, above, out=dx)

        return backward

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        xp, mask = at.xp, at.scratch(x.shape, bool)

        def write() -> None:
            slope.fill(1)
            xp.less(x, self.threshold, out=mask)
            xp.copyto(slope, self.negative_slope, where=mask)
            if self.max_value is not None:
                xp.greater_equal(x, self.max_value, out=mask)
                xp.copyto(slope, 0, where=mask)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        if self.threshold == 0:
            y = self._sloped(tape, x)
        else:
            shifted = tape.op("Sub", [x, tape.constant(self.threshold)])
            below = tape.op("Less", [x, tape.constant(self.threshold)])
            slope = tape.op("Mul", [shifted, tape.constant(float(self.negative_slope))])
            y = tape.op("Where", [below, slope, x])
        if self.max_value is None:
            return y
        return tape.op("Min", [y, tape.constant(float(self.max_value))])

    def _sloped(self, tape: Tape, x: Value) -> Value:
        if self.negative_slope == 0:
            return tape.op("Relu", [x])
        return tape.op("LeakyRelu", [x], alpha=float(self.negative_slope))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", 3, 4))
        options = [
            cls(),
            cls(0.5),
            cls(negative_slope=0.2),
            cls(0.8, 0.3, -0.4),
            cls(None, 0.0, 0.3),
        ]
        return [(op, [x]) for op in [*options, cls(negative_slope=1.5)]]


def exponential_below(at: Frame, x: Array, y: Array, alpha: float, width: float = 1.0) -> Step:
    """A step that writes y = x above zero, alpha * (exp(x / width) - 1) below."""
    xp, below = at.xp, at.scratch(x.shape)

    def write() -> None:
        xp.minimum(x, 0, out=below)
        if width != 1:
            xp.divide(below, width, out=below)
        xp.expm1(below, out=below)
        xp.multiply(below, alpha, out=below)
        xp.maximum(x, 0, out=y)
        xp.add(y, below, out=y)

    return write


def slope_below(
    at: Frame, x: Array, y: Array, slope: Array, alpha: float, scale: float = 1.0
) -> Step:
    """A step that writes the slope of y = scale * exponential_below: y + scale * alpha below."""
    xp, above = at.xp, at.scratch(x.shape, bool)

    def write() -> None:
        xp.greater(x, 0, out=above)
        xp.add(y, scale * alpha, out=slope)
        xp.copyto(slope, scale, where=above)

    return write


@elementwise("elu")
class Elu(Elementwise):
    """x above zero, alpha * (exp(x) - 1) below."""

    alpha: float = 1.0

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return exponential_below(at, x, y, self.alpha)

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        return slope_below(at, x, y, slope, self.alpha)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Elu", [x], alpha=float(self.alpha))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(alpha), [Tensor(("N", 3, 4))]) for alpha in (1.0, 0.3)]


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
"""Klambauer et al., Self-Normalizing Neural Networks, 2017."""


@elementwise("selu")
class Selu(Elementwise):
    """scale * elu(x, alpha), with the constants of Klambauer et al. (2017)."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        elu, xp = exponential_below(at, x, y, SELU_ALPHA), at.xp

        def forward() -> None:
            elu()
            xp.multiply(y, SELU_SCALE, out=y)

        return forward

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        return slope_below(at, x, y, slope, SELU_ALPHA, SELU_SCALE)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Selu", [x], alpha=SELU_ALPHA, gamma=SELU_SCALE)


@elementwise("celu")
class Celu(Elementwise):
    """max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)."""

    alpha: float = 1.0

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return exponential_below(at, x, y, self.alpha, self.alpha)

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        xp = at.xp

        def write() -> None:
            xp.minimum(x, 0, out=slope)
            xp.divide(slope, self.alpha, out=slope)
            xp.exp(slope, out=slope)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Celu", [x], alpha=float(self.alpha))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(alpha), [Tensor(("N", 3, 4))]) for alpha in (1.0, 0.4)]


@operation("prelu", overwrites_dy=(0,))
class Prelu(Operation):
    """x above zero, alpha * x below.

    Parameter: alpha, of the shape of one row of x, with 1 on the axes it shares. ``shared_axes``
    counts the batch as axis 0.
    """

    shared_axes: tuple[int, ...] = ()

    def params(self, x: Tensor) -> Mapping[str, Param]:
        shape = [1 if i in self.shared_axes else n for i, n in enumerate(x.shape)][1:]
        return {"alpha": Param(tuple(shape))}

    def infer(self, x: Tensor) -> Tensor:
        if not all(0 < axis < x.rank for axis in self.shared_axes):
            raise ValueError(f"shared_axes {self.shared_axes} must lie in 1..{x.rank - 1}")
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y, alpha = at.xp, at.x[0], at.y[0], at.p["alpha"]
        below = at.scratch(x.shape)

        def forward() -> None:
            xp.minimum(x, 0, out=below)
            xp.multiply(below, alpha, out=below)
            xp.maximum(x, 0, out=y)
            xp.add(y, below, out=y)

        if not at.grads:
            return forward, None
        dy, dx, dalpha = at.dy[0], at.dx[0], at.dp.get("alpha")
        negative, slope = at.scratch(x.shape, bool), at.scratch(x.shape)
        axes = (0, *self.shared_axes)

        def backward() -> None:
            if dalpha is not None:
                xp.minimum(x, 0, out=slope)
                xp.multiply(slope, dy, out=slope)
                xp.add.reduce(slope, axis=axes, keepdims=True, out=dalpha[None])
            if dx is not None:
                xp.less(x, 0, out=negative)
                slope.fill(1)
                xp.copyto(slope, alpha, where=negative)
                xp.multiply(dy, slope, out=dx)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("PRelu", [tape.last(x), p["alpha"]])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        image = Tensor(("N", 3, 4, 2))
        return [(cls(), [Tensor(("N", 5))]), (cls((1, 2)), [image]), (cls((3,)), [image])]
