"""Arrays as the Open Inference Protocol sends them: little-endian, in C order, without padding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .datatypes import BYTES, Datatype
from .errors import InvalidArgument

Array = NDArray[Any]
LENGTH = 4  # bytes before each element of a BYTES tensor


def decode(raw: memoryview, datatype: Datatype, shape: Sequence[int], what: str) -> Array:
    """The array of ``shape`` whose elements are ``raw``.

    It is a read-only view of ``raw`` and may be unaligned; only BYTES are copied, into an array of
    ``bytes`` objects. ``what`` names the tensor in errors.

    Raises:
        InvalidArgument: ``raw`` is too short or too long for the shape.
    """
    if datatype is BYTES:
        most = size(shape, what) + 1  # of more it is known that they are too many
        return shaped(objects(list(islice(_elements(raw, what), most))), shape, what)
    needed = size(shape, what) * datatype.dtype.itemsize
    if raw.nbytes != needed:
        raise InvalidArgument(
            f"{what}: {datatype.name} of shape {list(shape)} takes {needed} bytes, "
            f"found {raw.nbytes}"
        )
    return shaped(np.frombuffer(raw, datatype.dtype), shape, what)


def encode(array: Array, datatype: Datatype) -> bytes | memoryview:
    """The raw bytes of ``array``, a view of it if it is contiguous. Strings are sent as UTF-8."""
    if datatype is not BYTES:
        return np.ascontiguousarray(array, datatype.dtype).reshape(-1).view(np.uint8).data
    elements = (item.encode() if isinstance(item, str) else item for item in array.reshape(-1))
    return b"".join(len(item).to_bytes(LENGTH, "little") + item for item in elements)


def encoded(array: Array, datatype: Datatype) -> int:
    """How many bytes ``encode`` gives."""
    if datatype is not BYTES:
        return array.size * datatype.dtype.itemsize
    return len(encode(array, datatype))


def shaped(elements: Array, shape: Sequence[int], what: str) -> Array:
    """``elements``, one after the other, as an array of ``shape``.

    Raises:
        InvalidArgument: there are too few or too many of them.
    """
    if elements.size != size(shape, what):
        raise InvalidArgument(
            f"{what}: shape {list(shape)} takes {size(shape, what)} elements, found {elements.size}"
        )
    try:
        return elements.reshape(shape)
    except (ValueError, OverflowError):  # an empty tensor whose other sizes no array can have
        raise InvalidArgument(f"{what}: no tensor has shape {list(shape)}") from None


def size(shape: Sequence[int], what: str) -> int:
    """The number of elements of a tensor of ``shape``, however large.

    Raises:
        InvalidArgument: a size is negative.
    """
    if min(shape, default=0) < 0:
        raise InvalidArgument(f"{what}: a size of its shape {list(shape)} is negative")
    return math.prod(shape)


def text(array: Array, what: str) -> Array:
    """An array of ``bytes`` objects as one of ``str``, which is how onnxruntime takes strings.

    Raises:
        InvalidArgument: an element is not UTF-8.
    """
    try:
        return objects([item.decode() for item in array.reshape(-1)]).reshape(array.shape)
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{what}: an element is not UTF-8: {error.object[:20]!r}") from None


def objects(items: Sequence[object]) -> Array:
    """``items`` as an array of one axis, whatever they are."""
    array = np.empty(len(items), object)
    array[:] = items
    return array


def _elements(raw: memoryview, what: str) -> Iterator[bytes]:
    at = 0
    while at < len(raw):
        begin = at + LENGTH
        at = begin + int.from_bytes(raw[at:begin], "little")
        if at > len(raw):
            raise InvalidArgument(f"{what}: its last BYTES element is cut short")
        yield bytes(raw[begin:at])
