"""Pooling of regions of interest: boxes in a picture, each brought to one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Tensor
from .indexing import clipping

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["RoiPooling"]


@operation("roi_pooling", domain=(0.0, 4.0))
class RoiPooling(Operation):
    """The largest element of each of ``output_size`` windows of each region, in each channel.

    Inputs: x (N, height, width, channels), regions (N, count, 4): left, top, right and bottom of a
    box, in units of which x has ``scale`` to an element, both ends within. y is (N, count,
    *output_size, channels). Girshick 2015, section 2.1, as Caffe and onnxruntime have it: corners
    are rounded, windows overlap where a region does not divide, and one that is empty, for it lies
    outside of x, is 0. The slope goes to the first of the largest; regions have none.
    """

    output_size: tuple[int, int] = (7, 7)
    scale: float = 1 / 16

    def infer(self, x: Tensor, regions: Tensor) -> Tensor:
        if x.rank != 4:
            raise ValueError(f"needs images; the rank is {x.rank}")
        if regions.rank != 3 or regions.shape[-1] != 4:
            raise ValueError(f"needs four numbers a region; the regions are {regions.shape}")
        if regions.shape[0] != x.shape[0]:
            raise ValueError(f"regions for {regions.shape[0]} images, but {x.shape[0]} are given")
        if min(self.output_size) < 1 or self.scale <= 0:
            raise ValueError(f"no regions are {self.output_size}, or scaled by {self.scale}")
        return Tensor((*regions.shape[:2], *self.output_size, x.shape[-1]))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        rows, _, width, channels = x.shape
        places, empty = at.keep(y.shape, "int64"), at.keep((*y.shape[:-1], 1), "bool")
        # From the number of an element in its channel to that in all of x.
        images = xp.arange(rows).reshape(rows, 1, 1, 1, 1) * (x.size // rows)
        within, flat = images + xp.arange(channels), x.reshape(-1)
        largest = _largest(at, self.spans(at), width, places, empty)

        def forward() -> None:
            largest()
            xp.multiply(places, channels, out=places)
            xp.add(places, within, out=places)
            xp.take(flat, places, out=y, **clipping(xp))
            xp.copyto(y, 0, where=empty)

        if not at.grads:
            return forward, None
        dx, dregions, slope = at.dx[0], at.dx[1], at.scratch(y.shape)

        def backward() -> None:
            if dx is not None:
                xp.copyto(slope, at.dy[0])
                xp.copyto(slope, 0, where=empty)
                dx.fill(0)
                xp.add.at(dx.reshape(-1), places.reshape(-1), slope.reshape(-1))
            if dregions is not None:
                dregions.fill(0)

        return forward, backward

    def spans(self, at: Frame) -> tuple[_Spans, _Spans]:
        """What the windows take of the rows, and of the columns."""
        (_, height, width, _), (down, across) = at.x[0].shape, self.output_size
        return (
            _Spans(at, (1, 3), height, down, self.scale),
            _Spans(at, (0, 2), width, across, self.scale),
        )

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value, regions: Value) -> Value:
        regions = tape.last(regions)
        shape = tape.op("Shape", [regions], rank=1)
        first = tape.op("Slice", [regions, *map(tape.constant, ([0], [1], [2]))])
        ones = tape.op("Add", [tape.op("Mul", [first, tape.constant(0.0)]), tape.constant(1.0)])
        numbers = tape.op("CumSum", [ones, tape.constant(0)], exclusive=1)
        boxes = tape.op("Concat", [numbers, regions], axis=2)
        boxes = tape.op("Reshape", [boxes, tape.constant([-1, 5])], rank=2)
        pooled = tape.op(
            "MaxRoiPool",
            [tape.first(x), boxes],
            pooled_shape=list(self.output_size),
            spatial_scale=float(self.scale),
        )
        counts = tape.op("Slice", [shape, *map(tape.constant, ([0], [2]))])
        last = tape.last(pooled)
        each = tape.op("Slice", [tape.op("Shape", [last], rank=1), *map(tape.constant, ([1], [4]))])
        wanted = tape.op("Concat", [counts, each], axis=0)
        return tape.op("Reshape", [last, wanted], rank=5)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        image = Tensor(("N", 5, 6, 2))
        return [
            (cls((2, 3), 1.5), [image, Tensor(("N", 3, 4))]),
            (cls((3, 2), 0.5), [image, Tensor(("N", "R", 4))]),
            (cls((7, 7), 1.0), [Tensor(("N", 3, 2, 1)), Tensor(("N", 2, 4))]),  # some are empty
        ]


class _Spans:
    """What the windows of every region take of one axis."""

    def __init__(
        self, at: Frame, ends: tuple[int, int], size: int, count: int, scale: float
    ) -> None:
        self._xp, self._size, self._count, self._scale = at.xp, size, count, scale
        self._given = [at.x[1][..., end : end + 1] for end in ends]
        shape = (*at.x[1].shape[:2], 1)
        # float32, as onnxruntime computes: another rounding would be another window.
        self._begin, self._length, self._sign = (at.scratch(shape, "float32") for _ in range(3))
        self._edges = at.scratch((*shape[:2], count), "float32")
        self._numbers = at.scratch((*shape[:2], count), "int64")
        self._steps = [at.xp.arange(n, n + count).astype("float32") for n in (0, 1)]

    def find(self) -> list[list[list[list[int]]]]:
        """The first elements and those behind the last: [2][image][region][window]."""
        xp, begin, length = self._xp, self._begin, self._length
        for given, to in zip(self._given, (begin, length), strict=True):
            self._round(given, to)
        xp.subtract(length, begin, out=length)
        xp.add(length, 1, out=length)
        xp.maximum(length, 1, out=length)
        xp.divide(length, self._count, out=length)
        found: list[list[list[list[int]]]] = []
        edges = self._edges
        for step, cut in zip(self._steps, (xp.floor, xp.ceil), strict=True):
            xp.multiply(length, step, out=edges)
            cut(edges, out=edges)
            xp.add(edges, begin, out=edges)
            xp.clip(edges, 0, self._size, out=edges)
            xp.copyto(self._numbers, edges, casting="unsafe")
            found.append(self._numbers.tolist())
        return found

    def _round(self, given: Array, to: Array) -> None:
        """The nearest whole number, of two the one farther from 0."""
        xp = self._xp
        xp.copyto(to, given, casting="same_kind")
        xp.multiply(to, self._scale, out=to)
        xp.sign(to, out=self._sign)
        xp.abs(to, out=to)
        xp.add(to, 0.5, out=to)
        xp.floor(to, out=to)
        xp.multiply(to, self._sign, out=to)


def _largest(
    at: Frame, spans: tuple[_Spans, _Spans], width: int, places: Array, empty: Array
) -> Step:
    """Writes where in its channel each window's largest element is, and which have none."""
    xp, x = at.xp, at.x[0]
    copies, row = at.scratch((x[0].size,)), at.scratch((x.shape[-1],), "int64")
    _, count, down, across, channels = places.shape

    def write() -> None:
        (tops, bottoms), (lefts, rights) = (each.find() for each in spans)
        empty.fill(False)
        for window in product(range(len(x)), range(count), range(down), range(across)):
            n, r, i, j = window
            top, bottom = tops[n][r][i], bottoms[n][r][i]
            left, right = lefts[n][r][j], rights[n][r][j]
            to, wide = places[window], right - left
            if top >= bottom or left >= right:
                to.fill(0)
                empty[window] = True
                continue
            # A copy with the elements of a channel together: argmax would make one.
            part = copies[: (bottom - top) * wide * channels].reshape(channels, bottom - top, wide)
            xp.copyto(part, x[n, top:bottom, left:right].transpose(2, 0, 1))
            xp.argmax(part.reshape(channels, -1), axis=1, out=to)
            xp.floor_divide(to, wide, out=row)
            xp.multiply(row, width - wide, out=row)
            xp.add(to, row, out=to)
            xp.add(to, top * width + left, out=to)

    return write
