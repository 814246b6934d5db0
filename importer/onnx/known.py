"""Values that are known before the model runs: its weights, and what follows from shapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import Unsupported
from ...runtime.tensor import Size
from ..deferred import Deferred
from .sizes import tidy

Array = NDArray[Any]

MOST = 1 << 16
"""Elements of an array that is computed while the file is read."""
DEEPEST = 32
"""Changes of a stored array, one upon the other, that are left until it is read."""

STAND_IN = 1_000_003
"""About what an open size is taken to be while only shapes are computed."""


@dataclass(frozen=True)
class Known:
    """An array of the file, or one computed of such.

    Attributes:
        array: it, or where it lies.
        trained: it is one of the file's weights.
        changes: how many are put off until it is read.
    """

    array: Deferred | Array
    trained: bool = False
    changes: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        return self.array.shape

    @property
    def is_small(self) -> bool:
        """Whether it may be computed with while the file is read."""
        return math.prod(self.shape) <= MOST

    def here(self) -> Array:
        """The array in memory.

        Raises:
            Unsupported: it is too large for what is done with it.
        """
        if not self.is_small:
            raise Unsupported(f"an array of shape {self.shape} is too large for this")
        return np.asarray(self.array) if isinstance(self.array, Deferred) else self.array

    def stored(self, name: str) -> Deferred:
        """As an array to be written.

        Raises:
            Unsupported: it depends on open sizes.
        """
        if isinstance(self.array, Deferred):
            return self.array
        if self.array.dtype == object:
            raise Unsupported(f"{name!r} depends on open sizes")
        array = self.array
        return Deferred(name, array.shape, array.dtype, lambda: array)

    def map(self, change: Callable[[Array], Array]) -> Known:
        """What ``change`` makes of it: a view of another shape, order or dtype, or a part."""
        if isinstance(self.array, Deferred) and self.changes >= DEEPEST:
            raise Unsupported(f"{self.array.name!r} is changed too often before it is used")
        if isinstance(self.array, Deferred):
            array = self.array.map(change)
        else:
            array = tidy(np.asarray(change(self.array)))  # an element of objects comes as itself
        return replace(self, array=array, changes=self.changes + 1)


@dataclass(frozen=True)
class Filled:
    """One number in a shape that may be open."""

    number: Array
    """Of no axes."""
    shape: tuple[Size, ...]

    def map(self, change: Callable[[Array], Array]) -> Filled:
        """What ``change`` makes of it: a view of another shape, order or dtype, or a part.

        Raises:
            Unsupported: what becomes of an open size is not known.
        """
        names = dict.fromkeys(size for size in self.shape if isinstance(size, str))
        numbers = {name: STAND_IN + 2 * i for i, name in enumerate(names)}
        sizes = [numbers[n] if isinstance(n, str) else n for n in self.shape]
        found = change(np.broadcast_to(self.number, sizes))
        back = {number: name for name, number in numbers.items()}
        if any(n >= STAND_IN // 2 and n not in back for n in found.shape):
            raise Unsupported("a part of an open size is not known before the model runs")
        shape: list[Size] = [back.get(n) or n for n in found.shape]
        return Filled(self.number.astype(found.dtype), tuple(shape))
