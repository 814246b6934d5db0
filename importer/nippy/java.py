"""Arrays of numbers as Java serialises them, and nothing else that Java can serialise.

Source: Java Object Serialization Specification, chapter 6. To deserialise any object is to run its
class; a reader that knows arrays of primitives alone has nothing to run.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.errors import UnreadableFile, Unsupported
from .cursor import Cursor, told

HEADER = b"\xac\xed\x00\x05"
NULL, REFERENCE, CLASS, OBJECT, ARRAY, END = 0x70, 0x71, 0x72, 0x73, 0x75, 0x78
FIRST_HANDLE = 0x7E0000
SERIALIZABLE = 2  # flags of a class without methods of its own
SERIAL_NUMBER = 8  # bytes

PRIMITIVES = {
    "[B": "i1", "[C": ">u2", "[D": ">f8", "[F": ">f4", "[I": ">i4", "[J": ">i8", "[S": ">i2",
    "[Z": "?",
}  # fmt: skip
"""The dtype of each array of primitives."""
NESTED = {f"[{name}" for name in PRIMITIVES}
"""Arrays of such arrays, which are a matrix's rows."""


def read_array(source: Cursor, name: str) -> Any:
    """An array that Java serialised, or a list of its rows; they share the bytes they lie in.

    ``name`` is the class that Nippy says it has.

    Raises:
        Unsupported: an object of any other class.
        UnreadableFile: it is damaged.
    """
    if name not in PRIMITIVES and name not in NESTED:
        raise Unsupported(refusal(name))
    if bytes(source.take(len(HEADER))) != HEADER:
        raise UnreadableFile("its array is damaged: it does not begin as Java's objects do")
    return Stream(source).array()


def refusal(name: str) -> str:
    """What to say of an object whose class is not read."""
    name = told(name)
    if "vectorz" in name:
        return (
            f"it holds an object of {name}, as cortex before 0.9.22 saved them; "
            "upgrade it with cortex's model-upgrader"
        )
    return f"it holds a Java object of class {name}, which could run anything: refused as unsafe"


class Stream:
    """One stream of objects, with the classes and arrays that it may refer back to."""

    def __init__(self, source: Cursor) -> None:
        self._source, self._seen = source, list[Any]()

    def array(self) -> Any:
        """The array, or the list of rows, that comes next."""
        tag = self._source.number("B")
        if tag == REFERENCE:
            seen = self._referred()
            if isinstance(seen, str):
                raise UnreadableFile("its array is damaged: it refers to a class for a row")
            return seen
        if tag != ARRAY:
            raise Unsupported(f"a Java stream holds something else (tag {tag}) than an array")
        name = self._class()
        place = len(self._seen)
        self._seen.append(None)  # an array has its number before its elements have theirs
        self._seen[place] = found = self._elements(name)
        return found

    def _elements(self, name: str) -> Any:
        count = self._source.number("i")
        if name in NESTED:
            # A row takes two bytes and more: so many there can be, before a list is made of them.
            if not 0 <= count <= self._source.left:
                raise UnreadableFile(f"its array is damaged: it says that it has {count} rows")
            return [self._row() for _ in range(count)]
        dtype = np.dtype(PRIMITIVES[name])
        return np.frombuffer(self._source.take(count * dtype.itemsize), dtype)

    def _row(self) -> Any:
        row = self.array()
        if not isinstance(row, np.ndarray):
            raise Unsupported("it holds an array of arrays of arrays, which no network has")
        return row

    def _class(self) -> str:
        """The name of the class that an array has, described here or before."""
        tag = self._source.number("B")
        if tag == REFERENCE:
            name = self._referred()
            if not isinstance(name, str):
                raise UnreadableFile("its array is damaged: it refers to an array for a class")
            return name
        if tag != CLASS:
            raise UnreadableFile(f"its array is damaged: tag {tag} where its class should be")
        name = self._source.text(self._source.number("H"))
        if name not in PRIMITIVES and name not in NESTED:
            raise Unsupported(refusal(name))
        self._source.take(SERIAL_NUMBER)
        plain = (SERIALIZABLE, 0, END, NULL)
        if tuple(self._source.number(code) for code in "BHBB") != plain:
            raise Unsupported(f"a Java class that calls itself {name} is no array")
        self._seen.append(name)
        return name

    def _referred(self) -> Any:
        number = self._source.number("i") - FIRST_HANDLE
        if not 0 <= number < len(self._seen) or self._seen[number] is None:
            raise UnreadableFile("its array is damaged: it refers to what is not there")
        return self._seen[number]
