"""NumPy's slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import Size, Tensor, window

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Leading", "StridedSlice"]

Bounds = tuple[int | None, ...]
FURTHEST = 2**63 - 1


@operation("strided_slice", any_dtype=True)
class StridedSlice(Operation):
    """x[begin:end:step, ...]: a slice an axis, from the first axis on; axes without one stay whole.

    None is NumPy's: the step 1, the end that the step starts from or leads to. An open axis is
    taken to be as long as the bounds say; one that is shorter gives fewer elements, as in NumPy.
    """

    begins: Bounds
    ends: Bounds
    steps: Bounds

    def infer(self, x: Tensor) -> Tensor:
        if not len(self.begins) == len(self.ends) == len(self.steps) <= x.rank:
            raise ValueError(f"its slices do not fit {x.rank} axes")
        if 0 in self.steps:
            raise ValueError("a step is 0")
        slices = self._slices()
        if slices and isinstance(x.shape[0], str) and (slices[0].step or 1) < 0:
            raise ValueError("axis 0 is the batch, and cannot be reversed")
        sizes = (_size(n, part) for n, part in zip(x.shape, slices, strict=False))
        return Tensor((*sizes, *x.shape[len(slices) :]), x.dtype)

    def _slices(self) -> tuple[slice[int | None, int | None, int | None], ...]:
        return tuple(map(slice, self.begins, self.ends, self.steps))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, y, slices = at.xp, at.y[0], self._slices()
        source = at.x[0][slices]

        def forward() -> None:
            xp.copyto(y, source)

        if not at.grads:
            return forward, None
        dy, dx, target = at.dy[0], at.dx[0], at.dx[0][slices]

        def backward() -> None:
            dx.fill(0)
            xp.copyto(target, dy)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        parts = [
            (*_ends(part), tape.axis(x, axis), part.step or 1)
            for axis, part in enumerate(self._slices())
            if part != slice(None, None, part.step) or part.step not in (None, 1)
        ]
        if not parts:
            return x
        return tape.op("Slice", [x, *(tape.constant(list(n)) for n in zip(*parts, strict=True))])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        image, sequence = Tensor(("N", 4, 5, 2)), Tensor(("N", "T", 2))
        return [
            (cls((None, 1, -2), (None, 3, None), (None, 1, None)), [image]),
            (cls((None, None, 3), (None, None, 0), (1, -1, -2)), [image]),
            (cls((None, -1), (None, -5), (None, -1)), [image]),
            (cls((None, None, None, 1), (None,) * 3 + (9,), (None,) * 4), [image]),
            *[
                (cls((None, begin), (None, end), (None, step)), [sequence])
                for begin, end, step in (
                    (2, None, None),
                    (None, -2, 1),
                    (1, -1, 2),
                    (-3, None, 1),
                    (-3, -1, None),
                    (1, 3, None),
                    (None, None, -1),
                    (None, None, -2),
                    (-2, 0, -1),
                    (3, None, -1),
                    (None, -3, -1),
                    (None, None, None),
                )
            ],
            (cls((1,), (None,), (None,)), [Tensor(("N", 2))]),
            (cls((0,), (1,), (None,)), [Tensor(("N", 2), "bool")]),
            (cls((None, 1), (None, None), (None, None)), [Tensor(("N", 3), "int32")]),
        ]


@operation("leading", any_dtype=True)
class Leading(Operation):
    """The first elements of x along ``axis``, as many as another value has along ``of``.

    Inputs: x, the other value.
    """

    axis: int
    of: int

    def infer(self, x: Tensor, like: Tensor) -> Tensor:
        if not (0 <= self.axis < x.rank and 0 <= self.of < like.rank):
            raise ValueError(f"has no axis {self.axis}, or the other value has no axis {self.of}")
        size, most = like.shape[self.of], x.shape[self.axis]
        if isinstance(size, int) and isinstance(most, int) and size > most:
            raise ValueError(f"axis {self.axis} of size {most} has no {size} elements")
        return Tensor((*x.shape[: self.axis], size, *x.shape[self.axis + 1 :]), x.dtype)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, y = at.xp, at.y[0]
        part = (*(slice(None),) * self.axis, slice(0, y.shape[self.axis]))
        source = at.x[0][part]

        def forward() -> None:
            xp.copyto(y, source)

        if not at.grads:
            return forward, None
        dy, dx, dlike = at.dy[0], at.dx[0], at.dx[1]

        def backward() -> None:
            if dx is not None:
                dx.fill(0)
                xp.copyto(dx[part], dy)
            if dlike is not None:
                dlike.fill(0)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value, like: Value) -> Value:
        axis, of = tape.axis(x, self.axis), tape.axis(like, self.of)
        count = tape.op("Shape", [like], rank=1, layout="last", start=of, end=of + 1)
        return tape.op("Slice", [x, tape.constant([0]), count, tape.constant([axis])])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        like = Tensor(("N", "T"))
        return [
            (cls(1, 1), [Tensor(("N", 9, 2)), like]),
            (cls(0, 1), [Tensor((9, 2)), like]),
            (cls(0, 1), [Tensor((9,), "int64"), Tensor(("N", 3), "int32")]),
        ]


def _ends(part: slice[int | None, int | None, int | None]) -> tuple[int, int]:
    """Begin and end as numbers; those past an end are clipped to it."""
    first, last = (0, FURTHEST) if (part.step or 1) > 0 else (FURTHEST, -FURTHEST)
    return first if part.start is None else part.start, last if part.stop is None else part.stop


def _size(size: Size, part: slice[int | None, int | None, int | None]) -> Size:
    """Number of elements in a slice of an axis."""
    if isinstance(size, int):
        return len(range(*part.indices(size)))
    step = part.step or 1
    # Each bound is an offset from the start of the axis, or from its end.
    first, last = ((False, 0), (True, 0)) if step > 0 else ((True, -1), (False, -1))
    begin = first if part.start is None else (part.start < 0, part.start)
    end = last if part.stop is None else (part.stop < 0, part.stop)
    (far, high), (near, low) = (end, begin) if step > 0 else (begin, end)
    if near and not far:
        raise ValueError(f"how many elements {part} has depends on the open size {size}")
    return window(size if far and not near else 0, low - high, abs(step))
