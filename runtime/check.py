"""Comparing what a network computes with what it should: the measure, the records, the replay.

The importer proves a file with it, the server replays it before a model is ready, and training uses
it before it publishes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TOLERANCE = 1e-4
"""Largest difference of a layer, relative to its scale, that still counts as no difference."""

SMALLEST_SCALE = 1e-6
BLOCK = 1 << 15  # elements compared at a time: they stay in a core's cache, and take no memory
SAMPLE = 16_384


@dataclass(frozen=True, slots=True)
class Difference:
    """How far ``actual`` is from ``expected``.

    ``relative`` is the larger of max|error| / max|expected| and rms(error) / rms(expected), both
    denominators at least 1e-6. It is infinite where shapes differ or where one side has a NaN or an
    infinity that the other has not, and where one string differs.
    """

    max_abs: float
    scale: float
    relative: float

    def within(self, tolerance: float) -> bool:
        """Whether the two computations agree."""
        return self.relative <= tolerance


NO_AGREEMENT = Difference(math.inf, 0.0, math.inf)
SAME_STRINGS = Difference(0.0, 1.0, 0.0)


def difference(actual: Array, expected: Array, least: float = SMALLEST_SCALE) -> Difference:
    """Compares two arrays of one shape; both are taken as float64, unless they hold strings.

    ``least`` is the least scale that errors are measured on.
    """
    if actual.shape != expected.shape:
        return NO_AGREEMENT
    if object in (actual.dtype, expected.dtype):
        return SAME_STRINGS if np.array_equal(actual, expected) else NO_AGREEMENT
    found, wanted, errors, values = actual.reshape(-1), expected.reshape(-1), _Norm(), _Norm()
    for start in range(0, wanted.size, BLOCK):
        part = slice(start, start + BLOCK)
        pair = _both_finite(found[part].astype(np.float64), wanted[part].astype(np.float64))
        if pair is None:
            return NO_AGREEMENT
        values.add(pair[1])
        with np.errstate(over="ignore"):
            errors.add(np.subtract(*pair, out=pair[0]))
        if not math.isfinite(errors.largest):
            return NO_AGREEMENT
    if not values.count:  # of nothing but NaN and infinity nothing is proved
        return NO_AGREEMENT if wanted.size else Difference(0.0, SMALLEST_SCALE, 0.0)
    scale, below = (max(size, least) for size in (values.largest, values.rms))
    return Difference(errors.largest, scale, max(errors.largest / scale, errors.rms / below))


def _both_finite(found: Array, wanted: Array) -> tuple[Array, Array] | None:
    """The finite elements of both; None unless what is not finite is the same in both."""
    finite = np.isfinite(wanted)
    if not finite.all():
        if not np.array_equal(found[~finite], wanted[~finite], equal_nan=True):
            return None
        found, wanted = found[finite], wanted[finite]
    return (found, wanted) if np.isfinite(found).all() else None


class _Norm:
    """The largest size and the root mean square of numbers that come in parts.

    The squares summed are those of number / largest, so that none leaves the range of floats.
    """

    def __init__(self) -> None:
        self.largest, self.count, self._squares = 0.0, 0, 0.0

    @property
    def rms(self) -> float:
        """The root mean square of those so far; there must be one."""
        return self.largest * math.sqrt(self._squares / self.count)

    def add(self, numbers: Array) -> None:
        """Takes in another part."""
        if not numbers.size:
            return
        self.count += numbers.size
        largest = max(float(numbers.max()), -float(numbers.min()))
        if largest > self.largest:
            self._squares *= (self.largest / largest) ** 2
            self.largest = largest
        if self.largest and math.isfinite(self.largest):
            scaled = numbers / self.largest
            self._squares += float(np.square(scaled, out=scaled).sum())


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a value was when it was right: every ``stride``-th element of it in C order.

    ``least`` is the least scale that errors are measured on: above the smallest of all for what was
    computed by a function whose rounding does not shrink with its values.
    """

    shape: tuple[int, ...]
    values: Array
    stride: int = 1
    least: float = SMALLEST_SCALE

    @classmethod
    def of(cls, value: Array, most: int = SAMPLE) -> Recorded:
        """Records ``value``, thinned out evenly to at most ``most`` elements."""
        stride = max(1, -(-value.size // most))
        return cls(value.shape, np.ascontiguousarray(value.reshape(-1)[::stride]), stride)

    def difference(self, actual: Array) -> Difference:
        """Compares ``actual`` with the record."""
        if actual.shape != self.shape:
            return NO_AGREEMENT
        return difference(actual.reshape(-1)[:: self.stride], self.values, self.least)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is known of a value that was not kept: its moments, its range, its first elements."""

    shape: tuple[int, ...]
    mean: float
    std: float
    min: float
    max: float
    first: Array

    @classmethod
    def of(cls, value: Array, first: int = 64) -> Statistics:
        """The statistics of ``value``, computed in float64; strings have none but their shape."""
        if value.dtype == object:
            return cls(value.shape, math.nan, math.nan, math.nan, math.nan, np.empty(0))
        exact = value.astype(np.float64)
        if not exact.size:
            return cls(value.shape, 0.0, 0.0, 0.0, 0.0, exact.reshape(-1))
        with np.errstate(invalid="ignore", over="ignore"):
            mean, std = float(exact.mean()), float(exact.std())
        low, high = float(exact.min()), float(exact.max())
        return cls(value.shape, mean, std, low, high, exact.reshape(-1)[:first])

    def difference(self, actual: Array) -> Difference:
        """Compares the statistics of ``actual`` with these, on the scale of the value's range."""
        if actual.shape != self.shape:
            return NO_AGREEMENT
        found = Statistics.of(actual, self.first.size)
        moments = difference(found._moments(), self._moments())
        first = difference(found.first, self.first)
        scale = max(moments.scale, first.scale)
        largest = max(moments.max_abs, first.max_abs)
        return Difference(largest, scale, largest / scale if scale else math.inf)

    def _moments(self) -> Array:
        return np.array([self.mean, self.std, self.min, self.max])


Expected = Recorded | Statistics


@dataclass(frozen=True, slots=True)
class Check:
    """A reference input and what came of it, by output and by layer, each in order of execution.

    It travels with a model: whoever runs the model elsewhere can replay it. ``evidence`` says who
    computed the expected values (see ``importer.reference``).
    """

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Recorded]
    layers: Mapping[str, Recorded]
    tolerance: float = TOLERANCE
    evidence: str = "engines"

    def differing_outputs(self, outputs: Mapping[str, Array]) -> Iterator[tuple[str, Difference]]:
        """The outputs that do not come out as recorded."""
        return self._differing(self.outputs, outputs.__getitem__)

    def differing_layers(self, value: Callable[[str], Array]) -> Iterator[tuple[str, Difference]]:
        """The layers that do not come out as recorded, in order; ``value`` is asked for each."""
        return self._differing(self.layers, value)

    def _differing(
        self, expected: Mapping[str, Recorded], value: Callable[[str], Array]
    ) -> Iterator[tuple[str, Difference]]:
        for name, recorded in expected.items():
            found = recorded.difference(value(name))
            if not found.within(self.tolerance):
                yield name, found
