"""Numbers of places along an axis: where the extreme is, and one in the place of a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..frame import Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import Tensor
from .reduce import checked, ones

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["ArgMax", "ArgMin", "OneHot"]


@dataclass(frozen=True)
class Place(Operation):
    """The place of an element along ``axis``, int64; of equal ones the first's."""

    axis: int = -1
    keepdims: bool = False

    function: ClassVar[str]
    onnx_kind: ClassVar[str]

    def infer(self, x: Tensor) -> Tensor:
        if x.dtype == "bool":
            raise ValueError("compares numbers, not booleans")
        axes = checked((self.axis,), x.rank)
        shape = ones(x.shape, axes)
        kept = shape if self.keepdims else tuple(n for i, n in enumerate(shape) if i not in axes)
        return Tensor(kept, "int64")

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        function, lanes = getattr(at.xp, self.function), at.xp.moveaxis(at.x[0], self.axis, -1)
        y, last = at.y[0].reshape(lanes.shape[:-1]), at.scratch(lanes.shape, lanes.dtype)

        def forward() -> None:
            at.xp.copyto(last, lanes)  # NumPy would copy it itself, had it another order
            function(last, axis=-1, out=y)

        return forward, None

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        x, rank = tape.last(x), x.rank - (not self.keepdims)
        return tape.op(self.onnx_kind, [x], rank=rank, axis=self.axis, keepdims=int(self.keepdims))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls(), [Tensor(("N", 3, 4))]),
            (cls(1, True), [Tensor(("N", 3, "T"))]),
            (cls(1), [Tensor(("N", 3), "int32")]),
            (cls(0), [Tensor(("N", 3), "int64")]),
        ]


@operation("argmax", any_dtype=True)
class ArgMax(Place):
    """Where the largest element is."""

    function, onnx_kind = "argmax", "ArgMax"


@operation("argmin", any_dtype=True)
class ArgMin(Place):
    """Where the smallest element is."""

    function, onnx_kind = "argmin", "ArgMin"


@operation("one_hot", any_dtype=True)
class OneHot(Operation):
    """1 in the place that a number says along the new ``axis`` of size ``depth``, else 0.

    A number that is no place gives zeros. What a float has behind its point does not count.
    """

    depth: int
    axis: int = -1

    def infer(self, x: Tensor) -> Tensor:
        if x.dtype == "bool":
            raise ValueError("needs numbers, not booleans")
        (axis,) = checked((self.axis,), x.rank + 1)
        return Tensor((*x.shape[:axis], self.depth, *x.shape[axis:]))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        axis = self.axis % y.ndim
        column = (self.depth, *[1] * (y.ndim - axis - 1))
        places = at.hold(column, "int64", xp.arange(self.depth).reshape(column))
        ids, found = at.scratch(x.shape, "int64"), at.scratch(y.shape, bool)
        spread = xp.expand_dims(ids, axis)

        def forward() -> None:
            xp.copyto(ids, x, casting="unsafe")
            xp.equal(spread, places, out=found)
            xp.copyto(y, found)

        if not at.grads:
            return forward, None
        return forward, lambda: at.dx[0].fill(0)  # numbers given as floats: no slope

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        rank = x.rank + 1
        axis = self.axis % rank
        places = tape.constant(np.arange(self.depth).reshape(-1, *[1] * (rank - axis - 1)))
        ids = tape.cast(tape.last(x), "int64")
        ids = tape.op("Unsqueeze", [ids, tape.constant([axis])], rank=rank)
        return tape.cast(tape.op("Equal", [ids, places]), "float")

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls(3), [Tensor(("N", 4), "int32")]),
            (cls(2), [Tensor(("N",), "int64")]),
            (cls(2, 1), [Tensor(("N", "T"), "int32")]),
            (cls(4), [Tensor(("N", 3))]),
        ]
