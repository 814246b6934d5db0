"""Datasets whose examples can be had by number: what gives them an order, and parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .dataset import Batch, Task

Array = NDArray[Any]
Index: TypeAlias = Array | slice


class Rows:
    """Examples that have numbers, in an order of its own for each epoch.

    Args:
        seed: of the order.
        shuffle: whether an epoch has an order of its own.

    Attributes:
        classes: what the classes are called, in the order of their numbers, where that is known.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, *, seed: int = 0, shuffle: bool = True) -> None:
        self.seed, self.shuffle = seed, shuffle

    def __len__(self) -> int:
        """How many examples an epoch has."""
        raise NotImplementedError

    def take(self, rows: Index) -> Batch:
        """The examples of these numbers, by any thread."""
        raise NotImplementedError

    def column(self, name: str) -> Array:
        """One of the arrays, of all examples.

        Raises:
            UsageError: there is none of this name.
        """
        found = self.take(slice(0, len(self)))
        if name not in found:
            raise UsageError(f"the data have no {name!r}; they have {', '.join(sorted(found))}")
        return found[name]

    def order(self, epoch: int | None) -> Array | None:
        """The numbers of the rows of an epoch; None: as they stand."""
        if epoch is None or not self.shuffle:
            return None
        return np.random.default_rng((self.seed, epoch)).permutation(len(self))

    def tasks(self, size: int, epoch: int | None = None) -> Iterator[Task]:
        """What makes each of ``batches``."""
        check_size(size)
        order = self.order(epoch)
        for first in range(0, len(self) if order is None else len(order), size):
            rows = slice(first, first + size) if order is None else order[first : first + size]
            yield lambda rows=rows: self.take(rows)

    def batches(self, size: int, epoch: int | None = None) -> Iterator[Batch]:
        """Batches of ``size`` rows, the last one what is left."""
        return (task() for task in self.tasks(size, epoch))


class Part(Rows):
    """Some rows of a dataset."""

    def __init__(self, of: Rows, rows: Array) -> None:
        super().__init__(seed=of.seed, shuffle=of.shuffle)
        self.of, self._rows = of, rows

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, rows: Index) -> Batch:
        return self.of.take(self._rows[rows])

    def column(self, name: str) -> Array:
        return self.of.column(name)[self._rows]


def split(dataset: Rows, *sizes: int | float, seed: int | None = None) -> tuple[Part, ...]:
    """Cuts a dataset into parts of these sizes, and one of what is left.

    A size is a number of examples, or a fraction of all below 1. ``seed`` mixes the examples
    first; without it the parts are as the rows stand.

    Raises:
        UsageError: a part would be empty, or a size is neither.
    """
    count = len(dataset)
    rows = np.arange(count) if seed is None else np.random.default_rng(seed).permutation(count)
    for size in sizes:
        if size != int(size) and not 0 < size < 1:
            raise UsageError(f"{size} is neither a fraction below 1 nor a number of examples")
    numbers = [round(size * count) if 0 < size < 1 else int(size) for size in sizes]
    rest = count - sum(numbers)
    if min(*numbers, rest) < 1:
        raise UsageError(f"{count:,} examples do not split into {[*numbers, rest]}")
    return tuple(Part(dataset, part) for part in np.split(rows, np.cumsum(numbers)))


def check_size(size: int) -> None:
    """Refuses batches of nothing.

    Raises:
        UsageError: the size is not positive.
    """
    if size < 1:
        raise UsageError(f"a batch of {size} examples: it must have one at least")
