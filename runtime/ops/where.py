"""Choices between values, element by element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Tensor, broadcast
from .logic import check_truths, check_value, constant
from .merge import backward_of, one_dtype, pair

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Fill", "Where"]


@operation("where", any_dtype=True)
class Where(Operation):
    """a where the condition is true, else b, with broadcasting. Inputs: condition, a, b."""

    def infer(self, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
        check_truths(condition)
        return Tensor(broadcast((condition.shape, a.shape, b.shape)), one_dtype((a, b)))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, (condition, a, b), y = at.xp, at.x, at.y[0]

        def forward() -> None:
            xp.copyto(y, b)
            xp.copyto(y, a, where=condition)

        if not at.grads:
            return forward, None
        dy = at.dy[0]
        inverse = at.scratch(condition.shape, bool)

        def write(i: int, to: Array) -> Step:
            def chosen() -> None:
                xp.logical_not(condition, out=inverse)
                xp.multiply(dy, condition if i == 1 else inverse, out=to)

            return chosen

        return forward, backward_of(at, write)

    def onnx(
        self, tape: Tape, p: Mapping[str, Value], condition: Value, a: Value, b: Value
    ) -> Value:
        condition, a, b = tape.alike(condition, a, b)
        if tape.type(1).dtype != "bool":
            return where(tape, condition, a, b)
        # onnxruntime chooses no booleans.
        numbers = [tape.cast(value, "int32") for value in (a, b)]
        return tape.cast(where(tape, condition, *numbers), "bool")

    @classmethod
    def examples(cls) -> Sequence[Example]:
        truths, floats = Tensor(("N", 2, 3), "bool"), Tensor(("N", 2, 3))
        return [
            (cls(), [truths, floats, floats]),
            (cls(), [Tensor(("N", 2, 1), "bool"), floats, Tensor(("N", 1, 3))]),
            (cls(), [truths, Tensor(("N", 2, 1)), Tensor(("N", 1, 3))]),
            *[
                (cls(), [truths, Tensor(("N", 2, 3), dtype), Tensor(("N", 1, 3), dtype)])
                for dtype in ("int32", "int64", "bool")
            ],
        ]


@operation("fill", any_dtype=True)
class Fill(Operation):
    """x, but ``value`` where the mask is true; with ``where`` false, where it is not.

    Inputs: x, mask, with broadcasting.
    """

    value: float
    where: bool = True

    def infer(self, x: Tensor, mask: Tensor) -> Tensor:
        check_truths(mask)
        check_value(self.value, x.dtype)
        return Tensor(broadcast((x.shape, mask.shape)), x.dtype)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, (x, mask), y = at.xp, at.x, at.y[0]
        chosen = at.scratch(mask.shape, bool)
        value = at.hold((), y.dtype, self.value)

        def forward() -> None:
            xp.equal(mask, self.where, out=chosen)
            xp.copyto(y, x)
            xp.copyto(y, value, where=chosen)

        if not at.grads:
            return forward, None
        dy = at.dy[0]

        def write(i: int, to: Array) -> Step:
            def where_kept() -> None:
                xp.not_equal(mask, self.where, out=chosen)
                xp.multiply(dy, chosen, out=to)

            return where_kept

        return forward, backward_of(at, write)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value, mask: Value) -> Value:
        x, mask = tape.alike(x, mask)
        if tape.type().dtype == "bool":  # onnxruntime chooses no booleans
            mask = mask if self.where else tape.op("Not", [mask])
            kept = tape.op("Not", [mask])
            return pair(tape, "Or", x, mask) if self.value else pair(tape, "And", x, kept)
        value = constant(tape, self.value, tape.type().dtype)
        chosen = (value, x) if self.where else (x, value)
        return where(tape, mask, *chosen)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        truths, floats = Tensor(("N", 2, 3), "bool"), Tensor(("N", 2, 3))
        return [
            (cls(-10.0), [floats, truths]),
            (cls(0.5, False), [floats, Tensor(("N", 1, 3), "bool")]),
            (cls(0), [Tensor(("N", 1, 3)), truths]),
            *[
                (cls(1, where), [Tensor(("N", 2, 3), dtype), truths])
                for dtype in ("int32", "int64", "bool")
                for where in (True, False)
            ],
            (cls(0), [truths, truths]),
        ]


def where(tape: Tape, condition: Value, a: Value, b: Value) -> Value:
    """Emits a choice between values of one layout or, constants, of rank 0."""
    return tape.op("Where", [condition, a, b], rank=max(condition.rank, a.rank, b.rank))
