"""Arrays in memory as a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .dataset import Batch

Array = NDArray[Any]


class Arrays:
    """Named arrays with an example a row.

    Args:
        arrays: by the name of the input or target they are for.
        seed: of the order.
        shuffle: whether an epoch has an order of its own.

    Raises:
        UsageError: they are empty, or have not as many rows.
    """

    def __init__(self, arrays: Mapping[str, Array], *, seed: int = 0, shuffle: bool = True) -> None:
        self.arrays = {name: np.asarray(array) for name, array in arrays.items()}
        rows = {name: len(array) for name, array in self.arrays.items()}
        if not rows or not min(rows.values()):
            raise UsageError(f"the data are empty: {rows}")
        if len(set(rows.values())) > 1:
            raise UsageError(f"the arrays have not as many rows: {rows}")
        self._seed, self._shuffle = seed, shuffle

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def batches(self, size: int, epoch: int | None = None) -> Iterator[Batch]:
        """Batches of ``size`` rows, the last one what is left."""
        order: Array | None = None
        if epoch is not None and self._shuffle:
            order = np.random.default_rng((self._seed, epoch)).permutation(len(self))
        for first in range(0, len(self), size):
            rows = slice(first, first + size) if order is None else order[first : first + size]
            yield {name: array[rows] for name, array in self.arrays.items()}
