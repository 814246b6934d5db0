"""Numbers that depend on an open size: what arithmetic with shapes is done with.

They stand as objects in NumPy's arrays, beside plain integers, so that NumPy's own functions
compute shapes whose sizes are not all known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import Unsupported
from ...runtime.tensor import Size, Symbol, product, quotient, scaled, total, window

Array = NDArray[Any]

MOST_FACTORS = 64
"""In all terms of an open size: a few lines of a hostile file can ask for any number."""
LARGEST = 1 << 62


class Open:
    """A number that depends on an open size."""

    def __init__(self, size: str) -> None:
        self.size = size

    def __repr__(self) -> str:
        return self.size

    def __hash__(self) -> int:
        return hash(self.size)

    def __add__(self, other: Any) -> Open | int:
        return opened(total((self.size, plain(other))))

    def __sub__(self, other: Any) -> Open | int:
        return opened(total((self.size, scaled(plain(other), -1))))

    def __rsub__(self, other: Any) -> Open | int:
        return opened(total((scaled(self.size, -1), plain(other))))

    def __mul__(self, other: Any) -> Open | int:
        return opened(product((self.size, plain(other))))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Open | int:
        return opened(scaled(self.size, -1))

    def __floordiv__(self, other: Any) -> Open | int:
        by = plain(other)
        try:
            return opened(quotient(self.size, by))
        except ValueError:
            if isinstance(by, str) or by < 1:
                raise Unsupported(f"{self} // {by} is not known before the model runs") from None
        return opened(window(self.size, by - 1, by))

    __truediv__ = __floordiv__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Open) and other.size == self.size:
            return True
        return not self._is_above(other, "==")

    def __gt__(self, other: Any) -> bool:
        return self._is_above(other, ">")

    def __ge__(self, other: Any) -> bool:
        return self._is_above(other, ">=")

    def __lt__(self, other: Any) -> bool:
        return not self._is_above(other, "<")

    def __le__(self, other: Any) -> bool:
        return not self._is_above(other, "<=")

    def _is_above(self, other: Any, relation: str) -> bool:
        """A size is one or more; more of it is not known."""
        if isinstance(other, int | float | np.number) and other < 1 and "-" not in self.size:
            return True
        raise Unsupported(f"whether {self} {relation} {other} is not known before the model runs")


def opened(size: Size) -> Open | int:
    """The size as an element of an array.

    Raises:
        Unsupported: it has grown beyond all shapes.
    """
    if isinstance(size, Symbol):
        if sum(len(factors) + 1 for factors in size.terms) > MOST_FACTORS:
            raise Unsupported("a size is a polynomial of too many factors")
        size_of_terms = max(map(abs, size.terms.values()))
    else:
        size_of_terms = abs(size) if isinstance(size, int) else 1
    if size_of_terms > LARGEST:
        raise Unsupported("a size is too large")
    return Open(size) if isinstance(size, str) else size


def plain(element: Any) -> Size:
    """The size that an element of an array is.

    Raises:
        Unsupported: it is no whole number.
    """
    if isinstance(element, Open):
        return element.size
    if int(element) != element:
        raise Unsupported(f"{element} is no size")
    return int(element)


def shape_array(shape: Iterable[Size]) -> Array:
    """A shape as an array of int64, or of objects where a size is open."""
    return tidy(np.array([opened(size) for size in shape], object))


def tidy(array: Array) -> Array:
    """An array of objects as one of int64, if nothing in it is open."""
    if array.dtype != object or any(isinstance(element, Open) for element in array.flat):
        return array
    return array.astype(np.int64)
