"""A curve of any length in few points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

MOST = 400
"""Points."""


@dataclass
class Curve:
    """Means of as many neighbouring values as it takes to need no more than ``MOST`` points.

    Attributes:
        latest: the last value.
    """

    latest: float | None = None
    _x: list[float] = field(default_factory=list[float])
    _y: list[float] = field(default_factory=list[float])
    _stride: int = 1
    _sum: float = 0.0
    _count: int = 0

    @property
    def points(self) -> tuple[Sequence[float], Sequence[float]]:
        """Where each stretch of values ends, and its mean."""
        return self._x, self._y

    def add(self, x: float, y: float) -> None:
        """One more value, further on."""
        self.latest = y
        self._sum += y
        self._count += 1
        if self._count < self._stride:
            return
        self._x.append(round(x, 4))
        self._y.append(self._sum / self._count)
        self._sum, self._count = 0.0, 0
        if len(self._x) > MOST:
            self._halve()

    def _halve(self) -> None:
        """Joins each two points; one that is left over begins the next."""
        pairs = len(self._y) // 2
        rest = self._y[2 * pairs :]
        self._sum, self._count = sum(rest) * self._stride, len(rest) * self._stride
        self._x = self._x[1 : 2 * pairs : 2]
        self._y = [(a + b) / 2 for a, b in zip(self._y[::2], self._y[1::2], strict=False)]
        self._stride *= 2
