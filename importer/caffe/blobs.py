"""The arrays of a caffemodel, which stay in the file until they are used."""

from __future__ import annotations

import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.errors import UnreadableFile
from ...runtime.files import regular
from ..deferred import Array, Deferred
from .schema import Message, Span

LEGACY = ("num", "channels", "height", "width")
TYPES = {"data": np.dtype("<f4"), "double_data": np.dtype("<f8")}
MOST_AXES = 32


class Mapped:
    """A file that is read where it lies."""

    def __init__(self, path: Path) -> None:
        """Maps the file.

        Raises:
            UnreadableFile: there is none, or it is empty.
        """
        self.path = path
        with regular(path).open("rb") as file:
            try:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (ValueError, OSError) as error:
                raise UnreadableFile(f"{path}: it cannot be read: {error}") from None

    @property
    def data(self) -> memoryview:
        """All bytes."""
        return memoryview(self._map)

    def numbers(self, spans: list[Span], dtype: np.dtype[Any]) -> Array:
        """The numbers that lie in parts of the file, as float32."""
        parts = [
            np.frombuffer(self._map, dtype, (span.end - span.start) // dtype.itemsize, span.start)
            for span in spans
        ]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return whole.astype(np.float32, copy=False)


def blob(file: Mapped, message: Message, name: str) -> Deferred:
    """An array of a layer; ``name`` is what messages call it.

    Raises:
        UnreadableFile: it does not hold what its shape says.
    """
    for field in message:
        if field.startswith("field "):
            raise UnreadableFile(f"{name} stores its numbers in {field}, which Caffe has not")
    held = [field for field in TYPES if field in message]
    shape = _shape(message, name)
    if len(held) != 1:
        raise UnreadableFile(f"{name} of the shape {shape} holds {'two' if held else 'no'} arrays")
    spans, dtype = message[held[0]], TYPES[held[0]]
    if not all(isinstance(span, Span) for span in spans):
        raise UnreadableFile(f"{name} stands in text: have Caffe write a caffemodel")
    size, rest = divmod(sum(span.end - span.start for span in spans), dtype.itemsize)
    if rest or size != math.prod(shape):
        raise UnreadableFile(f"{name} holds {size:,} numbers, its shape {shape} asks for others")

    def read() -> Array:
        return file.numbers(spans, dtype).reshape(shape)

    return Deferred(name, shape, np.dtype(np.float32), read)


def _shape(message: Message, name: str) -> tuple[int, ...]:
    """Its sizes; four of them in files of before 2015."""
    if any(size in message for size in LEGACY):
        shape = tuple(message.get(size, 0) for size in LEGACY)
    else:
        shape = tuple(message.get("shape", {}).get("dim", []))
    if len(shape) > MOST_AXES or any(n < 0 for n in shape):
        raise UnreadableFile(f"{name} has the shape {shape[:MOST_AXES]}")
    return shape


def fitted(array: Deferred, rank: int) -> Deferred:
    """The array with so many axes, where the further ones are of size 1.

    They stand in front; only what is a vector may also have them behind.
    """
    more = len(array.shape) - rank
    shape = array.shape[more:]
    if rank == 1 and sum(n != 1 for n in array.shape) == 1:
        shape = (math.prod(array.shape),)
    if more <= 0 or math.prod(shape) != math.prod(array.shape):
        return array
    return array.map(lambda a: a.reshape(shape))
