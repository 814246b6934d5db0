"""The program that a pickle is, opcode by opcode, with what each is told.

What is long is not read here: it is a stretch of the file.
"""

from __future__ import annotations

import mmap
import pickletools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...runtime.errors import UnreadableFile
from ...runtime.hdf5.stretch import Stretch, Window
from ..deferred import Array

MOST_OPCODES = 200_000
"""A network of a thousand layers has about a tenth of it."""
SHORT = 1024
"""Bytes that are read at once: no name is longer."""
CHUNK = 1 << 20

OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
NUMBERS = {"uint1": "<B", "uint2": "<H", "int4": "<i", "uint4": "<I", "uint8": "<Q", "float8": ">d"}
# The number that says how long what follows is, and what that is.
LENGTHS: dict[str, tuple[str, Literal["bytes", "latin1", "utf8", "long"]]] = {
    "string1": ("<B", "latin1"),
    "string4": ("<i", "latin1"),
    "bytes1": ("<B", "bytes"),
    "bytes4": ("<I", "bytes"),
    "bytes8": ("<Q", "bytes"),
    "bytearray8": ("<Q", "bytes"),
    "unicodestring1": ("<B", "utf8"),
    "unicodestring4": ("<I", "utf8"),
    "unicodestring8": ("<Q", "utf8"),
    "long1": ("<B", "long"),
    "long4": ("<i", "long"),
}
LONGEST_INTEGER = 16  # bytes
LONGEST_NAME = 200


@dataclass(frozen=True)
class Stored:
    """Bytes that stay in the file; ``as_text``: each is a character of a text in UTF-8.

    ``count`` is how many bytes they stand for.
    """

    stretch: Stretch
    start: int
    length: int
    count: int
    as_text: bool = False

    def read(self) -> Array:
        """The bytes, as uint8."""
        found = np.empty(self.length, np.uint8)
        window = Window(self.stretch)
        window.seek(self.start)
        window.readinto(found.data)
        if not self.as_text:
            return found
        return in_bytes(found.tobytes().decode("utf-8").encode("latin-1"))

    def encoded(self) -> Stored:
        """A text, each of whose characters stands for a byte."""
        window, count = Window(self.stretch), 0
        window.seek(self.start)
        for begin in range(0, self.length, CHUNK):
            part = in_bytes(window.read(min(CHUNK, self.length - begin)))
            count += int(np.count_nonzero((part & 0xC0) != 0x80))
        return Stored(self.stretch, self.start, self.length, count, as_text=True)


def in_bytes(data: bytes) -> Array:
    """The bytes as an array of uint8."""
    return np.frombuffer(data, np.uint8)


def opcodes(path: Path) -> Iterator[tuple[str, Any]]:
    """The opcodes of a pickle by name, with the argument that stands in the program, if any.

    Raises:
        UnreadableFile: it is cut short, or longer than any network's.
    """
    stretch = Stretch.of(path)
    if not stretch.length:
        raise UnreadableFile(f"{path}: it is empty")
    with mmap.mmap(stretch.file, 0, access=mmap.ACCESS_READ) as data:
        reader = _Reader(path, stretch, data)
        for _ in range(MOST_OPCODES):
            name, argument = reader.next()
            yield name, argument
            if name == "STOP":
                return
    raise UnreadableFile(f"{path}: a pickle of more than {MOST_OPCODES:,} opcodes is no network")


class _Reader:
    def __init__(self, path: Path, stretch: Stretch, data: mmap.mmap) -> None:
        self._path, self._stretch, self._data, self._at = path, stretch, data, 0

    def next(self) -> tuple[str, Any]:
        code = self._take(1)
        opcode = OPCODES.get(code.decode("latin-1"))
        if opcode is None:
            raise UnreadableFile(f"{self._path}: byte {self._at - 1} is no opcode of a pickle")
        kind = opcode.arg.name if opcode.arg else ""
        if not kind:
            return opcode.name, None
        if kind in NUMBERS:
            return opcode.name, self._number(NUMBERS[kind])
        if kind in LENGTHS:
            return opcode.name, self._long(*LENGTHS[kind])
        if opcode.name == "GLOBAL":
            return opcode.name, f"{self._line()} {self._line()}"
        raise UnreadableFile(
            f"{self._path}: it has the opcode {opcode.name}, which neon writes nowhere: refused"
        )

    def _take(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._data):
            raise UnreadableFile(
                f"{self._path}: the pickle ends too early: it wants {count:,} bytes at "
                f"{self._at:,}, the file has {len(self._data):,}"
            )
        self._at += count
        return self._data[self._at - count : self._at]

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _long(self, form: str, what: str) -> Any:
        length, start = self._number(form), self._at
        if what == "long":
            if length > LONGEST_INTEGER:
                raise UnreadableFile(f"{self._path}: a whole number of {length:,} bytes: refused")
            return int.from_bytes(self._take(length), "little", signed=True)
        if length <= SHORT:
            raw = self._take(length)
            return raw if what == "bytes" else raw.decode("utf-8" if what == "utf8" else "latin-1")
        if start + length > len(self._data):
            self._take(length)
        self._at += length
        return Stored(self._stretch, start, length, length)

    def _line(self) -> str:
        end = self._data.find(b"\n", self._at, self._at + LONGEST_NAME)
        if end < 0:
            raise UnreadableFile(f"{self._path}: a name in the pickle has no end")
        return self._take(end + 1 - self._at)[:-1].decode("latin-1")
