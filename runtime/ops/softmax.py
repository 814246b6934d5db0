"""Softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import Tensor

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["LogSoftmax", "Softmax"]


class OverAxis(Operation):
    """A function of the elements along one axis, together."""

    axis: int

    def infer(self, x: Tensor) -> Tensor:
        if not -x.rank <= self.axis < x.rank:
            raise ValueError(f"has no axis {self.axis}")
        return x


@operation("softmax", overwrites=(0,), overwrites_dy=(0,))
class Softmax(OverAxis):
    """exp(x) over its sum along ``axis``."""

    axis: int = -1

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, axis, x, y = at.xp, self.axis, at.x[0], at.y[0]
        one = _reduced(x.shape, axis)
        extreme = at.scratch(one)

        def forward() -> None:
            xp.max(x, axis=axis, keepdims=True, out=extreme)
            xp.subtract(x, extreme, out=y)
            xp.exp(y, out=y)
            xp.add.reduce(y, axis=axis, keepdims=True, out=extreme)
            xp.divide(y, extreme, out=y)

        if not at.grads:
            return forward, None
        dy, dx, product, mean = at.dy[0], at.dx[0], at.scratch(x.shape), at.scratch(one)

        def backward() -> None:
            xp.multiply(dy, y, out=product)
            xp.add.reduce(product, axis=axis, keepdims=True, out=mean)
            xp.subtract(dy, mean, out=dx)
            xp.multiply(dx, y, out=dx)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Softmax", [x], axis=tape.axis(x, self.axis))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(axis), [Tensor(("N", 3, 4))]) for axis in (-1, 1, 2)]


@operation("log_softmax", overwrites=(0,), overwrites_dy=(0,))
class LogSoftmax(OverAxis):
    """log(softmax(x)) along ``axis``."""

    axis: int = -1

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, axis, x, y = at.xp, self.axis, at.x[0], at.y[0]
        one, powers = at.scratch(_reduced(x.shape, axis)), at.scratch(x.shape)

        def forward() -> None:
            xp.max(x, axis=axis, keepdims=True, out=one)
            xp.subtract(x, one, out=y)
            xp.exp(y, out=powers)
            xp.add.reduce(powers, axis=axis, keepdims=True, out=one)
            xp.log(one, out=one)
            xp.subtract(y, one, out=y)

        if not at.grads:
            return forward, None
        dy, dx = at.dy[0], at.dx[0]

        def backward() -> None:
            xp.add.reduce(dy, axis=axis, keepdims=True, out=one)
            xp.exp(y, out=powers)
            xp.multiply(powers, one, out=powers)
            xp.subtract(dy, powers, out=dx)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("LogSoftmax", [x], axis=tape.axis(x, self.axis))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(axis), [Tensor(("N", 3, 4))]) for axis in (-1, 1, 2)]


def _reduced(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(1 if i == axis % len(shape) else n for i, n in enumerate(shape))
