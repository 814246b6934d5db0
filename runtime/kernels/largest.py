"""The gradient of a maximum: the slope goes to the largest element, of equal ones to the first."""

from __future__ import annotations

from ..frame import Array, Frame
from ..op import Step
from .blocks import Reused


class Largest:
    """Scratch memory that several maxima, each of ``most`` elements at most, use in turn."""

    def __init__(self, at: Frame, most: int) -> None:
        self._xp = at.xp
        self._places = at.hold((most, 1), "int32")
        self._places[:, 0] = at.xp.arange(most)
        self._here, self._found = Reused(at, bool), Reused(at, "int32")
        self._first = Reused(at, "int32")

    def gradient(self, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        """Writes dx = dy where x is y for the first time along axis 1, else 0.

        x and dx are (rows, elements, channels), y and dy (rows, 1, channels).
        """
        xp, count = self._xp, x.shape[1]
        places, first = self._places[:count], self._first.part(*y.shape)
        here, found = self._here.part(*x.shape), self._found.part(*x.shape)

        def step() -> None:
            xp.equal(x, y, out=here)
            found.fill(count)
            xp.copyto(found, places, where=here)
            xp.min(found, axis=1, keepdims=True, out=first)
            xp.equal(places, first, out=here)
            xp.multiply(dy, here, out=dx)

        return step
