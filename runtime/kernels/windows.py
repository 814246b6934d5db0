"""Where the windows of a convolution or a pooling lie, and the memory they are worked on in.

Arrays are channels last: (rows, *spatial, channels).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from ..frame import Array, Frame
from ..op import Step

BLOCK = 1 << 18
"""Elements that are worked on at a time: 1 MB of float32, so that a block stays in a core's cache."""

Sizes = tuple[int, ...]
Slices = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Windows:
    """``count`` windows over an input of ``size``; every field has an entry per spatial axis.

    Element k of window t is at t * stride - before + k * dilation. What lies outside the input is
    padding; input that no window reaches is allowed.
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
        """The input one window spans, holes included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def span(self) -> Sizes:
        """The input all windows span, with padding and without what no window reaches."""
        each = zip(self.count, self.stride, self.extent, strict=True)
        return tuple((n - 1) * s + e for n, s, e in each)

    @property
    def padded(self) -> bool:
        """Whether windows reach outside the input, or do not start with it."""
        return any(self.before) or any(s > n for s, n in zip(self.span, self.size, strict=True))

    @property
    def disjoint(self) -> bool:
        """Whether no input element is in two windows."""
        return all(s >= e for s, e in zip(self.stride, self.extent, strict=True))

    @property
    def tiling(self) -> bool:
        """Whether every input element is in exactly one window, and no window has padding."""
        return (
            not self.padded
            and self.stride == self.kernel == self.extent
            and self.span == self.size
        )

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

    def filled(self) -> list[list[int]]:
        """For each axis, how many elements of each window lie on the input."""
        counts = [[0] * n for n in self.count]
        for axis, kernel in enumerate(self.kernel):
            for element in range(kernel):
                for t in range(self.count[axis])[self.along(axis, element)[1]]:
                    counts[axis][t] += 1
        return counts

    def elements(self) -> Iterator[Sizes]:
        """The elements of a window, in order."""
        return product(*map(range, self.kernel))

    def meet(self, element: Sizes, rows: slice) -> tuple[Slices, Slices]:
        """(input, output): where an element of the windows falls on the input, and of which windows.

        Only windows in ``rows`` of the first axis count, and the output's slices start there.
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


def inside(start: int, step: int, count: int, length: int) -> tuple[slice, slice]:
    """Which of the points ``t * step - start``, t = 0 … count - 1, lie in [0, length): (points, ts)."""
    first = max(0, -(-start // step))
    last = min(count, -(-(start + length) // step))
    if last <= first:
        return slice(0, 0), slice(0, 0)
    return slice(first * step - start, (last - 1) * step - start + 1, step), slice(first, last)


def covers(ts: Slices, count: Sizes) -> bool:
    """Whether slices are all of the axes they cut."""
    return all((t.start, t.stop) == (0, n) for t, n in zip(ts, count, strict=True))


def blocks(images: int, rows: int, per_row: int, most: int = BLOCK) -> list[tuple[slice, slice]]:
    """Cuts a batch into (images, rows of an image) of at most ``most`` elements, the largest first.

    A block is several whole images, or rows of one.
    """
    fit = max(1, most // per_row)
    if fit >= rows:
        return [(cut, slice(0, rows)) for cut in _cuts(images, fit // rows)]
    return [(slice(i, i + 1), cut) for i in range(images) for cut in _cuts(rows, fit)]


def _cuts(length: int, most: int) -> list[slice]:
    pieces = -(-length // most)
    edges = [-(-length * i // pieces) for i in range(pieces + 1)]
    sizes = sorted((b - a for a, b in zip(edges, edges[1:], strict=False)), reverse=True)
    starts = [sum(sizes[:i]) for i in range(pieces)]
    return [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]


def length(cut: slice) -> int:
    """Number of elements of a slice of step one."""
    return cut.stop - cut.start


class Reused:
    """Scratch memory that blocks use one after the other."""

    def __init__(self, at: Frame, dtype: Any = None) -> None:
        self.xp, self._dtype = at.xp, dtype
        self._take = at.scratch
        self._array: Array = None

    def part(self, *shape: int) -> Array:
        """A C-contiguous array over that memory; the first that is asked for should be the largest."""
        size = prod(shape)
        if self._array is None or size > self._array.size:
            self._array = self._take((size,), self._dtype)
        return self._array[:size].reshape(shape)


@dataclass(frozen=True, slots=True)
class Region:
    """The input under some windows. ``load``, if any, must run before ``array`` is read."""

    array: Array
    load: Step | None


def region(x: Array, w: Windows, images: slice, rows: slice, memory: Reused) -> Region:
    """The input under the windows in ``rows`` of ``images``: part of x, or a padded copy of that."""
    counts = (length(rows), *w.count[1:])
    lengths = [(n - 1) * s + e for n, s, e in zip(counts, w.stride, w.extent, strict=True)]
    starts = [rows.start * w.stride[0] - w.before[0], *(-b for b in w.before[1:])]
    axes = list(zip(starts, lengths, w.size, strict=True))
    if all(0 <= start and start + n <= size for start, n, size in axes):
        return Region(x[(images, *(slice(start, start + n) for start, n, _ in axes))], None)
    pairs = [inside(start, 1, size, n) for start, n, size in axes]
    array = memory.part(length(images), *lengths, x.shape[-1])
    to = array[(slice(None), *(points for points, _ in pairs))]
    source = x[(images, *(ts for _, ts in pairs))]
    copyto = memory.xp.copyto

    def load() -> None:
        array.fill(0)
        copyto(to, source)

    return Region(array, load)


def seen(xp: Any, array: Array, w: Windows, count: Sizes) -> Array:
    """The windows over a region, as a view: (rows, *count, *kernel, channels)."""
    rows, *along, channel = array.strides
    steps = [n * s for n, s in zip(along, w.stride, strict=True)]
    holes = [n * d for n, d in zip(along, w.dilation, strict=True)]
    shape = (array.shape[0], *count, *w.kernel, array.shape[-1])
    return xp.lib.stride_tricks.as_strided(array, shape, (rows, *steps, *holes, channel))
