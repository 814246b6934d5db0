"""What values an array holds: its range, its moments, how much of it is of no use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
HALF_LEAST, HALF_MOST = 2.0**-25, 65_520.0
"""What float16 rounds to zero, and what to infinity."""


@dataclass(frozen=True)
class Distribution:
    """The values of an array, or of several that were added.

    Attributes:
        count, finite: elements, and those that are finite; the rest is told of these.
        low, high: the extremes; 0 where there is nothing.
        total, squares: sums of the values, and of their squares, in float64.
        zeros: elements that are 0.
        saturated: elements at an end of the range that they can have.
        lost: elements that float16 would take for 0 or for infinite, and that are neither.
        sample: float64, elements spread evenly over each array.
    """

    count: int
    finite: int
    low: float
    high: float
    total: float
    squares: float
    zeros: int
    saturated: int
    lost: int
    sample: Array

    @classmethod
    def of(
        cls, array: Array, ends: Sequence[float] = (), near: float = 0.0, most: int | None = None
    ) -> Distribution:
        """That of an array.

        Args:
            array: of numbers.
            ends: of the range its elements can have.
            near: how far from an end elements still are saturated.
            most: elements of the sample; None: all.
        """
        values = array.reshape(-1).astype(np.float64)
        values = values[np.isfinite(values)]
        sizes = np.abs(values)
        return cls(
            array.size,
            values.size,
            float(values.min()) if values.size else 0.0,
            float(values.max()) if values.size else 0.0,
            float(values.sum()),
            float(np.dot(values, values)),
            int(np.count_nonzero(values == 0)),
            sum(int(np.count_nonzero(np.abs(values - end) <= near)) for end in ends),
            int(np.count_nonzero((sizes > 0) & ((sizes <= HALF_LEAST) | (sizes >= HALF_MOST)))),
            values[:: max(1, -(-values.size // most))] if most else values,
        )

    def __add__(self, other: Distribution) -> Distribution:
        """That of both; what is of nothing finite has no range."""
        ranges = [each for each in (self, other) if each.finite]
        return Distribution(
            self.count + other.count,
            self.finite + other.finite,
            min((each.low for each in ranges), default=0.0),
            max((each.high for each in ranges), default=0.0),
            self.total + other.total,
            self.squares + other.squares,
            self.zeros + other.zeros,
            self.saturated + other.saturated,
            self.lost + other.lost,
            np.concatenate([self.sample, other.sample]),
        )

    @property
    def mean(self) -> float:
        """Of the finite elements."""
        return self.total / max(1, self.finite)

    @property
    def deviation(self) -> float:
        """The standard deviation of the finite elements."""
        return max(0.0, self.squares / max(1, self.finite) - self.mean**2) ** 0.5

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Of the sample, at ``QUANTILES``."""
        if not self.sample.size:
            return (0.0,) * len(QUANTILES)
        return tuple(map(float, np.quantile(self.sample, QUANTILES)))
