"""Functions of each element: what they have in common.

An activation says what f is, in a way that holds when ``x`` and ``y`` share memory, and what its
slope is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, dataclass_transform

from ..frame import Array, Frame
from ..op import Declared, Example, Operation, Step, Steps, operation
from ..tensor import Tensor


class Elementwise(Operation):
    """y[i] = f(x[i])."""

    def infer(self, x: Tensor) -> Tensor:
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        x, y = at.x[0], at.y[0]
        forward = self.forward(at, x, y)
        return forward, self.backward(at, x, y, at.dy[0], at.dx[0]) if at.grads else None

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        """Writes y; may be given the same array twice."""
        raise NotImplementedError

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        """Writes dx; may be given the same array for dy and dx."""
        xp, slope = at.xp, at.scratch(x.shape)
        write = self.derivative(at, x, y, slope)

        def backward() -> None:
            write()
            xp.multiply(dy, slope, out=dx)

        return backward

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        """Writes f'(x); an activation that has no use for the array overrides ``backward``."""
        raise NotImplementedError

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(), [Tensor(("N", 3, 4))])]


@dataclass_transform(frozen_default=True)
def elementwise(kind: str, **traits: Any) -> Callable[[Declared], Declared]:
    """Declares a function of each element."""
    return operation(kind, overwrites=(0,), overwrites_dy=(0,), **traits)


def write_sigmoid(xp: Any, x: Array, y: Array) -> None:
    """Writes y = 1 / (1 + exp(-x)) as (tanh(x / 2) + 1) / 2: vectorised, and without overflow."""
    xp.multiply(x, 0.5, out=y)
    xp.tanh(y, out=y)
    xp.multiply(y, 0.5, out=y)
    xp.add(y, 0.5, out=y)
