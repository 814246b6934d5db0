"""Clojure values as Nippy froze them, in Python's words.

Source: the type ids of Nippy 2.13 (schema.clj as of 3.6 has the same and some more). A value is a
byte that says its type, and what that type needs. Keywords and symbols become strings, numbers
int and float, vectors, lists, seqs and sets lists, arrays of Java NumPy's, which share the bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from ...runtime.errors import UnreadableFile, Unsupported
from ..deferred import Array
from .cursor import Cursor, told
from .java import read_array, refusal

DEEPEST = 64
MOST_VALUES = 250_000
LONGEST_NUMBER = 64  # bytes of an integer of any size: more are no setting of a network
UNSIGNED = 128  # what "sm*" counts and numbers are moved by, to use all of a byte


class Record(dict[Any, Any]):
    """A map that was a record of a class; nothing is made of the class but its name."""

    def __init__(self, name: str, fields: dict[Any, Any]) -> None:
        super().__init__(fields)
        self.name = name


def as_map(value: Any) -> dict[Any, Any]:
    """The value if it is a map, else an empty one."""
    return cast("dict[Any, Any]", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value if it is a vector, a list or a seq, else an empty list."""
    return cast("list[Any]", value) if isinstance(value, list) else []


CONSTANTS: dict[int, Any] = {3: None, 8: True, 9: False, 0: 0, 55: 0.0, 104: None}
NUMBERS = {
    4: "?", 40: "b", 41: "h", 42: "i", 43: "q", 60: "f", 61: "d", 90: "q",
    100: "b", 101: "h", 102: "i",
}  # fmt: skip
"""The code, as the module struct has them, of each number of fixed size; 90 is a date."""
MOVED = {87: ("b", 1), 88: ("h", 1), 89: ("i", 1), 93: ("b", -1), 94: ("h", -1), 95: ("i", -1)}
"""Longs of Nippy 3.3 on: from the smallest number of the code on, and their sign."""
SMALLEST = {"b": -(1 << 7), "h": -(1 << 15), "i": -(1 << 31)}

Count = str | int
"""How many there are: a number, or the code of one that stands before them; "*" is unsigned."""
TEXTS: dict[int, Count] = {
    34: 0, 105: "b", 96: "*", 16: "h", 13: "i",  # strings
    106: "b", 85: "h", 14: "i", 77: "i",  # keywords
    56: "b", 86: "h", 57: "i", 78: "i",  # symbols
}  # fmt: skip
BYTES: dict[int, Count] = {53: 0, 7: "b", 15: "h", 2: "i"}
LISTS: dict[int, Count] = {
    17: 0, 113: 2, 114: 3, 110: "b", 97: "*", 69: "h", 21: "i",  # vectors
    18: 0, 111: "b", 98: "*", 32: "h", 23: "i", 28: "i",  # sets
    35: 0, 36: "b", 54: "h", 20: "i",  # lists
    37: 0, 38: "b", 39: "h", 24: "i", 26: "i",  # seqs and queues
    103: 2, 107: "i", 115: "i",  # a map's entry; arrays of strings and of objects
    108: "i", 109: "i", 116: "i", 117: "i",  # arrays of numbers, each with its type
}  # fmt: skip
MAPS: dict[int, Count] = {19: 0, 112: "b", 99: "*", 33: "h", 30: "i", 31: "i", 22: "i"}
OLD_MAPS = (27, 29)
"""Maps that say how many keys and values they have together."""
RECORDS: dict[int, Count] = {48: "b", 49: "h", 80: "i"}
OBJECTS: dict[int, Count] = {46: "b", 50: "h", 6: "i"}
QUARANTINED: dict[int, Count] = {75: "b", 76: "h"}
"""Objects of Nippy 3: the same, as an array of bytes."""
CACHED: dict[int, Count] = {
    59: 0, 63: 1, 64: 2, 65: 3, 66: 4, 72: 5, 73: 6, 74: 7, 67: "b", 68: "h",
}  # fmt: skip
CODE = (1, 5, 47, 51, 52)
INTEGER, BIG_INTEGER, DECIMAL, RATIO, CHARACTER, META, UUID, CUSTOM = 44, 45, 62, 70, 10, 25, 91, 82


def thaw(data: memoryview) -> Any:
    """The one value that was frozen.

    Raises:
        UnreadableFile: damaged, or nested or split up as no network is.
        Unsupported: a type that only a program of Clojure can make something of.
    """
    thawing = Thawing(Cursor(data))
    value = thawing.value()
    if thawing.source.left:
        raise UnreadableFile(f"it is damaged: {thawing.source.left} bytes follow its value")
    return value


class Thawing:
    """Reads values one after the other."""

    def __init__(self, source: Cursor) -> None:
        self.source = source
        self._depth = self._values = 0
        self._cache: dict[int, Any] = {}

    def value(self) -> Any:
        """The next value."""
        kind = self.source.number("b")
        self._values += 1
        if self._values > MOST_VALUES:
            raise UnreadableFile(f"it holds more than {MOST_VALUES:,} values")
        if kind in CONSTANTS:
            return CONSTANTS[kind]
        if kind in NUMBERS:
            return self.source.number(NUMBERS[kind])
        if kind in TEXTS:
            return self.source.text(self._count(TEXTS[kind]))
        return self._nested(kind)

    def _nested(self, kind: int) -> Any:
        self._depth += 1
        if self._depth > DEEPEST:
            raise UnreadableFile(f"its values lie more than {DEEPEST} deep in each other")
        if kind not in READERS:
            raise Unsupported(_refusal(kind))
        found = READERS[kind](self, kind)
        self._depth -= 1
        return found

    def _count(self, how: Count) -> int:
        """How many bytes or elements follow, of which each takes one byte or more."""
        count = how
        if isinstance(how, str):
            count = UNSIGNED + self.source.number("b") if how == "*" else self.source.number(how)
        if not 0 <= int(count) <= self.source.left:
            raise UnreadableFile(
                f"it is cut short or damaged: {count} elements are announced at {self.source.at}, "
                f"{self.source.left} bytes are left"
            )
        return int(count)

    def moved(self, kind: int) -> int:
        code, sign = MOVED[kind]
        return sign * (self.source.number(code) - SMALLEST[code])

    def blob(self, kind: int) -> Any:
        return np.frombuffer(self.source.take(self._count(BYTES[kind])), np.int8)

    def items(self, kind: int) -> list[Any]:
        return [self.value() for _ in range(self._count(LISTS[kind]))]

    def map(self, kind: int) -> dict[Any, Any]:
        return self._pairs(self._count(MAPS[kind]))

    def old_map(self, kind: int) -> dict[Any, Any]:
        return self._pairs(self._count("i") // 2)

    def _pairs(self, count: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for _ in range(count):
            key = _key(self.value())
            if key in found:
                raise UnreadableFile(f"it is damaged: a map has the key {str(key)[:80]!r} twice")
            found[key] = self.value()
        return found

    def record(self, kind: int) -> Record:
        name = self.source.text(self._count(RECORDS[kind]))
        if "vectorz" in name:
            raise Unsupported(refusal(name))
        fields = self.value()
        if not isinstance(fields, dict):
            raise UnreadableFile(f"it is damaged: the record {told(name)} is no map")
        return Record(told(name), as_map(fields))

    def java(self, kind: int) -> Any:
        return read_array(self.source, self.source.text(self._count(OBJECTS[kind])))

    def quarantined(self, kind: int) -> Any:
        name, start = self.source.text(self._count(QUARANTINED[kind])), self.source.at + 1
        raw = self.value()
        if not isinstance(raw, np.ndarray):
            raise UnreadableFile(f"it is damaged: {told(name)} is no array of bytes, at {start}")
        return read_array(Cursor(memoryview(cast("Array", raw).tobytes())), name)

    def cached(self, kind: int) -> Any:
        """A value that stands for itself where it comes first, and by its number later."""
        how = CACHED[kind]
        number = how if isinstance(how, int) else self.source.number(how)
        if number not in self._cache:
            value = self.value()
            if isinstance(value, list | dict):  # a few of them can stand for any number of values
                raise Unsupported("it holds a cached collection, which cortex never wrote")
            self._cache[number] = value
        return self._cache[number]

    def integer(self, kind: int) -> int:
        return self._integer()

    def _integer(self) -> int:
        length = self._count("i")
        if length > LONGEST_NUMBER:
            raise UnreadableFile(f"it holds an integer of {length} bytes")
        return int.from_bytes(self.source.take(length), "big", signed=True)

    def decimal(self, kind: int) -> float:
        digits = self._integer()
        return float(f"{digits}e{-self.source.number('i')}")

    def ratio(self, kind: int) -> float:
        above, below = self._integer(), self._integer()
        if not below:
            raise UnreadableFile("it is damaged: a ratio is divided by zero")
        return above / below

    def character(self, kind: int) -> str:
        return chr(self.source.number("H"))

    def meta(self, kind: int) -> Any:
        self.value()  # what is said about the value is no part of it
        return self.value()

    def uuid(self, kind: int) -> str:
        return bytes(self.source.take(16)).hex()


READERS: dict[int, Callable[[Thawing, int], Any]] = {
    **dict.fromkeys(MAPS, Thawing.map),
    **dict.fromkeys(OLD_MAPS, Thawing.old_map),
    **dict.fromkeys(LISTS, Thawing.items),
    **dict.fromkeys(BYTES, Thawing.blob),
    **dict.fromkeys(OBJECTS, Thawing.java),
    **dict.fromkeys(QUARANTINED, Thawing.quarantined),
    **dict.fromkeys(RECORDS, Thawing.record),
    **dict.fromkeys(CACHED, Thawing.cached),
    **dict.fromkeys(MOVED, Thawing.moved),
    INTEGER: Thawing.integer,
    BIG_INTEGER: Thawing.integer,
    DECIMAL: Thawing.decimal,
    RATIO: Thawing.ratio,
    CHARACTER: Thawing.character,
    META: Thawing.meta,
    UUID: Thawing.uuid,
}


def _key(value: Any) -> Any:
    """A value as a dictionary can have it for a key."""
    if isinstance(value, dict):
        return frozenset((key, _key(one)) for key, one in as_map(value).items())
    if isinstance(value, list):
        return tuple(_key(one) for one in as_list(value))
    if isinstance(value, np.ndarray):
        raise UnreadableFile("it is damaged: an array is the key of a map")
    return value


def _refusal(kind: int) -> str:
    if kind < 0 or kind == CUSTOM:
        return f"it holds a value of a type of its program's own ({kind}), which only that can read"
    if kind in CODE:
        return "it holds a value as text of Clojure, which only Clojure can read"
    return f"its type {kind} is not known: it is damaged, or of a later Nippy"
