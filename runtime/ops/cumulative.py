"""Sums that run along an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Tensor
from .reduce import checked

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["CumSum"]


@operation("cumsum", any_dtype=True)
class CumSum(Operation):
    """The sum of the elements up to this one along ``axis``.

    ``exclusive`` leaves this one out; ``reverse`` starts at the end.
    """

    axis: int = -1
    reverse: bool = False
    exclusive: bool = False

    def infer(self, x: Tensor) -> Tensor:
        if x.dtype == "bool":
            raise ValueError("adds numbers, not booleans")
        if checked((self.axis,), x.rank) == (0,) and isinstance(x.shape[0], str):
            raise ValueError("axis 0 is the batch")
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        forward = self._sum(at, at.x[0], at.y[0], self.reverse)
        if not at.grads:
            return forward, None
        return forward, self._sum(at, at.dy[0], at.dx[0], not self.reverse)

    def _sum(self, at: Frame, source: Array, to: Array, reverse: bool) -> Step:
        xp, axis = at.xp, self.axis % source.ndim
        source, to = xp.moveaxis(source, axis, 0), xp.moveaxis(to, axis, 0)
        if reverse:
            source, to = source[::-1], to[::-1]
        if not self.exclusive:
            return lambda: xp.cumsum(source, axis=0, dtype=to.dtype, out=to)
        before, first, rest = source[:-1], to[:1], to[1:]

        def write() -> None:
            first.fill(0)
            if rest.size:
                xp.cumsum(before, axis=0, dtype=to.dtype, out=rest)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        axis = tape.constant([tape.axis(x, self.axis)])
        reverse, exclusive = int(self.reverse), int(self.exclusive)
        return tape.op("CumSum", [x, axis], reverse=reverse, exclusive=exclusive)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x, wholes = Tensor(("N", 3, 4)), Tensor(("N", "T"), "int32")
        options = [(reverse, exclusive) for reverse in (False, True) for exclusive in (False, True)]
        return [
            *[(cls(1, *option), [x]) for option in options],
            *[(cls(-1, *option), [wholes]) for option in options],
            (cls(1, False, True), [Tensor(("N", 1))]),
        ]
