"""Cutting a batch into blocks that stay in a core's cache, and the memory they share."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

from ..frame import Array, Frame

BLOCK = 1 << 18
"""Elements that are worked on at a time: 1 MB of float32."""


def blocks(images: int, rows: int, per_row: int, least: int = 0) -> list[tuple[slice, slice]]:
    """Cuts a batch into blocks (images, rows of an image), the largest first.

    A block is several whole images, or rows of one, of ``BLOCK`` elements at most; but it may have
    ``least``.
    """
    fit = max(1, max(BLOCK, least) // per_row)
    if fit >= rows:
        return [(cut, slice(0, rows)) for cut in _cuts(images, fit // rows)]
    return [(slice(i, i + 1), cut) for i in range(images) for cut in _cuts(rows, fit)]


def _cuts(total: int, most: int) -> list[slice]:
    """Slices of nearly equal length."""
    pieces = -(-total // most)
    each, more = divmod(total, pieces)
    edges = [i * each + min(i, more) for i in range(pieces + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def length(cut: slice) -> int:
    """Number of elements in a slice of step one."""
    return cut.stop - cut.start


class Reused:
    """Scratch memory that blocks use one after the other."""

    def __init__(self, at: Frame, dtype: Any = None) -> None:
        self._take, self._dtype = at.scratch, dtype
        self._array: Array = None

    def part(self, *shape: int) -> Array:
        """A C-contiguous array over the memory; the first asked for should be the largest."""
        size = prod(shape)
        if self._array is None or size > self._array.size:
            self._array = self._take((size,), self._dtype)
        return self._array[:size].reshape(shape)
