"""Local response normalization: each channel held down by its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Tensor

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["LocalResponseNormalization"]


@operation("local_response_normalization")
class LocalResponseNormalization(Operation):
    """x / (k + alpha * sum of x**2 over ``size`` neighbouring channels) ** beta.

    Krizhevsky et al. 2012, section 3.3, whose alpha is not divided by the size.
    """

    size: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75

    def infer(self, x: Tensor) -> Tensor:
        if not 2 <= x.rank <= 4:
            raise ValueError(f"needs vectors, sequences or images; the rank is {x.rank}")
        if self.size < 1 or self.size % 2 == 0:
            raise ValueError(f"{self.size} channels have none in the middle")
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        base, squares = at.keep(x.shape), at.scratch(x.shape)
        total = _neighbours(xp, squares, base, self.size // 2)

        def forward() -> None:
            xp.multiply(x, x, out=squares)
            total()
            xp.multiply(base, self.alpha, out=base)
            xp.add(base, self.k, out=base)
            xp.power(base, -self.beta, out=squares)
            xp.multiply(x, squares, out=y)

        if not at.grads:
            return forward, None
        dy, dx, spread = at.dy[0], at.dx[0], at.scratch(x.shape)
        gather = _neighbours(xp, squares, spread, self.size // 2)

        def backward() -> None:  # dy * base**-beta - 2 alpha beta x * (dy * y / base of those near)
            xp.multiply(dy, y, out=squares)
            xp.divide(squares, base, out=squares)
            gather()
            xp.multiply(spread, x, out=spread)
            xp.multiply(spread, -2 * self.alpha * self.beta, out=spread)
            xp.power(base, -self.beta, out=squares)
            xp.multiply(dy, squares, out=dx)
            xp.add(dx, spread, out=dx)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        options: Mapping[str, Any] = {
            "size": self.size,
            "bias": float(self.k),
            "alpha": float(self.alpha * self.size),
            "beta": float(self.beta),
        }
        x = tape.first(x)
        if x.rank == 4:
            return tape.op("LRN", [x], **options)
        ends = tape.constant([*range(x.rank, 4)])  # onnxruntime's LRN wants images
        image = tape.op("Unsqueeze", [x, ends], rank=4)
        return tape.op("Squeeze", [tape.op("LRN", [image], **options), ends], rank=x.rank)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        image = Tensor(("N", 2, 3, 7))
        return [
            (cls(), [image]),
            (cls(3, 1.0, 0.5, 0.6), [image]),
            (cls(7, 1.5, 0.3), [Tensor(("N", 4, 6))]),
            (cls(3, alpha=0.4), [Tensor(("N", 4))]),
            (cls(9, alpha=0.2), [Tensor(("N", "H", "W", 3))]),
        ]


def _neighbours(xp: Any, x: Array, total: Array, reach: int) -> Step:
    """A step that writes, for each channel, the sum over those as near as ``reach``."""
    steps = range(1, min(reach, x.shape[-1] - 1) + 1)
    pairs = [(total[..., n:], x[..., :-n]) for n in steps]
    pairs += [(total[..., :-n], x[..., n:]) for n in steps]

    def write() -> None:
        xp.copyto(total, x)
        for into, part in pairs:
            xp.add(into, part, out=into)

    return write
