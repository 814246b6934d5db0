"""Strings as arrays of numbers, for files that hold nothing else.

An array of strings is two: their UTF-8, one after the other, and the length in bytes of each. The
second has the shape of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LENGTHS = "lengths of "
"""What the name of the second begins with; the name of the whole follows."""


def without_strings(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays, two in the place of each that holds ``str`` objects."""
    found: dict[str, Array] = {}
    for name, array in arrays.items():
        if array.dtype != object:
            found[name] = array
            continue
        encoded = [text.encode() for text in array.flat]
        lengths = np.array([len(text) for text in encoded], np.int64)
        found[LENGTHS + name] = lengths.reshape(array.shape)
        found[name] = np.frombuffer(b"".join(encoded), np.uint8)
    return found


def with_strings(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Undoes ``without_strings``.

    Raises:
        ValueError: lengths that do not fit, or bytes that are no UTF-8.
        KeyError: lengths of nothing.
    """
    found = {name: array for name, array in arrays.items() if not name.startswith(LENGTHS)}
    for name in arrays.keys() - found.keys():
        whole, lengths = name.removeprefix(LENGTHS), arrays[name]
        raw, ends = found[whole].tobytes(), lengths.cumsum()
        if lengths.min(initial=0) < 0 or lengths.sum() != len(raw):
            raise ValueError(f"{whole!r} has {len(raw)} bytes, which its lengths do not add up to")
        texts = np.empty(lengths.size, object)
        for i, (end, length) in enumerate(zip(ends.tolist(), lengths.flat, strict=True)):
            texts[i] = raw[end - length : end].decode()
        found[whole] = texts.reshape(lengths.shape)
    return found
