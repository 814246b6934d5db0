"""Where the windows of a convolution or a pooling lie on their input.

Arrays are channels last: (images, *spatial, channels).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from ..frame import Array
from ..op import Step
from .blocks import Reused, length
from .steps import in_turn

Sizes = tuple[int, ...]
Slices = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Windows:
    """``count`` windows over an input of ``size``; every field has an entry per spatial axis.

    Element k of window t is at t * stride - before + k * dilation. What lies outside the input is
    padding; the input may have elements that no window reaches.
    """

    size: Sizes
    count: Sizes
    kernel: Sizes
    stride: Sizes
    dilation: Sizes
    before: Sizes

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.size)

    @property
    def extent(self) -> Sizes:
        """What one window spans, holes included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def span(self) -> Sizes:
        """What all windows span, padding included."""
        each = zip(self.count, self.stride, self.extent, strict=True)
        return tuple((n - 1) * s + e for n, s, e in each)

    @property
    def padded(self) -> bool:
        """Whether windows reach outside the input, or do not begin where it does."""
        return any(self.before) or any(s > n for s, n in zip(self.span, self.size, strict=True))

    @property
    def disjoint(self) -> bool:
        """Whether no element of the input is in two windows."""
        return all(s >= e for s, e in zip(self.stride, self.extent, strict=True))

    @property
    def tiling(self) -> bool:
        """Whether every element of the input is in one window, and nothing else is."""
        exact = self.stride == self.kernel == self.extent and self.span == self.size
        return exact and not self.padded

    def planar(self) -> Windows:
        """Windows over sequences as windows over images of one row."""
        return Windows(
            (1, *self.size),
            (1, *self.count),
            (1, *self.kernel),
            (1, *self.stride),
            (1, *self.dilation),
            (0, *self.before),
        )

    def mirrored(self) -> Windows:
        """The windows of the inputs over the outputs: where what an element went into is.

        With a stride above one, the outputs are taken to lie ``stride`` apart.
        """
        before = tuple(e - 1 - b for e, b in zip(self.extent, self.before, strict=True))
        return Windows(self.count, self.size, self.kernel, (1,) * self.rank, self.dilation, before)

    def elements(self) -> Iterator[Sizes]:
        """The elements of a window, in order."""
        return product(*map(range, self.kernel))

    def meet(self, element: Sizes, rows: slice) -> tuple[Slices, Slices]:
        """(input, windows): where an element falls on the input, and of which windows.

        Only those in ``rows`` of the first axis count, and their slices start there.
        """
        pairs = [self.along(0, element[0], rows)]
        pairs += [self.along(axis, element[axis]) for axis in range(1, self.rank)]
        return tuple(points for points, _ in pairs), tuple(ts for _, ts in pairs)

    def along(self, axis: int, element: int, windows: slice | None = None) -> tuple[slice, slice]:
        """The same along one axis, for some windows or all."""
        windows = windows or slice(0, self.count[axis])
        start = self.before[axis] - element * self.dilation[axis]
        start -= windows.start * self.stride[axis]
        return inside(start, self.stride[axis], length(windows), self.size[axis])

    def filled(self) -> list[list[int]]:
        """For each axis, how many elements of each window are input and not padding."""
        counts = [[0] * n for n in self.count]
        for axis, kernel in enumerate(self.kernel):
            for element in range(kernel):
                for t in range(self.count[axis])[self.along(axis, element)[1]]:
                    counts[axis][t] += 1
        return counts


def inside(start: int, step: int, count: int, size: int) -> tuple[slice, slice]:
    """(points, ts): which of the points t * step - start, t = 0 … count - 1, lie in [0, size)."""
    first = max(0, -(-start // step))
    last = min(count, -(-(start + size) // step))
    if last <= first:
        return slice(0, 0), slice(0, 0)
    return slice(first * step - start, (last - 1) * step - start + 1, step), slice(first, last)


def overlap(
    starts: Sequence[int], spans: Sequence[int], sizes: Sizes, apart: Sizes | None = None
) -> tuple[Slices, Slices]:
    """(frame, input): what an input and a frame of ``spans`` that begins at ``starts`` share.

    The elements of the input lie ``apart`` from each other, next to each other if that is None.
    """
    axes = zip(starts, apart or (1,) * len(sizes), sizes, spans, strict=True)
    pairs = [inside(*axis) for axis in axes]
    return tuple(points for points, _ in pairs), tuple(ts for _, ts in pairs)


@dataclass(frozen=True, slots=True)
class Region:
    """The input under some windows. ``load``, if any, must run before ``array`` is read."""

    array: Array
    load: Step | None


def region(xp: Any, x: Array, w: Windows, images: slice, rows: slice, memory: Reused) -> Region:
    """The input under the windows in ``rows`` of ``images``: a part of x, or a padded copy."""
    counts = (length(rows), *w.count[1:])
    spans = [(n - 1) * s + e for n, s, e in zip(counts, w.stride, w.extent, strict=True)]
    starts = [rows.start * w.stride[0] - w.before[0], *(-b for b in w.before[1:])]
    ends = [start + span for start, span in zip(starts, spans, strict=True)]
    if min(starts) >= 0 and all(end <= size for end, size in zip(ends, w.size, strict=True)):
        return Region(x[(images, *map(slice, starts, ends))], None)
    array = memory.part(length(images), *spans, x.shape[-1])
    to, source = overlap(starts, spans, w.size)
    copy = partial(xp.copyto, array[(slice(None), *to)], x[(images, *source)])
    return Region(array, in_turn([partial(array.fill, 0), copy]))


def seen(xp: Any, array: Array, w: Windows, count: Sizes) -> Array:
    """The windows over a region, as a view: (images, *count, *kernel, channels)."""
    image, *along, channel = array.strides
    steps = [n * s for n, s in zip(along, w.stride, strict=True)]
    holes = [n * d for n, d in zip(along, w.dilation, strict=True)]
    shape = (array.shape[0], *count, *w.kernel, array.shape[-1])
    return xp.lib.stride_tricks.as_strided(array, shape, (image, *steps, *holes, channel))
