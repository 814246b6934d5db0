"""Reading HDF5 from strangers: nothing outside the file, nothing that claims more than it holds.

The checks are those Keras learnt to make (CVE-2026-0897, CVE-2026-1669): only hard links, no
external or virtual storage, plain numbers, and no dataset that declares many times what is
stored.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...runtime.errors import UnreadableFile
from ...runtime.files import regular
from ..deferred import Array, Deferred

LARGEST_ARRAY = 16 << 30  # bytes
LARGEST_TEXT = 100 << 20  # bytes
DEFLATION = 1100  # no filter of HDF5 shrinks numbers further than deflate's 1032 times


@contextmanager
def open_file(path: Path) -> Generator[h5py.File]:
    """Opens an HDF5 file, recognised by its content.

    Raises:
        UnreadableFile: there is none, or it is something else, or it is cut short.
    """
    try:
        with regular(path).open("rb") as raw:
            start = raw.read(8)
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from None
    if not h5py.is_hdf5(path):
        raise UnreadableFile(f"{path}: not an HDF5 file: {_looks_like(start)}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UnreadableFile(f"{path}: a truncated or damaged HDF5 file: {error}") from None
    with file:
        try:
            yield file
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            # h5py has no error of its own: a damaged file ends in whichever of these comes first.
            raise UnreadableFile(f"{path}: a damaged HDF5 file: {error}") from error


KINDS = {
    b"PK\x03\x04": "it is a zip archive, perhaps a Keras 3 .keras file, which is not read yet",
    b"version ": "it is a pointer of Git LFS; fetch the file itself with 'git lfs pull'",
    b"{": "it is JSON; an architecture needs --weights",
}


def _looks_like(start: bytes) -> str:
    known = [what for magic, what in KINDS.items() if start.startswith(magic)]
    return (known or [f"it starts with {start!r}" if start else "it is empty"])[0]


class Group:
    """A group of an HDF5 file, read with suspicion.

    Raises:
        UnreadableFile: from every method, naming the place in the file.
    """

    def __init__(self, path: Path, group: h5py.Group) -> None:
        self._path, self._group = path, group
        self.where = f"{path}:{group.name}"

    def __contains__(self, name: str) -> bool:
        return name in self._group

    def names(self) -> list[str]:
        """The names in the group."""
        return list(self._group)

    def group(self, name: str) -> Group:
        """A group inside this one."""
        found = self._get(name)
        if not isinstance(found, h5py.Group):
            raise UnreadableFile(f"{self.where}: {name!r} is no group")
        return Group(self._path, found)

    def array(self, name: str) -> Deferred:
        """A dataset; a slash in its name leads through groups. It is called by the last part."""
        *folders, last = [part for part in name.split("/") if part]
        place = self
        for folder in folders:
            place = place.group(folder)
        found = place._get(last)
        if not isinstance(found, h5py.Dataset):
            raise UnreadableFile(f"{self.where}: {name!r} is no dataset")
        _check_dataset(f"{self.where}/{name}", found)
        path, inside = self._path, str(found.name)
        local = last.removesuffix(":0")
        return Deferred(local, found.shape, found.dtype, lambda: _read(path, inside))

    def numbers(self, dataset: str, attribute: str) -> tuple[int, ...] | None:
        """An attribute of a dataset that is a list of whole numbers; None if there is none."""
        found = self._get(dataset)
        value = found.attrs.get(attribute)
        if value is None or np.asarray(value).dtype.kind not in "iu":
            return None
        return tuple(int(n) for n in np.asarray(value).reshape(-1))

    def text(self, attribute: str) -> str | None:
        """An attribute that is one string; None if there is none."""
        value = self._attribute(attribute)
        if value is None or isinstance(value, h5py.Empty):
            return None
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        return self._decoded(attribute, value)

    def texts(self, attribute: str) -> list[str]:
        """An attribute that is a list of strings; a long one is in pieces NAME0, NAME1, ..."""
        whole = self._attribute(attribute)
        pieces = [whole] if whole is not None else list(self._pieces(attribute))
        if not pieces:
            raise UnreadableFile(f"{self.where}: the attribute {attribute!r} is missing")
        return [
            self._decoded(attribute, value)
            for piece in pieces
            if not isinstance(piece, h5py.Empty)
            for value in np.asarray(piece).reshape(-1)
        ]

    def _pieces(self, attribute: str) -> Iterator[Any]:
        number = 0
        while (piece := self._attribute(f"{attribute}{number}")) is not None:
            yield piece
            number += 1

    def _attribute(self, name: str) -> Any:
        if name not in self._group.attrs:
            return None
        attribute = self._group.attrs.get_id(name)
        if math.prod(attribute.shape or ()) * attribute.dtype.itemsize > LARGEST_TEXT:
            raise UnreadableFile(f"{self.where}: the attribute {name!r} is too large")
        return self._group.attrs[name]

    def _decoded(self, attribute: str, value: Any) -> str:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if not isinstance(text, str):
            raise UnreadableFile(f"{self.where}: the attribute {attribute!r} is {value!r}, no text")
        if len(text) > LARGEST_TEXT:
            raise UnreadableFile(f"{self.where}: the attribute {attribute!r} is too large")
        return text

    def _get(self, name: str) -> Any:
        link = self._group.get(name, getlink=True)
        if link is None:
            raise UnreadableFile(f"{self.where}: {name!r} is missing")
        if not isinstance(link, h5py.HardLink):
            kind = type(link).__name__
            raise UnreadableFile(f"{self.where}: {name!r} is a {kind}, which is refused as unsafe")
        return self._group[name]


def _check_dataset(where: str, dataset: h5py.Dataset) -> None:
    stored: Any = dataset.id.get_storage_size()
    if dataset.external or dataset.is_virtual:
        raise UnreadableFile(f"{where}: its data lie outside the file, which is refused as unsafe")
    if dataset.dtype.kind not in "fiub" or dataset.shape is None:
        raise UnreadableFile(f"{where}: it holds {dataset.dtype}, not numbers")
    size = math.prod(dataset.shape) * dataset.dtype.itemsize
    if size > LARGEST_ARRAY or size > (stored + 4096) * DEFLATION:
        raise UnreadableFile(
            f"{where}: it declares {size:,} bytes, but {stored:,} are stored: refused as unsafe"
        )


def _read(path: Path, name: str) -> Array:
    with open_file(path) as file:
        return file[name][()]  # pyright: ignore[reportReturnType, reportIndexIssue]
