"""Maxima over windows of unequal sizes, and their gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from math import prod

from ..frame import Array, Frame
from ..op import Step
from .blocks import Reused, length
from .largest import Largest
from .steps import in_turn
from .windows import Sizes, Slices

Spans = Sequence[slice]
"""What each window takes of an axis."""


def maximum(at: Frame, spans: Sequence[Spans], x: Array, y: Array) -> Step:
    """Writes y[t] = the largest element of window t."""
    axes = tuple(range(1, x.ndim - 1))
    return in_turn(
        partial(at.xp.max, x[(slice(None), *box)], axis=axes, out=y[(slice(None), *t)])
        for t, box in _boxes(spans)
    )


def maximum_gradient(
    at: Frame, spans: Sequence[Spans], x: Array, y: Array, dy: Array, dx: Array
) -> Step:
    """Writes dx[i] = the sum of dy[t] over the windows t whose first largest element is i."""
    xp, copies, slopes = at.xp, Reused(at), Reused(at)
    largest = Largest(at, prod(max(map(length, axis)) for axis in spans))
    steps: list[Step] = [partial(dx.fill, 0)]
    for t, box in _boxes(spans):
        part, to = x[(slice(None), *box)], dx[(slice(None), *box)]
        copy, slope = copies.part(*part.shape), slopes.part(*part.shape)
        flat, flat_slope = (a.reshape(len(x), -1, x.shape[-1]) for a in (copy, slope))
        one, one_slope = (a[(slice(None), *t)][:, None] for a in (y, dy))
        steps.append(partial(xp.copyto, copy, part))
        steps.append(largest.gradient(flat, one, one_slope, flat_slope))
        steps.append(partial(xp.add, to, slope, out=to))
    return in_turn(steps)


def _boxes(spans: Sequence[Spans]) -> Iterator[tuple[Sizes, Slices]]:
    """(which window, what it takes of each axis), in order."""
    for window in product(*map(enumerate, spans)):
        yield tuple(t for t, _ in window), tuple(span for _, span in window)
