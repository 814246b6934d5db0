"""Examples without end, of which an epoch is a stretch: in turn, or each class as often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .dataset import TARGET, Batch, Task
from .rows import Index, Rows

Array = NDArray[Any]


class Endless(Rows):
    """Epochs of ``epoch_size`` examples; each goes on where the one before it ended.

    All examples come in an order of their own before one comes again. Without an epoch, as
    evaluation asks, it is the dataset itself.
    """

    def __init__(self, of: Rows, epoch_size: int) -> None:
        super().__init__(seed=of.seed)
        if epoch_size < 1 or not len(of):
            raise UsageError(f"an epoch of {epoch_size} examples out of {len(of)}")
        self.of, self._size = of, epoch_size

    def __len__(self) -> int:
        return self._size

    def take(self, rows: Index) -> Batch:
        return self.of.take(rows)

    def column(self, name: str) -> Array:
        return self.of.column(name)

    def order(self, epoch: int | None) -> Array | None:
        positions = np.arange(self._size) + (epoch or 0) * self._size
        return _dealt(np.arange(len(self.of)), positions, (self.seed,))

    def tasks(self, size: int, epoch: int | None = None) -> Iterator[Task]:
        return self.of.tasks(size) if epoch is None else super().tasks(size, epoch)


class Balanced(Endless):
    """Endless, and every class as often as any other: they take turns.

    Args:
        of: the examples.
        epoch_size: how many an epoch has; by default as many as there are.
        target: the name of the classes: their numbers, or one-hot.
    """

    def __init__(self, of: Rows, epoch_size: int | None = None, *, target: str = TARGET) -> None:
        super().__init__(of, len(of) if epoch_size is None else epoch_size)
        classes = of.column(target)
        if classes.ndim > 1:
            classes = classes.reshape(len(classes), -1).argmax(axis=1)
        self._members = [np.flatnonzero(classes == each) for each in np.unique(classes)]

    def order(self, epoch: int | None) -> Array | None:
        positions = np.arange(self._size) + (epoch or 0) * self._size
        kinds = len(self._members)
        found = np.empty(self._size, np.intp)
        turns = _dealt(np.arange(kinds), positions, (self.seed, kinds))
        for kind, members in enumerate(self._members):
            its = turns == kind
            found[its] = _dealt(members, positions[its] // kinds, (self.seed, kinds, kind))
        return found


def _dealt(rows: Array, positions: Array, key: tuple[int, ...]) -> Array:
    """What comes at rising positions of a row of shuffled decks, one after the other for ever."""
    if not len(positions):
        return rows[:0]
    first, last = (int(at) // len(rows) for at in positions[[0, -1]])
    decks = [np.random.default_rng((*key, n)).permutation(rows) for n in range(first, last + 1)]
    return np.concatenate(decks)[positions - first * len(rows)]
