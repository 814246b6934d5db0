"""TensorBoard's event files: the few messages that scalars and histograms need, and their frame.

A file is a row of records, each a length, its checksum, the bytes, their checksum (TFRecord); the
bytes are an ``Event`` of ``tensorflow/core/util/event.proto`` in protobuf's encoding. The tests
hold both against TensorBoard's own reader.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .distribution import Distribution

Array = NDArray[Any]
VERSION = b"brain.Event:2"
BUCKETS = 40
START = 1  # of SessionLog.SessionStatus


class EventFile:
    """Writes events to an open file; ``time`` is seconds since 1970."""

    def __init__(self, file: BinaryIO, time: float) -> None:
        self._file = file
        self._write(time, 0, _bytes(3, VERSION))

    def start(self, time: float, step: int) -> None:
        """Training starts again before this step; what files tell of it and later is void."""
        self._write(time, step, _bytes(7, _varint_field(1, START)))

    def summary(
        self,
        time: float,
        step: int,
        scalars: Mapping[str, float],
        histograms: Mapping[str, Array] | None = None,
    ) -> None:
        """Numbers, and the distribution of arrays, by name; read once ``flush`` was called."""
        values = [_bytes(1, name.encode()) + _float(2, n) for name, n in scalars.items()]
        for name, array in (histograms or {}).items():
            values.append(_bytes(1, name.encode()) + _bytes(5, _histogram(array)))
        self._write(time, step, _bytes(5, b"".join(_bytes(1, value) for value in values)))

    def flush(self) -> None:
        """Lets readers have all that was written."""
        self._file.flush()

    def _write(self, time: float, step: int, what: bytes) -> None:
        event = _doubles(1, [time], packed=False) + _varint_field(2, step) + what
        length = struct.pack("<Q", len(event))
        self._file.write(length + _checksum(length) + event + _checksum(event))


def _histogram(array: Array) -> bytes:
    """A ``HistogramProto``; elements that are not finite are left out."""
    found = Distribution.of(array)
    counts, edges = np.histogram(found.sample if found.sample.size else np.zeros(1), BUCKETS)
    moments = [found.low, found.high, found.finite, found.total, found.squares]
    return (
        b"".join(_doubles(i, [moment], packed=False) for i, moment in enumerate(moments, 1))
        + _doubles(6, edges[1:])
        + _doubles(7, counts)
    )


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varint_field(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _float(field: int, number: float) -> bytes:
    return _varint(field << 3 | 5) + np.float32(number).tobytes()


def _doubles(field: int, numbers: Iterable[Any], packed: bool = True) -> bytes:
    content = struct.pack(f"<{len(found := list(numbers))}d", *found)
    return _bytes(field, content) if packed else _varint(field << 3 | 1) + content


def _checksum(content: bytes) -> bytes:
    """CRC-32C (Castagnoli), masked as TFRecord has it."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@cache
def _table() -> list[int]:
    table: list[int] = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
        table.append(crc)
    return table
