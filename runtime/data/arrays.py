"""Arrays in memory as a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .dataset import Batch
from .rows import Index, Rows

Array = NDArray[Any]


class Arrays(Rows):
    """Named arrays with an example a row.

    Args:
        arrays: by the name of the input or target they are for.
        seed: of the order.
        shuffle: whether an epoch has an order of its own.

    Raises:
        UsageError: they are empty, or have not as many rows.
    """

    def __init__(self, arrays: Mapping[str, Any], *, seed: int = 0, shuffle: bool = True) -> None:
        super().__init__(seed=seed, shuffle=shuffle)
        self.arrays: dict[str, Array] = {name: np.asarray(each) for name, each in arrays.items()}
        check_rows({name: array.shape for name, array in self.arrays.items()})

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def take(self, rows: Index) -> Batch:
        return {name: array[rows] for name, array in self.arrays.items()}


def check_rows(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses arrays that are no examples of one dataset.

    Raises:
        UsageError: they are empty, or have not as many rows.
    """
    if single := [name for name, shape in shapes.items() if not shape]:
        raise UsageError(f"{single[0]!r} is one number, not an array of examples")
    rows = {name: shape[0] for name, shape in shapes.items()}
    if not rows or not min(rows.values()):
        raise UsageError(f"the data are empty: {rows}")
    if len(set(rows.values())) > 1:
        raise UsageError(f"the arrays have not as many rows: {rows}")
