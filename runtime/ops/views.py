"""The same elements in another shape. Nothing is computed: input and output share memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..op import Example, Operation, operation
from ..tensor import Size, Tensor, product, quotient, window
from .reduce import checked

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = [
    "ExpandDims",
    "Flatten",
    "MergeAxes",
    "Reshape",
    "ReshapeAll",
    "SplitBatch",
    "Squeeze",
]


@operation("flatten", view=True, any_dtype=True)
class Flatten(Operation):
    """One row of elements a row, in C order."""

    def infer(self, x: Tensor) -> Tensor:
        return Tensor((x.shape[0], product(x.shape[1:])), x.dtype)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Flatten", [tape.last(x)], rank=2, axis=1)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        shapes = [("N", 3), ("N", 2, 3, 4), ("N", 2, 2)]
        return [(cls(), [Tensor(shape)]) for shape in shapes]


@operation("reshape", view=True, any_dtype=True)
class Reshape(Operation):
    """A row's elements in another shape, C order; one size may be -1."""

    shape: tuple[int, ...]

    def infer(self, x: Tensor) -> Tensor:
        size = product(x.shape[1:])
        if self.shape.count(-1) > 1 or any(n < 1 and n != -1 for n in self.shape):
            raise ValueError(f"cannot take the shape {self.shape}")
        known = math.prod(n for n in self.shape if n != -1)
        if isinstance(size, int) and (size % known if -1 in self.shape else size != known):
            raise ValueError(f"cannot take the shape {self.shape}: a row has {size} elements")
        rest = window(size, 0, known)
        return Tensor((x.shape[0], *(rest if n == -1 else n for n in self.shape)), x.dtype)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        # 0 copies the batch's size.
        inputs = [tape.last(x), tape.constant([0, *self.shape])]
        return tape.op("Reshape", inputs, rank=len(self.shape) + 1)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", 4, 6))
        return [(cls(shape), [x]) for shape in ((24,), (2, -1), (3, 2, 4), (-1, 2))]


@operation("reshape_all", view=True, any_dtype=True)
class ReshapeAll(Operation):
    """All elements, those along the batch's axis too, in another shape, C order.

    A size may be 0: that of an axis of the input, whose number is the next of ``axes``; and one
    may be -1.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...] = ()

    def infer(self, x: Tensor) -> Tensor:
        if min(self.shape, default=0) < -1 or self.shape.count(-1) > 1:
            raise ValueError(f"cannot take the shape {self.shape}")
        if self.shape.count(0) != len(self.axes) or any(
            not 0 <= axis < x.rank for axis in self.axes
        ):
            raise ValueError(f"axes {self.axes} are not those of the zeros in {self.shape}")
        copied = iter(self.axes)
        known: list[Size] = [x.shape[next(copied)] if n == 0 else n for n in self.shape]
        here = product(n for n in known if n != -1)
        rest = quotient(product(x.shape), here)
        if -1 not in known and rest != 1:
            raise ValueError(f"cannot take the shape {self.shape} of {product(x.shape)} elements")
        return Tensor(tuple(rest if n == -1 else n for n in known), x.dtype)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        x, places = tape.last(x), [i for i, n in enumerate(self.shape) if n == 0]
        rank = len(self.shape)
        if places == list(self.axes):  # a 0 copies the size in its own place
            return tape.op("Reshape", [x, tape.constant(list(self.shape), np.int64)], rank=rank)
        copied = iter(self.axes)
        parts = [
            sizes(tape, x, axis := next(copied), axis + 1) if n == 0 else tape.constant([n])
            for n in self.shape
        ]
        return tape.op("Reshape", [x, tape.op("Concat", parts, axis=0)], rank=rank)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", "T", 6))
        return [
            (cls((-1, 6)), [x]),
            (cls((0, -1, 2), (0,)), [x]),
            (cls((3, -1, 0, 2), (1,)), [x]),
            (cls((0, 0, 2, 3), (1, 0)), [x]),
            (cls((2, 6)), [Tensor((3, 4), "int32")]),
            (cls(()), [Tensor((1, 1))]),
        ]


@operation("expand_dims", view=True, any_dtype=True)
class ExpandDims(Operation):
    """New axes of size 1, where ``axes`` says they are in the output."""

    axes: tuple[int, ...]

    def infer(self, x: Tensor) -> Tensor:
        axes = checked(self.axes, x.rank + len(self.axes))
        sizes = iter(x.shape)
        shape = (1 if i in axes else next(sizes) for i in range(x.rank + len(axes)))
        return Tensor(tuple(shape), x.dtype)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        axes = tape.constant(list(self.axes))
        return tape.op("Unsqueeze", [tape.last(x), axes], rank=x.rank + len(self.axes))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls((1,)), [Tensor(("N", 3))]),
            (cls((-1, 1)), [Tensor(("N", "T"), "bool")]),
            (cls((0,)), [Tensor(("N", 2))]),
        ]


@operation("squeeze", view=True, any_dtype=True)
class Squeeze(Operation):
    """Without these axes, which have the size 1."""

    axes: tuple[int, ...]

    def infer(self, x: Tensor) -> Tensor:
        axes = checked(self.axes, x.rank)
        if wrong := [axis for axis in axes if x.shape[axis] != 1]:
            raise ValueError(f"axis {wrong[0]} has the size {x.shape[wrong[0]]}, not 1")
        return Tensor(tuple(n for i, n in enumerate(x.shape) if i not in axes), x.dtype)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        axes = tape.constant(list(self.axes))
        return tape.op("Squeeze", [tape.last(x), axes], rank=x.rank - len(self.axes))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls((1,)), [Tensor(("N", 1, 3))]),
            (cls((1, -1)), [Tensor(("N", 1, "T", 1), "int32")]),
        ]


@operation("merge_axes", view=True, any_dtype=True)
class MergeAxes(Operation):
    """``count`` axes from ``start`` on as one: (N, T, 8) and (0, 2) give (N * T, 8)."""

    start: int = 0
    count: int = 2

    def infer(self, x: Tensor) -> Tensor:
        end = self.start + self.count
        if self.start < 0 or self.count < 1 or end > x.rank:
            raise ValueError(f"has no {self.count} axes from {self.start} on")
        merged = product(x.shape[self.start : end])
        return Tensor((*x.shape[: self.start], merged, *x.shape[end:]), x.dtype)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return merged(tape, tape.last(x), tape.type().shape, self.start, self.count)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls(), [Tensor(("N", "T", 3))]),
            (cls(), [Tensor(("N", 2, "W", "W", 3))]),
            (cls(1, 3), [Tensor(("N", 2, 3, 4, "C"), "bool")]),
            (cls(1, 2), [Tensor(("N", "T", 4))]),
        ]


def merged(tape: Tape, x: Value, shape: tuple[Size, ...], start: int, count: int) -> Value:
    """Emits the axes from ``start`` on as one; ``shape`` is that of x in its present layout."""
    end = start + count
    if all(isinstance(n, int) for n in shape[:start] + shape[end:]):
        target = tape.constant([*shape[:start], -1, *shape[end:]])
    else:
        parts = [sizes(tape, x, 0, start)] * (start > 0) + [tape.constant([-1])]
        parts += [sizes(tape, x, end, None)] * (end < x.rank)
        target = tape.op("Concat", parts, axis=0)
    return tape.op("Reshape", [x, target], rank=x.rank - count + 1)


def sizes(tape: Tape, x: Value, start: int, end: int | None) -> Value:
    """Emits the sizes of these axes of x, in its present layout."""
    return tape.op("Shape", [x], rank=1, layout="last", start=start, end=end)


@operation("split_batch", view=True, any_dtype=True)
class SplitBatch(Operation):
    """The first axis as two, of the sizes that the first two axes of another value have.

    It undoes ``merge_axes`` of axes 0 and 1. Inputs: x (N * T, ...), the other value (N, T, ...).
    """

    def infer(self, x: Tensor, like: Tensor) -> Tensor:
        if like.rank < 2:
            raise ValueError("the second input has no two axes")
        first, wanted = x.shape[0], product(like.shape[:2])
        if isinstance(first, int) and isinstance(wanted, int) and first != wanted:
            raise ValueError(f"axis 0 of size {first} has not the {wanted} elements of two axes")
        return Tensor((*like.shape[:2], *x.shape[1:]), x.dtype)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value, like: Value) -> Value:
        x, like = tape.last(x), tape.last(like)
        (_, second), rest = tape.type(1).shape[:2], tape.type().shape[1:]
        if isinstance(second, int) and all(isinstance(n, int) for n in rest):
            target = tape.constant([-1, second, *rest])
        else:
            parts = [sizes(tape, like, 0, 2)] + [sizes(tape, x, 1, None)] * (x.rank > 1)
            target = tape.op("Concat", parts, axis=0)
        return tape.op("Reshape", [x, target], rank=x.rank + 1)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls(), [Tensor((15, 2)), Tensor(("N", "T", 1))]),
            (cls(), [Tensor((6, "W")), Tensor(("N", 2), "int32")]),
            (cls(), [Tensor((6, 3), "bool"), Tensor(("N", 2, "W", "W"))]),
            (cls(), [Tensor((15,)), Tensor(("N", "T"))]),
        ]
