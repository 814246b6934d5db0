"""The steps of a recurrent layer that a mask does not count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from ..frame import Array, Frame
from ..op import Step


@dataclass(frozen=True)
class Held:
    """Which steps count, time being the first axis: a step that does not holds what was before it.

    ``counted``, and ``held``, its opposite, are (steps, rows, 1, ...) like the states.

    ``seen`` is whether a step that counts has come yet; it is there only where that matters. The
    output repeats the state, and a state that nobody gave is zeros: what the output of the first
    steps is to be, even where an initial state was given.
    """

    at: Frame
    counted: Array
    held: Array
    seen: Array

    @classmethod
    def of(cls, at: Frame, mask: Array, rank: int, given: bool) -> Held:
        """For a mask (steps, rows), or None, and states of ``rank``, the first of them given."""
        counted = None if mask is None else mask[(..., *[None] * (rank - 1))]
        return cls._of(at, counted, given)

    @classmethod
    def of_columns(cls, at: Frame, mask: Array, given: bool) -> Held:
        """The same for states (units, rows): all arrays are (steps, 1, rows)."""
        counted = None if mask is None else mask[..., None].transpose(1, 2, 0)
        return cls._of(at, counted, given)

    @classmethod
    def _of(cls, at: Frame, counted: Array, given: bool) -> Held:
        if counted is None:
            return cls(at, None, None, None)
        shape = counted.shape
        return cls(at, counted, at.keep(shape, bool), at.keep(shape, bool) if given else None)

    def prepare(self) -> list[Step]:
        """What comes first in forward."""
        if self.counted is None:
            return []
        xp, counted, seen = self.at.xp, self.counted, self.seen
        steps: list[Step] = [partial(xp.logical_not, counted, out=self.held)]
        if seen is not None:
            steps.append(partial(xp.copyto, seen[0], counted[0]))
            for s in range(1, len(seen)):
                steps.append(partial(xp.logical_or, seen[s - 1], counted[s], out=seen[s]))
        return steps

    def hold(self, s: int, states: Iterable[tuple[Array, Array]]) -> list[Step]:
        """Steps that make each (to, source) the same where step s does not count."""
        if self.counted is None:
            return []
        return [partial(self.at.xp.copyto, to, source, where=self.held[s]) for to, source in states]

    def drop(self, arrays: Iterable[Array], block: slice = slice(None)) -> list[Step]:
        """Steps that make arrays, of a block of steps or of all, zero where one does not count."""
        if self.counted is None:
            return []
        return [partial(self.at.xp.multiply, a, self.counted[block], out=a) for a in arrays]

    def copy(self, source: Array, to: Array) -> Step:
        """A step that copies sequences, or their gradient, but zeros until a step counts."""
        if self.seen is None:
            return partial(self.at.xp.copyto, to, source)
        return partial(self.at.xp.multiply, source, self.seen, out=to)
