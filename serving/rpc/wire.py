"""The protobuf wire format, as far as it takes to lift large fields out of a message uncopied.

The generated parser copies every tensor twice and turns packed floats into Python ones: 10 ms for
an image that a view shows in 2 µs. What is left of a message once its large fields are out is
small, and goes to that parser.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import InvalidArgument

LENGTH_DELIMITED = 2  # the wire type of strings, bytes, messages and packed numbers
LONGEST_VARINT = 10  # bytes
MOST_FIELDS = 1 << 16
"""Of one message: it takes tens of milliseconds to walk so many, and nobody else is served."""


class Malformed(InvalidArgument):
    """Bytes that are no protobuf message."""


def tag(number: int) -> int:
    """The tag of the length-delimited field ``number``."""
    return number << 3 | LENGTH_DELIMITED


def take_out(message: memoryview, wanted: int) -> tuple[list[memoryview], list[memoryview]]:
    """The fields of the message but those of the tag ``wanted``, and the values of these, as views.

    Raises:
        Malformed: the bytes are no message, or one of too many fields.
    """
    kept: list[memoryview] = []
    taken: list[memoryview] = []
    for count, (found, start, begin, end) in enumerate(fields(message)):
        if count == MOST_FIELDS:
            raise Malformed(f"the message has more than {MOST_FIELDS} fields")
        if found == wanted:
            taken.append(message[begin:end])
        else:
            kept.append(message[start:end])
    return kept, taken


def fields(message: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Every field in order: its tag, where it starts, where its value begins, where it ends.

    Raises:
        Malformed: a field does not end within the message, or is of no kind that messages have
            today.
    """
    at, end = 0, len(message)
    while at < end:
        start = at
        found, begin = _varint(message, at)
        match found & 7:
            case 0:  # a number of variable length
                _, at = _varint(message, begin)
            case 1:  # eight bytes
                at = begin + 8
            case 2:  # LENGTH_DELIMITED
                length, begin = _varint(message, begin)
                at = begin + length
            case 5:  # four bytes
                at = begin + 4
            case kind:
                raise Malformed(f"no protobuf message: a field of the kind {kind}")
        if at > end:
            raise Malformed(f"no protobuf message: a field ends at byte {at} of {end}")
        yield found, start, begin, at


def delimited(number: int, value: bytes | memoryview) -> tuple[bytes, bytes | memoryview]:
    """The field ``number`` as what stands before its value, and the value."""
    return _varint_bytes(tag(number)) + _varint_bytes(len(value)), value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number at ``at``, and where it ends."""
    if at < len(message) and message[at] < 0x80:
        return message[at], at + 1  # nearly all of them
    value = 0
    for place, byte in enumerate(message[at : at + LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise Malformed("no protobuf message: a number is cut short")


def _varint_bytes(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
