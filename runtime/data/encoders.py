"""Classes as numbers and as one-hot rows, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

Array = NDArray[Any]


def one_hot(ids: Any, classes: int, *, what: str = "the labels") -> Array:
    """Rows of 0 with one 1: float32 of shape [*ids.shape, classes].

    Raises:
        UsageError: an id is no whole number, or is none of the classes.
    """
    numbers = np.asarray(ids)
    if numbers.dtype.kind not in "iu":
        raise UsageError(f"{what}: {numbers.dtype} are no numbers of classes")
    wrong = (numbers < 0) | (numbers >= classes)
    if wrong.any():
        place = tuple(int(at) for at in np.argwhere(wrong)[0])
        where = ", ".join(map(str, place))
        raise UsageError(f"{what}: {numbers[place]} at {where} is not from 0 to {classes - 1}")
    rows = np.zeros((numbers.size, classes), np.float32)
    rows[np.arange(numbers.size), numbers.reshape(-1)] = 1
    return rows.reshape(*numbers.shape, classes)


@dataclass(frozen=True)
class Categories:
    """The values that a column of a table may have, in the order of their numbers."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, values: Sequence[str]) -> Categories:
        """Those that occur, sorted."""
        return cls(tuple(sorted(set(values))))

    def ids(self, values: Sequence[str]) -> Array:
        """The number of each value, int64.

        Raises:
            UsageError: a value that is none of them.
        """
        numbers = {name: number for number, name in enumerate(self.names)}
        if unknown := next((value for value in values if value not in numbers), None):
            raise UsageError(f"{unknown!r} is none of {', '.join(self.names[:10])}")
        return np.array([numbers[value] for value in values], np.int64)

    def one_hot(self, values: Sequence[str]) -> Array:
        """A row of float32 for each value."""
        return one_hot(self.ids(values), len(self.names))

    def columns(self, name: str) -> tuple[str, ...]:
        """What the columns that a column becomes are called."""
        return tuple(f"{name}_{value}" for value in self.names)

    def decode(self, rows: Any) -> list[str]:
        """The values of one-hot rows, or of scores: the largest."""
        return [self.names[number] for number in np.asarray(rows).argmax(axis=-1)]
