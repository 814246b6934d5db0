"""Maxima and sums over windows, and their gradients, in blocks that stay in the cache."""

from __future__ import annotations

import math
from functools import partial
from math import prod
from typing import Any

from ..frame import Array, Frame
from ..op import Step
from .blocks import Reused, blocks, length
from .steps import in_turn
from .windows import Windows


def maximum(at: Frame, w: Windows, x: Array, y: Array) -> Step:
    """Writes y[t] = the largest element of window t; padding never is."""
    return _reduced(at, w, x, y, at.xp.maximum, -math.inf)


def total(at: Frame, w: Windows, x: Array, y: Array) -> Step:
    """Writes y[t] = the sum of window t."""
    return _reduced(at, w, x, y, at.xp.add, 0)


def maximum_gradient(at: Frame, w: Windows, x: Array, y: Array, dy: Array, dx: Array) -> Step:
    """Writes dx[i] = the sum of dy[t] over the windows t whose first largest element is i."""
    masks, takens, products = Reused(at, bool), Reused(at, bool), Reused(at)
    steps: list[Step] = [] if w.tiling else [partial(dx.fill, 0)]
    for images, rows in _blocks(w, x):
        shape = (length(images), length(rows), *y.shape[2:])
        mask, taken, product = (memory.part(*shape) for memory in (masks, takens, products))
        steps.append(partial(taken.fill, False))
        for element in w.elements():
            points, ts = w.meet(element, rows)
            given, to = (array[(images, *points)] for array in (x, dx))
            largest, slope = (array[images, rows][(slice(None), *ts)] for array in (y, dy))
            here, before, part = (array[(slice(None), *ts)] for array in (mask, taken, product))
            steps.append(_first_largest(at.xp, given, largest, before, here))
            steps.append(partial(at.xp.multiply, slope, here, out=to if w.disjoint else part))
            if not w.disjoint:
                steps.append(partial(at.xp.add, to, part, out=to))
    return in_turn(steps)


def _first_largest(xp: Any, x: Array, largest: Array, taken: Array, here: Array) -> Step:
    """Marks where x is the largest and nothing has been taken for it; takes that."""

    def step() -> None:
        xp.equal(x, largest, out=here)
        xp.greater(here, taken, out=here)
        xp.logical_or(taken, here, out=taken)

    return step


def total_gradient(at: Frame, w: Windows, dy: Array, dx: Array) -> Step:
    """Writes dx[i] = the sum of dy[t] over the windows t that i is in."""
    steps: list[Step] = [] if w.tiling else [partial(dx.fill, 0)]
    for images, rows in _blocks(w, dx):
        for element in w.elements():
            points, ts = w.meet(element, rows)
            to, slope = dx[(images, *points)], dy[images, rows][(slice(None), *ts)]
            if w.disjoint:
                steps.append(partial(at.xp.copyto, to, slope))
            else:
                steps.append(partial(at.xp.add, to, slope, out=to))
    return in_turn(steps)


def _blocks(w: Windows, x: Array) -> list[tuple[slice, slice]]:
    return blocks(len(x), w.count[0], w.stride[0] * prod(x.shape[2:]))


def _reduced(at: Frame, w: Windows, x: Array, y: Array, join: Any, neutral: float) -> Step:
    """Reduces one axis after the other: all but the last are sums of long runs of memory."""
    memories = [Reused(at) for _ in range(w.rank - 1)]
    steps: list[Step] = []
    for images, rows in _blocks(w, x):
        source = x[images]
        for axis in range(w.rank):
            windows = rows if axis == 0 else slice(0, w.count[axis])
            if axis < w.rank - 1:
                shape = (*source.shape[: axis + 1], length(windows), *source.shape[axis + 2 :])
                to = memories[axis].part(*shape)
            else:
                to = y[images, rows]
            steps.append(_along(at.xp, w, axis, windows, source, to, join, neutral))
            source = to
    return in_turn(steps)


def _along(
    xp: Any, w: Windows, axis: int, windows: slice, x: Array, y: Array, join: Any, neutral: float
) -> Step:
    """Writes y = x reduced along one axis."""
    leading, count = (slice(None),) * (axis + 1), length(windows)
    cuts = [w.along(axis, element, windows) for element in range(w.kernel[axis])]
    # Elements that lie on the input in every window come first: with two, nothing is filled in.
    whole = [x[(*leading, points)] for points, ts in cuts if length(ts) == count]
    clipped = [
        (y[(*leading, ts)], x[(*leading, points)]) for points, ts in cuts if length(ts) < count
    ]
    if len(whole) > 1:
        first = partial(join, whole[0], whole[1], out=y)
    else:
        first = partial(xp.copyto, y, whole[0]) if whole else partial(y.fill, neutral)
    rest = [(y, part) for part in whole[2:]] + clipped
    return in_turn([first, *(partial(join, to, part, out=to) for to, part in rest)])
