"""Reading the binary form: nothing is allocated for what a file merely claims to hold.

Numbers of a network stay where they are, as ``Span`` of the file. What else there is, is small: the
number of fields is limited, and no length leads out of the message it stands in.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from ...runtime.errors import UnreadableFile
from .schema import BY_NUMBER, MESSAGES, NUMBERS, Field, Message, Span, put

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MOST_FIELDS = 200_000
LONGEST_TEXT = 1 << 16  # bytes, of a name or an option
HIGHEST = 1 << 29  # field numbers are below


class Damaged(Exception):
    """What is there is no such message."""


class Wire:
    """The bytes of a file, read as messages."""

    def __init__(self, title: str, data: memoryview) -> None:
        """``title`` is what messages call the file."""
        self._title, self._data, self._left = title, data, MOST_FIELDS

    def message(self, kind: str) -> Message:
        """The whole, as a message of that kind.

        Raises:
            UnreadableFile: it is none, or holds more fields than any network needs.
        """
        try:
            return self._message(kind, Span(0, len(self._data)))
        except Damaged as error:
            raise UnreadableFile(f"{self._title}: damaged or cut short: {error}") from None

    def _message(self, kind: str, span: Span) -> Message:
        found: Message = {}
        known = BY_NUMBER[kind]
        for number, wire, value in self._fields(span):
            field = known.get(number)
            if field is None:
                if MESSAGES[kind]:  # of the others nothing is of interest
                    found[f"field {number}"] = "of unknown meaning"
                continue
            for one in self._values(field, wire, value):
                put(found, field, one)
        return found

    def _fields(self, span: Span) -> Iterator[tuple[int, int, Any]]:
        """(number, wire type, value) of each; the value of what has a length is its span."""
        at = span.start
        while at < span.end:
            self._count()
            key, at = self._varint(at, span.end)
            number, wire = key >> 3, key & 7
            if not 0 < number < HIGHEST:
                raise Damaged(f"field number {number} at byte {at}")
            if wire == VARINT:
                value, at = self._varint(at, span.end)
            elif wire in (FIXED32, FIXED64):
                value = Span(at, at := at + (4 if wire == FIXED32 else 8))
            elif wire == LENGTH:
                size, at = self._varint(at, span.end)
                value = Span(at, at := at + size)
            else:
                raise Damaged(f"wire type {wire} at byte {at}")
            if at > span.end:
                raise Damaged(f"field {number} leads to byte {at:,}, beyond {span.end:,}")
            yield number, wire, value

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise UnreadableFile(f"{self._title}: more than {MOST_FIELDS:,} fields")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise Damaged(f"it ends inside a number, at byte {at:,}")
            byte = self._data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & ((1 << 64) - 1), at
        raise Damaged(f"a number of more than 64 bits at byte {at:,}")

    def _values(self, field: Field, wire: int, value: Any) -> Iterator[Any]:
        """The values of a field: several where they are packed into one."""
        if field.kind in NUMBERS:
            if not isinstance(value, Span):
                raise Damaged(f"{field.name} holds no floats")
            yield value
        elif field.kind == "string":
            yield self._text(field, wire, value)
        elif field.kind in ("int", "bool", "enum", "float"):
            yield from self._numbers(field, wire, value)
        elif wire == LENGTH:
            yield self._message(field.kind, value)
        else:
            raise Damaged(f"{field.name} is no message")

    def _text(self, field: Field, wire: int, value: Any) -> str:
        if wire != LENGTH or value.end - value.start > LONGEST_TEXT:
            raise Damaged(f"{field.name} is no text")
        return bytes(self._data[value.start : value.end]).decode("utf-8", "replace")

    def _numbers(self, field: Field, wire: int, value: Any) -> Iterator[Any]:
        packed = wire == LENGTH and field.repeats
        if field.kind == "float":
            if not (packed or wire == FIXED32):
                raise Damaged(f"{field.name} is no float")
            for at in range(value.start, value.end - 3, 4):
                self._count()
                yield struct.unpack("<f", self._data[at : at + 4])[0]
            return
        if packed:
            at = value.start
            while at < value.end:
                self._count()
                number, at = self._varint(at, value.end)
                yield _whole(field, number)
        elif wire == VARINT:
            yield _whole(field, value)
        else:
            raise Damaged(f"{field.name} is no number")


def _whole(field: Field, number: int) -> Any:
    if field.kind == "bool":
        return bool(number)
    if field.kind == "enum":
        names = {value: name for name, value in (field.values or {}).items()}
        return names.get(number, number)
    return number - (1 << 64) if number >= 1 << 63 else number
