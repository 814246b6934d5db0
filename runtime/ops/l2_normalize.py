"""Vectors made one long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import Tensor
from .reduce import checked, ones, reduced

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["L2Normalize"]


@operation("l2_normalize")
class L2Normalize(Operation):
    """x / sqrt(max(sum of x**2 along ``axes``, epsilon)); None is every axis, the batch included.

    TensorFlow's ``l2_normalize``. Keras 3's ``normalize`` and UnitNormalization bound the root, not
    the sum: their epsilon is the root of this one.
    """

    axes: tuple[int, ...] | None = (-1,)
    epsilon: float = 1e-12

    def infer(self, x: Tensor) -> Tensor:
        if 0 in checked(self.axes, x.rank) and isinstance(x.shape[0], str):
            raise ValueError("axis 0 is the batch")
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        axes = checked(self.axes, x.ndim)
        one = ones(x.shape, axes)
        factor, long, squares = at.keep(one), at.keep(one, bool), at.scratch(x.shape)

        def forward() -> None:
            xp.multiply(x, x, out=squares)
            xp.add.reduce(squares, axis=axes, keepdims=True, out=factor)
            xp.greater(factor, self.epsilon, out=long)
            xp.maximum(factor, self.epsilon, out=factor)
            xp.sqrt(factor, out=factor)
            xp.reciprocal(factor, out=factor)
            xp.multiply(x, factor, out=y)

        if not at.grads:
            return forward, None
        dy, dx, along = at.dy[0], at.dx[0], at.scratch(one)

        def backward() -> None:  # factor * (dy - y * sum(dy * y)), or factor * dy for a short one
            xp.multiply(dy, y, out=squares)
            xp.add.reduce(squares, axis=axes, keepdims=True, out=along)
            xp.multiply(along, long, out=along)
            xp.multiply(y, along, out=squares)
            xp.subtract(dy, squares, out=dx)
            xp.multiply(dx, factor, out=dx)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        total = reduced(tape, "ReduceSumSquare", x, self.axes, keepdims=True)
        bounded = tape.op("Max", [total, tape.constant(float(self.epsilon))])
        return tape.op("Div", [x, tape.op("Sqrt", [bounded])])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", 2, 3, 4))
        return [(cls(), [x]), (cls((1, 2), 1e-3), [x]), (cls((1,), 3.0), [Tensor(("N", 3))])]
