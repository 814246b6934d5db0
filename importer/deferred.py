"""Arrays that stay in their file until they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Deferred:
    """An array that is read each time ``numpy.asarray`` wants it, and held by nobody.

    ``name`` is what its file calls it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], Array]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.read(), dtype)

    def map(self, change: Callable[[Array], Array]) -> Deferred:
        """The array that ``change`` makes of it; its shape is that of a stand-in of no memory."""
        stand_in = np.broadcast_to(np.zeros((), self.dtype), self.shape)
        changed = change(stand_in)

        def read() -> Array:
            with np.errstate(all="ignore"):  # numbers that are not finite, the report tells of
                return change(self.read())

        return Deferred(self.name, changed.shape, changed.dtype, read)


def join(arrays: Sequence[Deferred], axis: int = -1) -> Deferred:
    """Arrays one after the other along an axis, read when they are asked for.

    Raises:
        ValueError: their other sizes differ.
    """
    first, shapes = arrays[0], [list(array.shape) for array in arrays]
    lengths = [shape.pop(axis) if shape else 0 for shape in shapes]
    if any(shape != shapes[0] for shape in shapes) or not first.shape:
        found = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"arrays of the shapes {found} cannot be joined")
    shape = list(first.shape)
    shape[axis] = sum(lengths)
    dtype = np.result_type(*(array.dtype for array in arrays))

    def read() -> Array:
        return np.concatenate([array.read() for array in arrays], axis)

    return Deferred(first.name, tuple(shape), dtype, read)
