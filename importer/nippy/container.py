"""The container of Nippy: four bytes that say what follows, and that, compressed or not."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from pathlib import Path

from cramjam import DecompressionError, lz4, snappy

from ...runtime.errors import UnreadableFile, Unsupported
from ...runtime.files import regular
from .cursor import Cursor

MAGIC = b"NPY"
LARGEST = 1 << 31  # bytes: Java's arrays are no longer, and Nippy freezes into one
SMALL = 64 << 20  # bytes that are never too many
MOST_TIMES = 100  # what weights may shrink to: numbers hardly do
LZMA_MEMORY = 256 << 20  # bytes

PLAIN, SNAPPY, LZ4, LZMA2 = 0, 1, 8, 11
ENCRYPTED = (2, 3, 4, 6, 7, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23)
OTHER, ZSTANDARD = 5, 20


def unpack(path: Path) -> memoryview:
    """What was frozen into a file, as bytes.

    Raises:
        UnreadableFile: no such file, damaged, or so large when unpacked that it must be a trap.
        Unsupported: encrypted, or compressed as cortex never did.
    """
    if regular(path).stat().st_size > LARGEST:
        raise UnreadableFile("it is larger than any file of Nippy")
    file = Cursor(memoryview(path.read_bytes()))
    if bytes(file.take(len(MAGIC))) != MAGIC:
        raise UnreadableFile("it does not begin as a file of Nippy")
    method = file.number("B")
    if method == PLAIN:
        return file.take(file.left)
    if method not in METHODS:
        raise Unsupported(_refusal(method))
    try:
        return METHODS[method](file)
    except (DecompressionError, lzma.LZMAError) as error:
        raise UnreadableFile(f"it cannot be unpacked: {error}") from None


def _refusal(method: int) -> str:
    if method in ENCRYPTED:
        return "it is encrypted; thaw it with its password, and freeze it again without one"
    if method == OTHER:
        return "it is compressed in a way of its own; freeze it again with Nippy's defaults"
    if method == ZSTANDARD:
        return "it is compressed by Zstandard, which cortex never used; freeze it again with LZ4"
    return f"its kind of compression, {method}, is not known"


def _checked(size: int, packed: int) -> int:
    """The size that is announced, if ``packed`` bytes may well unpack to it."""
    if not 0 <= size <= max(SMALL, MOST_TIMES * packed):
        raise UnreadableFile(f"it says that {packed:,} bytes unpack to {size:,}")
    return size


def _lz4(file: Cursor) -> memoryview:
    size = _checked(file.number("i"), file.left)
    unpacked = bytearray(size)
    # The other function fills up with zeros what a block lacks.
    return _whole(unpacked, size, lz4.decompress_block_into(file.take(file.left), unpacked))


def _snappy(file: Cursor) -> memoryview:
    packed = file.take(file.left)
    size = _checked(snappy.decompress_raw_len(packed), len(packed))
    unpacked = bytearray(size)
    return _whole(unpacked, size, snappy.decompress_raw_into(packed, unpacked))


def _lzma2(file: Cursor) -> memoryview:
    size = _checked(file.number("i"), file.left)
    unpacking = lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY)
    unpacked = unpacking.decompress(file.take(file.left), size + 1)
    return _whole(unpacked, size, len(unpacked))


def _whole(unpacked: bytes | bytearray, size: int, found: int) -> memoryview:
    if found != size:
        raise UnreadableFile(f"it says that it unpacks to {size:,} bytes, and does not")
    return memoryview(unpacked)


METHODS: dict[int, Callable[[Cursor], memoryview]] = {
    SNAPPY: _snappy,
    LZ4: _lz4,
    LZMA2: _lzma2,
}
