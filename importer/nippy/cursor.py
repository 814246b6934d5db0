"""A place in bytes that only moves forward, and never past their end."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from ...runtime.errors import UnreadableFile

SIZES = {code: struct.calcsize(f">{code}") for code in "?bBhHiqfd"}
"""Bytes of each number."""


LONGEST_NAME = 80


def told(name: str) -> str:
    """A name of a file's own, as a message of one line can have it."""
    return name if name.isprintable() and len(name) <= LONGEST_NAME else repr(name[:LONGEST_NAME])


@dataclass(slots=True)
class Cursor:
    """Where in ``data`` the next value begins; numbers are big-endian, as Java has them."""

    data: memoryview
    at: int = 0

    @property
    def left(self) -> int:
        """Bytes that were not read."""
        return len(self.data) - self.at

    def take(self, count: int) -> memoryview:
        """The next bytes; nothing is copied.

        Raises:
            UnreadableFile: there are not as many, or the count is negative.
        """
        if not 0 <= count <= self.left:
            raise UnreadableFile(
                f"it is cut short or damaged: {count} bytes are announced at {self.at}, "
                f"{self.left} are left"
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, code: str) -> Any:
        """The next number, by its code of the module struct.

        Raises:
            UnreadableFile: the bytes end before.
        """
        return struct.unpack(f">{code}", self.take(SIZES[code]))[0]

    def text(self, count: int) -> str:
        """The next ``count`` bytes as text.

        Raises:
            UnreadableFile: there are not as many, or they are no UTF-8.
        """
        raw = bytes(self.take(count))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise UnreadableFile(f"it is damaged: {raw[:40]!r} is not text") from None
