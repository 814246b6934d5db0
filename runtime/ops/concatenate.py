"""Values one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Array, Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import Tensor, total
from .merge import one_dtype

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Concatenate"]


@operation("concatenate", any_dtype=True)
class Concatenate(Operation):
    """The inputs one after the other along ``axis``."""

    axis: int = -1

    def infer(self, *x: Tensor) -> Tensor:
        rank = x[0].rank
        if not -rank <= self.axis < rank:
            raise ValueError(f"has no axis {self.axis}")
        axis = self.axis % rank
        if axis == 0:
            raise ValueError("axis 0 is the batch")
        if any(tensor.rank != rank for tensor in x):
            raise ValueError("inputs of different rank")
        dtype = one_dtype(x)
        shape = list(x[0].shape)
        for i in set(range(rank)) - {axis}:
            numbers = {n for tensor in x if isinstance(n := tensor.shape[i], int)}
            if len(numbers) > 1:
                raise ValueError(f"sizes {sorted(numbers)} on axis {i} differ")
            shape[i] = next(iter(numbers), shape[i])
        shape[axis] = total(tensor.shape[axis] for tensor in x)
        return Tensor(tuple(shape), dtype)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, axis = at.xp, self.axis % at.y[0].ndim
        pairs = list(zip(at.x, _parts(at.y[0], at.x, axis), strict=True))

        def forward() -> None:
            for array, part in pairs:
                xp.copyto(part, array)

        if not at.grads:
            return forward, None
        gradients = [
            (dx, part)
            for dx, part in zip(at.dx, _parts(at.dy[0], at.x, axis), strict=True)
            if dx is not None
        ]

        def backward() -> None:
            for dx, part in gradients:
                xp.copyto(dx, part)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], *x: Value) -> Value:
        values = tape.alike(*x)
        return tape.op("Concat", values, axis=tape.axis(values[0], self.axis))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        image = Tensor(("N", 2, 3, 4))
        return [
            (cls(), [Tensor(("N", 3)), Tensor(("N", 2)), Tensor(("N", 1))]),
            (cls(1), [image, image]),
            (cls(3), [image, Tensor(("N", 2, 3, 1))]),
            (cls(-2), [Tensor(("N", 3, 2)), Tensor(("N", 1, 2))]),
            (cls(), [Tensor(("N", 3), "bool"), Tensor(("N", 2), "bool")]),
            (cls(), [Tensor(("N", 3), "int64"), Tensor(("N", 2), "int64")]),
        ]


def _parts(whole: Array, x: Sequence[Array], axis: int) -> list[Array]:
    """The views of ``whole`` that the inputs lie in."""
    parts: list[Array] = []
    start = 0
    for array in x:
        end = start + array.shape[axis]
        parts.append(whole[(slice(None),) * axis + (slice(start, end),)])
        start = end
    return parts
