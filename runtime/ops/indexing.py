"""Elements taken by their numbers along an axis. A negative number counts from the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Tensor
from .reduce import checked

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Gather", "Take", "TakeAlongAxis"]


@operation("take", any_dtype=True)
class Take(Operation):
    """The elements with these numbers along ``axis``, in this order."""

    indices: tuple[int, ...]
    axis: int

    def infer(self, x: Tensor) -> Tensor:
        (axis,) = checked((self.axis,), x.rank)
        size = x.shape[axis]
        if isinstance(size, int) and (wrong := [i for i in self.indices if not -size <= i < size]):
            raise ValueError(f"axis {self.axis} of size {size} has no element {wrong[0]}")
        return Tensor((*x.shape[:axis], len(self.indices), *x.shape[axis + 1 :]), x.dtype)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y, axis = at.xp, at.x[0], at.y[0], self.axis % at.x[0].ndim
        ids = xp.asarray([i % x.shape[axis] for i in self.indices])

        def forward() -> None:
            xp.take(x, ids, axis=axis, out=y, **clipping(xp))

        if not at.grads:
            return forward, None
        dx = at.dx[0]
        places = (*(slice(None),) * axis, ids)

        def backward() -> None:
            dx.fill(0)
            xp.add.at(dx, places, at.dy[0])

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        ids = tape.constant(list(self.indices))
        return tape.op("Gather", [x, ids], axis=tape.axis(x, self.axis))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls((2, 0, 2), 1), [Tensor(("N", 3, 4))]),
            (cls((0, -1), 1), [Tensor(("N", "T", 4))]),
            (cls((3,), -1), [Tensor(("N", 3, 2, 4), "int32")]),
            (cls((1, 1), -1), [Tensor(("N", 2), "bool")]),
            (cls((0,), 0), [Tensor(("N", 2))]),
        ]


def clipping(xp: Any) -> Mapping[str, str]:
    """The option of ``take`` without which NumPy's buffers its output; CuPy's has no such one."""
    return {} if hasattr(xp, "RawKernel") else {"mode": "clip"}


def check_ids(ids: Tensor) -> None:
    """Raises ValueError if they are no numbers."""
    if ids.dtype == "bool":
        raise ValueError("the numbers to take are booleans")


def counted(at: Frame, ids: Array, places: Array, size: int) -> Step:
    """A step that writes the numbers as places from 0 to size - 1.

    Those before the first or after the last place become these.
    """
    xp, negative = at.xp, at.scratch(ids.shape, bool)
    past = at.scratch(ids.shape, "int64")

    def write() -> None:
        xp.copyto(places, ids, casting="unsafe")
        xp.less(places, 0, out=negative)
        xp.multiply(negative, size, out=past)
        xp.add(places, past, out=places)
        xp.clip(places, 0, size - 1, out=places)

    return write


def bounded(tape: Tape, x: Value, ids: Value, axis: int, size: int | str) -> Value:
    """The numbers as ONNX takes them: clipped to the axis, as ``counted`` does."""
    if isinstance(size, int):
        low, last = tape.constant(-size), tape.constant(size - 1)
    else:
        shape = tape.op("Shape", [x], rank=1)
        count = tape.op("Gather", [shape, tape.constant(axis)], rank=0)
        low, last = tape.op("Neg", [count]), tape.op("Sub", [count, tape.constant(1)])
    return tape.op("Clip", [tape.cast(tape.last(ids), "int64"), low, last])


@operation("gather", any_dtype=True)
class Gather(Operation):
    """The elements of x with the numbers ``ids`` along ``axis``; the axes of ids take its place.

    Inputs: x, ids (floats lose what is behind the point). A number that is no place takes its
    nearest.
    """

    axis: int = 0

    def infer(self, x: Tensor, ids: Tensor) -> Tensor:
        check_ids(ids)
        (axis,) = checked((self.axis,), x.rank)
        if isinstance(x.shape[0], str) and ids.shape[:1] == x.shape[:1]:
            raise ValueError("both inputs have the batch: each row would meet every other")
        return Tensor((*x.shape[:axis], *ids.shape, *x.shape[axis + 1 :]), x.dtype)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, (x, ids), axis = at.xp, at.x, self.axis % at.x[0].ndim
        places, y = at.keep(ids.shape, "int64"), at.y[0]
        count = counted(at, ids, places, x.shape[axis])

        def forward() -> None:
            count()
            xp.take(x, places, axis=axis, out=y, **clipping(xp))

        if not at.grads:
            return forward, None
        dx, dids, dy = at.dx[0], at.dx[1], at.dy[0]
        where = (*(slice(None),) * axis, places)

        def backward() -> None:
            if dx is not None:
                dx.fill(0)
                xp.add.at(dx, where, dy)
            if dids is not None:  # numbers given as floats: no slope
                dids.fill(0)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value, ids: Value) -> Value:
        axis = self.axis % x.rank
        x = tape.last(x)
        ids = bounded(tape, x, ids, axis, tape.type().shape[axis])
        return tape.op("Gather", [x, ids], rank=x.rank + ids.rank - 1, axis=axis)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls(1), [Tensor(("N", 3, 4)), Tensor((2,), "int32")]),
            (cls(1), [Tensor(("N", "T", 2)), Tensor((2, 2), "int64")]),
            (cls(-1), [Tensor(("N", 2, 3)), Tensor((2,))]),
            (cls(), [Tensor((4, 3)), Tensor(("N", 2), "int32")]),
            (cls(1), [Tensor(("N", 2), "int32"), Tensor((3,), "int32")]),
        ]


@operation("take_along_axis", any_dtype=True)
class TakeAlongAxis(Operation):
    """y[i, j, k] = x[i, ids[i, j, k], k], for axis 1 of three.

    Inputs: x, ids (floats lose what is behind the point), of the shape of x but along ``axis``. A
    number that is no place takes its nearest.
    """

    axis: int = -1

    def infer(self, x: Tensor, ids: Tensor) -> Tensor:
        check_ids(ids)
        (axis,) = checked((self.axis,), x.rank)
        if x.rank != ids.rank or _differ(x, ids, axis):
            raise ValueError(f"the shapes differ, and not on axis {axis} alone")
        if axis == 0 and isinstance(x.shape[0], str):
            raise ValueError("axis 0 is the batch")
        return Tensor(ids.shape, x.dtype)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, (x, ids), axis = at.xp, at.x, self.axis % at.x[0].ndim
        places, flat, y = at.keep(ids.shape, "int64"), x.reshape(-1), at.y[0]
        count = counted(at, ids, places, x.shape[axis])
        strides = [math.prod(x.shape[i + 1 :]) for i in range(x.ndim)]
        others = at.hold(ids.shape, "int64", 0)
        for i in set(range(x.ndim)) - {axis}:
            others += xp.arange(x.shape[i]).reshape(-1, *[1] * (x.ndim - i - 1)) * strides[i]

        def forward() -> None:
            count()
            xp.multiply(places, strides[axis], out=places)
            xp.add(places, others, out=places)
            xp.take(flat, places, out=y, **clipping(xp))

        if not at.grads:
            return forward, None
        dx, dids, dy = at.dx[0], at.dx[1], at.dy[0]

        def backward() -> None:
            if dx is not None:
                dx.fill(0)
                xp.add.at(dx.reshape(-1), places, dy)
            if dids is not None:  # numbers given as floats: no slope
                dids.fill(0)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value, ids: Value) -> Value:
        axis = self.axis % x.rank
        x = tape.last(x)
        ids = bounded(tape, x, ids, axis, tape.type().shape[axis])
        return tape.op("GatherElements", [x, ids], axis=axis)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls(), [Tensor(("N", 3)), Tensor(("N", 2), "int32")]),
            (cls(1), [Tensor(("N", "T", 2)), Tensor(("N", 2, 2), "int64")]),
            (cls(1), [Tensor(("N", 4, 3, 2)), Tensor(("N", 1, 3, 2))]),
            (cls(1), [Tensor(("N", 3), "bool"), Tensor(("N", 4), "int32")]),
        ]


def _differ(x: Tensor, ids: Tensor, axis: int) -> bool:
    pairs = zip(x.shape, ids.shape, strict=True)
    return any(
        isinstance(n, int) and isinstance(m, int) and n != m
        for i, (n, m) in enumerate(pairs)
        if i != axis
    )
