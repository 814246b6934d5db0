"""The elements of a tensor as JSON has them, and the arrays they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from pydantic_core import to_json

from ..datatypes import BF16, BYTES, DATATYPES, Datatype
from ..errors import InvalidArgument
from ..tensors import Array, objects, shaped

BINARY_ONLY = (DATATYPES["FP16"], BF16)
"""JSON's numbers are those of clients, and theirs have no such types; Triton refuses them too."""

KINDS: dict[str, frozenset[type]] = {
    "b": frozenset({bool}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "f": frozenset({int, float}),
    "O": frozenset({str}),
}
"""What an element may be, by numpy's kind of dtype. A bool is no number, nor is 1.0 an integer."""

SHOWN = 40  # characters of a value in a message


def array(data: list[Any], datatype: Datatype, shape: Sequence[int], what: str) -> Array:
    """The array of ``shape`` whose elements are ``data``, in one flat list or nested like it.

    Raises:
        InvalidArgument: too few, too many, nested otherwise, not of this datatype, or too large
            for it.
    """
    if datatype in BINARY_ONLY:
        raise InvalidArgument(f"{what}: {datatype.name} can only be sent as binary data")
    flat = _flat(data, shape, what)
    if wrong := set(map(type, flat)) - KINDS[datatype.dtype.kind]:
        raise _not(next(value for value in flat if type(value) in wrong), datatype, what)
    return shaped(_of(flat, datatype, what), shape, what)


def listed(array: Array, datatype: Datatype, what: str) -> list[Any]:
    """The elements of ``array`` as one flat list for JSON.

    Raises:
        InvalidArgument: JSON cannot carry them: FP16, BF16, or BYTES that are no UTF-8.
    """
    _check_type(datatype, what)
    return _texts(array, what) if datatype is BYTES else array.reshape(-1).tolist()


def check_listed(array: Array, datatype: Datatype, what: str) -> None:
    """Raises what ``listed`` would."""
    _check_type(datatype, what)
    if datatype is BYTES:
        _texts(array, what)


def _check_type(datatype: Datatype, what: str) -> None:
    if datatype in BINARY_ONLY:
        raise InvalidArgument(
            f"{what}: ask for {datatype.name} as binary data; JSON has no such type"
        )


def _texts(array: Array, what: str) -> list[str]:
    try:
        return [item.decode() if isinstance(item, bytes) else item for item in array.reshape(-1)]
    except UnicodeDecodeError:
        raise InvalidArgument(f"{what}: an element is not UTF-8; ask for binary data") from None


def _flat(data: list[Any], shape: Sequence[int], what: str) -> list[Any]:
    """The elements in their order; nested lists must have the sizes of ``shape``."""
    if not data or type(data[0]) is not list:
        return data
    for size in shape[1:]:
        if set(map(type, data)) - {list} or set(map(len, data)) - {size}:
            raise InvalidArgument(f"{what}: its nested lists do not have shape {list(shape)}")
        data = list(chain.from_iterable(data))
    return data


def _of(flat: list[Any], datatype: Datatype, what: str) -> Array:
    if datatype is BYTES:
        return objects([item.encode() for item in flat])
    try:
        if datatype.dtype.kind != "f":
            return np.array(flat, datatype.dtype)
        with np.errstate(over="raise"):
            return np.array(flat, np.float64).astype(datatype.dtype)
    except (OverflowError, FloatingPointError):
        raise _not(_beyond(flat, datatype), datatype, what) from None


def _beyond(flat: list[Any], datatype: Datatype) -> Any:
    """The first number that the datatype has no place for; one is there."""
    if datatype.dtype.kind == "f":
        least, most = float(np.finfo(datatype.dtype).min), float(np.finfo(datatype.dtype).max)
    else:
        least, most = int(np.iinfo(datatype.dtype).min), int(np.iinfo(datatype.dtype).max)
    return next(v for v in flat if (v < least or v > most) and abs(v) != math.inf)


def _not(value: Any, datatype: Datatype, what: str) -> InvalidArgument:
    return InvalidArgument(f"{what}: {to_json(value).decode()[:SHOWN]} is no {datatype.name}")
