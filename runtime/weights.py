"""The weights file: safetensors, written in a stream and read in place.

A 528 MB network is written one array at a time and read as views of the mapped file, so neither
side holds it in memory; and an ONNX graph points into the same file by offset. The library
``safetensors`` offers neither a stream nor offsets; the format is its own (8 bytes of length, a
JSON header, the bytes), and the tests hold the two against each other.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UnreadableFile, Unsupported
from .files import regular

Array = NDArray[Any]

DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "I64": "int64",
    "U64": "uint64",
    "F64": "float64",
}
NAMES = {np.dtype(name): code for code, name in DTYPES.items()}
LONGEST_HEADER = 100_000_000  # bytes; the limit of the reference implementation
ALIGNMENT = 64  # bytes; what onnxruntime and BLAS like to find mapped arrays at
DIGEST = "cortex.sha256"
"""The key of the metadata under which a file may have the digest of itself: of all its bytes, but
that of the digest's own digits, which count as zeros."""
NO_DIGEST = "0" * 64
MOST_AXES = 32
MOST_ELEMENTS = 1 << 56


@dataclass(frozen=True, slots=True)
class Stored:
    """Where one array lies in the file: ``offset`` and ``size`` in bytes from its start."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True)
class WeightsFile:
    """An open weights file. The arrays are read-only views of the mapped file."""

    path: Path
    metadata: Mapping[str, str]
    stored: Mapping[str, Stored]

    @classmethod
    def open(cls, path: Path) -> WeightsFile:
        """Reads and checks the header; no array is touched.

        Raises:
            UnreadableFile: there is no such file, it is no safetensors file, or an array lies
                outside it.
        """
        size = regular(path).stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(LONGEST_HEADER, size - 8):
                raise UnreadableFile(
                    f"{path}: not a safetensors file: its header length is {length}"
                )
            raw = file.read(length)
        try:
            header: dict[str, Any] = json.loads(raw)
            metadata = header.pop("__metadata__", {})
            if not all(isinstance(text, str) for text in metadata.values()):
                raise ValueError("its metadata is no text")
            stored = {name: _stored(entry, 8 + length, size) for name, entry in header.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UnreadableFile(f"{path}: a damaged safetensors header: {error!r}") from None
        return cls(path, metadata, stored)

    def verify(self) -> None:
        """Holds the file against the digest that it has of itself; one without any says nothing.

        It takes 0.7 s a GB where the processor has instructions for it.

        Raises:
            UnreadableFile: it is not as it was written.
        """
        written = self.metadata.get(DIGEST)
        if written is None:
            return
        with self.path.open("rb") as file:
            head = file.read(8)
            head += file.read(int.from_bytes(head, "little"))
            found = hashlib.sha256(head.replace(written.encode(), NO_DIGEST.encode(), 1))
            while part := file.read(1 << 20):
                found.update(part)
        if found.hexdigest() != written:
            raise UnreadableFile(
                f"{self.path}: damaged: its SHA-256 is {found.hexdigest()[:12]}…, when it was "
                f"written it was {written[:12]}…; take another copy, or an older checkpoint"
            )

    def arrays(self) -> Mapping[str, Array]:
        """Every array by name, mapped from the file."""
        raw = np.memmap(self.path, np.uint8, "r").view(np.ndarray)
        return {
            name: raw[at.offset : at.offset + at.size].view(at.dtype).reshape(at.shape)
            for name, at in self.stored.items()
        }


def _stored(entry: Mapping[str, Any], base: int, file_size: int) -> Stored:
    dtype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
        raise ValueError(f"an array of shape {shape} at {begin} to {end}")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if end - begin != size or base + end > file_size:
        raise ValueError(
            f"an array of shape {shape} at bytes {begin} to {end} of {file_size - base}"
        )
    # An empty array may have any other sizes; NumPy has limits.
    if len(shape) > MOST_AXES or math.prod(n for n in shape if n) > MOST_ELEMENTS:
        raise ValueError(f"an array of shape {shape}")
    return Stored(dtype, shape, base + begin, size)


def write(
    path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str], *, digest: bool = False
) -> None:
    """Writes ``arrays`` one by one; each is asked for when its turn comes, and let go after it.

    ``arrays`` may be any mapping, one that reads its arrays when asked included, and its values
    anything that has a shape and a dtype and that ``numpy.asarray`` makes an array of. Each is
    asked for twice, once for shape and dtype, once for the bytes. With ``digest`` the file has one
    of itself, for ``verify``.

    Raises:
        Unsupported: an array of a dtype the format has not.
    """
    own = {DIGEST: NO_DIGEST} if digest else {}
    header: dict[str, Any] = {"__metadata__": {**own, **metadata}}
    end = 0
    for name in arrays:
        header[name], end = _entry(name, arrays[name], end)
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-(8 + len(raw)) % ALIGNMENT)
    head, found = len(raw).to_bytes(8, "little") + raw, hashlib.sha256()
    with path.open("wb") as file:

        def put(part: bytes | memoryview) -> None:
            file.write(part)
            if digest:
                found.update(part)

        put(head)
        for name in arrays:  # no name for the array: the next one is read when it is gone
            put(_bytes(arrays[name]))
        if digest:
            file.seek(head.index(NO_DIGEST.encode()))
            file.write(found.hexdigest().encode())


def _entry(name: str, array: Any, begin: int) -> tuple[Mapping[str, Any], int]:
    """The header's entry of an array whose bytes begin there, and where they end."""
    dtype = _native(array)
    if dtype not in NAMES:
        raise Unsupported(f"array {name!r}: its dtype {array.dtype} cannot be stored")
    end = begin + math.prod(array.shape) * dtype.itemsize
    return {
        "dtype": NAMES[dtype],
        "shape": list(array.shape),
        "data_offsets": [begin, end],
    }, end


def _bytes(array: Any) -> memoryview:
    return np.ascontiguousarray(array, _native(array)).reshape(-1).view(np.uint8).data


def _native(array: Any) -> np.dtype[Any]:
    return array.dtype.newbyteorder("=")
