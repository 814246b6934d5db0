"""Arrays from NumPy's .npz, without pickle and without trusting a header."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..errors import UnreadableFile
from ..files import regular
from .arrays import Arrays
from .packed import DEFLATION, HEADERS, LARGEST

Array = NDArray[Any]

KINDS = "fiub"
"""Of dtypes: floats, integers with and without a sign, booleans."""
MOST_MEMBERS = 10_000
HEADER_READERS: Mapping[tuple[int, int], Any] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


def read_npz(
    path: Path | str, names: Mapping[str, str] | None = None, *, seed: int = 0, shuffle: bool = True
) -> Arrays:
    """A file of arrays as a dataset.

    ``names`` gives the arrays wanted, by what they are to be called; by default all.

    Raises:
        UnreadableFile: not such a file, damaged, an array is missing or holds no numbers.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(regular(path)) as archive:
            members = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}
            _check(path, archive, members)
            wanted = names or {name: name for name in members}
            arrays = {new: _array(path, archive, members, old) for new, old in wanted.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UnreadableFile(f"{path}: a damaged .npz: {error}") from None
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror or error}") from None
    return Arrays(arrays, seed=seed, shuffle=shuffle)


def _check(path: Path, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> None:
    """Refuses what could not be honest, before anything is unpacked."""
    total = sum(each.file_size for each in archive.infolist())
    most = min(LARGEST, path.stat().st_size * DEFLATION + HEADERS)
    if len(archive.infolist()) > MOST_MEMBERS or total > most:
        raise UnreadableFile(f"{path}: it declares {total:,} bytes, refused as unsafe")
    if len(members) < len(archive.infolist()):
        raise UnreadableFile(f"{path}: two arrays of one name")
    if not members:
        raise UnreadableFile(f"{path}: it has no arrays")


def _array(
    path: Path, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str
) -> Array:
    if name not in members:
        raise UnreadableFile(f"{path}: no array {name!r}; it has {', '.join(sorted(members))}")
    with archive.open(members[name]) as file:
        return _read(f"{path}: {name!r}", file, members[name].file_size)


def _read(where: str, file: IO[bytes], size: int) -> Array:
    """An array out of ``size`` bytes: its header, and exactly what that declares."""
    try:
        shape, in_columns, dtype = HEADER_READERS[npy.read_magic(file)](file)
    except Exception as error:  # of every kind: a header is parsed as Python's own text is
        reason = " ".join(str(error).split())
        raise UnreadableFile(f"{where} is no array of NumPy: {reason}") from None
    if dtype.kind not in KINDS:
        raise UnreadableFile(f"{where} holds {dtype}, not numbers")
    declared, left = math.prod(shape) * dtype.itemsize, size - file.tell()
    if declared != left or min(shape, default=0) < 0:
        raise UnreadableFile(f"{where} declares {declared:,} bytes, and {left:,} follow")
    flat = np.frombuffer(bytearray(file.read(declared)), dtype)
    array = flat.reshape(shape, order="F" if in_columns else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)
