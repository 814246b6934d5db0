"""Putting steps together."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..frame import Array, Frame
from ..op import Step


def in_turn(steps: Iterable[Step]) -> Step:
    """One step that runs all."""
    every = list(steps)
    if len(every) == 1:
        return every[0]

    def step() -> None:
        for one in every:
            one()

    return step


def summed(at: Frame, total: Array, parts: Iterable[Callable[[Array], Step]]) -> Step:
    """A step that makes ``total`` the sum of the parts, each of which is told where to write.

    The first writes to ``total`` itself, the others beside it.
    """
    head, *tail = parts
    first = head(total)
    if not tail:
        return first
    beside, add = at.scratch(total.shape), at.xp.add
    others = [part(beside) for part in tail]

    def step() -> None:
        first()
        for other in others:
            other()
            add(total, beside, out=total)

    return step
