"""The same work along each spatial axis in turn: a constant matrix, or elements picked by number.

Arrays: x (images, *spatial, channels), y (images, *spatial, channels).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frame import Array, Frame
from ..op import Step
from .blocks import Reused, blocks
from .steps import in_turn

Matrix = NDArray[np.float64]
"""(elements of the output, elements of the input) of one axis."""
Along = Callable[[int, Array, Array], Iterable[Step]]
"""From an axis, an array and one that differs from it along that axis, how the other is written."""

ROWS = 64
"""Rows of a matrix that are multiplied at a time: of a band, only the columns they reach count."""


def product(at: Frame, matrices: Sequence[Matrix | None], x: Array, y: Array) -> Step:
    """Writes y = x times a matrix along each spatial axis; None leaves its axis as it is."""
    works = [None if m is None else partial(_multiplied, at, _bands(at, m)) for m in matrices]
    return _in_each_block(at, works, x, y)


def gather(at: Frame, places: Sequence[Sequence[int] | None], x: Array, y: Array) -> Step:
    """Writes y = the elements of x at these places along each axis; None takes all in order."""
    works = [None if p is None else partial(_taken, at, at.xp.asarray(p)) for p in places]
    return _in_each_block(at, works, x, y)


def _in_each_block(at: Frame, works: Sequence[Along | None], x: Array, y: Array) -> Step:
    """Axes that shrink come first, so that the others have less to do."""
    axes = [axis for axis, work in enumerate(works, 1) if work]
    if not axes:
        return partial(at.xp.copyto, y, x)
    axes.sort(key=lambda axis: y.shape[axis] / x.shape[axis])
    memories, steps = [Reused(at) for _ in axes[:-1]], list[Step]()
    for images, _ in blocks(len(x), 1, max(prod(x.shape[1:]), prod(y.shape[1:]))):
        source = x[images]
        for i, axis in enumerate(axes):
            shape = (*source.shape[:axis], y.shape[axis], *source.shape[axis + 1 :])
            to = y[images] if axis == axes[-1] else memories[i].part(*shape)
            work = works[axis - 1]
            assert work
            steps += work(axis, source, to)
            source = to
    return in_turn(steps)


def _bands(at: Frame, matrix: Matrix) -> list[tuple[slice, slice, Array]]:
    """(rows, the columns in which they are not zero, that part of the matrix)."""
    given, found = at.xp.asarray(matrix, at.dtype), list[tuple[slice, slice, Array]]()
    for start in range(0, len(matrix), ROWS):
        rows = slice(start, min(start + ROWS, len(matrix)))
        reached = np.flatnonzero(matrix[rows].any(axis=0))
        columns = slice(int(reached[0]), int(reached[-1]) + 1) if reached.size else slice(0, 1)
        found.append((rows, columns, given[rows, columns]))
    return found


def _multiplied(
    at: Frame, bands: list[tuple[slice, slice, Array]], axis: int, x: Array, y: Array
) -> Iterator[Step]:
    given, out = (a.reshape(prod(a.shape[:axis]), a.shape[axis], -1) for a in (x, y))
    for rows, columns, matrix in bands:
        yield partial(at.xp.matmul, matrix, given[:, columns], out=out[:, rows])


def _taken(at: Frame, places: Array, axis: int, x: Array, y: Array) -> Iterator[Step]:
    # NumPy's take buffers its output unless told to clip; CuPy's has no such option.
    clip: dict[str, Any] = {} if hasattr(at.xp, "RawKernel") else {"mode": "clip"}
    yield partial(at.xp.take, x, places, axis=axis, out=y, **clip)
