"""Nodes of TensorFlow's graphs, as tf.keras 2.0 to 2.3 write them into a layer's options.

They are objects (2.2, 2.3) or a serialized protocol buffer as text (2.0, 2.1), of which a node
needs little: tensorflow/core/framework/node_def.proto, attr_value.proto.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ....runtime.errors import UnreadableFile


@dataclass(frozen=True, slots=True)
class Node:
    """An operation of TensorFlow, how many inputs it has, and its attributes as Python has them."""

    op: str
    inputs: int
    attributes: Mapping[str, Any]


def read_node(given: Any) -> Node:
    """A node in any of its forms; its control inputs do not count.

    Raises:
        UnreadableFile: none of them.
    """
    try:
        if isinstance(given, str) and given.lstrip().startswith("{"):
            given = json.loads(given)
        if isinstance(given, str):
            return _from_bytes(given.encode())
        inputs = sum(not str(name).startswith("^") for name in given.get("input", ()))
        attributes = {key: _value(one) for key, one in given.get("attr", {}).items()}
        return Node(str(given["op"]), inputs, attributes)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error):
        raise UnreadableFile("its node_def is none of TensorFlow's") from None


def _value(attribute: Mapping[str, Any]) -> Any:
    """What {"i": "3"}, {"s": base64} or {"list": {"i": [...]}} holds."""
    for kind, value in attribute.items():
        match kind:
            case "list":
                return [_value({k: one}) for k, entries in value.items() for one in entries]
            case "i":
                return int(value)
            case "s":
                return base64.b64decode(value).decode()
            case "type":
                return _dtype(value)
            case _:
                return value
    return None


DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64",
          10: "bool", 14: "bfloat16", 17: "uint16", 19: "float16"}  # fmt: skip
"""TensorFlow's numbers for dtypes."""
NAMES = {"float": "float32", "double": "float64", "half": "float16"}


def _dtype(given: Any) -> str:
    if isinstance(given, int):
        return DTYPES.get(given, f"number {given}")
    name = str(given).removeprefix("DT_").lower()
    return NAMES.get(name, name)


def _from_bytes(data: bytes) -> Node:
    op, inputs, attributes = "", 0, dict[str, Any]()
    for number, value in _fields(data):
        if number == 2:
            op = bytes(value).decode()
        elif number == 3:
            inputs += not bytes(value).startswith(b"^")
        elif number == 5:
            entry = dict(_fields(value))
            attributes[bytes(entry[1]).decode()] = _attribute(entry.get(2, b""))
    if not op:
        raise ValueError
    return Node(op, inputs, attributes)


def _attribute(data: bytes) -> Any:
    for number, value in _fields(data):
        match number:
            case 1:
                return list(_list(value))
            case 2:
                return value.decode()
            case 3:
                return _signed(value)
            case 4:
                return struct.unpack("<f", value)[0]
            case 5:
                return bool(value)
            case 6:
                return _dtype(value)
            case _:
                return value
    return None


def _list(data: bytes) -> Iterator[Any]:
    """A list of whole numbers, packed or not, or of strings; others are left out."""
    for number, value in _fields(data):
        if number == 3 and isinstance(value, bytes):
            at = 0
            while at < len(value):
                one, at = _varint(value, at)
                yield _signed(one)
        elif number == 3:
            yield _signed(value)
        elif number == 2:
            yield value.decode()


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message: (number, what it holds)."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                value, at = _varint(data, at)
            case 1 | 5 as wire:
                size = 8 if wire == 1 else 4
                value, at = data[at : at + size], at + size
            case 2:
                size, at = _varint(data, at)
                value, at = data[at : at + size], at + size
            case _:
                raise ValueError
        if at > len(data):
            raise ValueError
        yield key >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
