"""Reading HDF5 from strangers: nothing outside the file, nothing that claims more than it holds.

What is refused, ``runtime/hdf5/limits.py`` says; ``probe.py`` there has read a file before this
process does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5o  # pyright: ignore[reportAttributeAccessIssue]

from ....runtime.errors import UnreadableFile
from ....runtime.hdf5.limits import (
    LARGEST_TEXT,
    check_attribute,
    check_link,
    check_numbers,
    check_storage,
    shown,
)
from ....runtime.hdf5.probe import probe
from ....runtime.hdf5.stretch import Stretch
from ...deferred import Array, Deferred
from ...sniff import refusal, sniff

RAW = (np.dtype("V2"), np.dtype("<u2"))  # what Keras 3 stores bfloat16 as
Opener = Callable[[], AbstractContextManager[h5py.File]]


def open_file(path: Path) -> AbstractContextManager[h5py.File]:
    """Opens an HDF5 file, recognised by its content.

    Raises:
        UnreadableFile: there is none, or it is something else, or damaged, or unsafe.
    """
    whole = Stretch.of(path)
    if not whole.is_hdf5():
        raise UnreadableFile(f"{path}: not an HDF5 file: {refusal(sniff(path))}")
    return open_stretch(whole)


@contextmanager
def open_stretch(stretch: Stretch) -> Generator[h5py.File]:
    """Opens HDF5 wherever it is.

    Raises:
        UnreadableFile: it is something else, or damaged, or unsafe.
    """
    if not stretch.is_hdf5():
        raise UnreadableFile(f"{stretch.name}: not an HDF5 file")
    probe(stretch)
    try:
        with h5py.File(stretch.source(), "r") as file:
            yield file
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        # h5py has no error of its own: a damaged file ends in whichever of these comes first.
        raise UnreadableFile(f"{stretch.name}: a damaged HDF5 file: {error}") from error


class Group:
    """A group of an HDF5 file, read with suspicion.

    ``path`` is what messages call the file, ``reopen`` how its arrays are read later.

    Raises:
        UnreadableFile: from every method, naming the place in the file.
    """

    def __init__(self, path: Path | str, group: h5py.Group, reopen: Opener | None = None) -> None:
        self._path, self._group = path, group
        self._reopen: Opener = reopen or (lambda: open_file(Path(path)))
        self.where = f"{path}:{shown(str(group.name))}"

    def __contains__(self, name: str) -> bool:
        return name in self._group

    def names(self) -> list[str]:
        """The names in the group."""
        return list(self._group)

    def group(self, name: str) -> Group:
        """A group inside this one; a slash in its name leads through groups."""
        found = self._find(name)
        if not isinstance(found, h5py.Group):
            raise UnreadableFile(f"{self.where}: {name!r} is no group")
        return Group(self._path, found, self._reopen)

    def datasets(self) -> Iterator[str]:
        """The paths of all datasets in this group and those inside, each object once."""
        seen: set[int] = set()
        waiting: list[tuple[str, Group]] = [("", self)]
        while waiting:
            prefix, group = waiting.pop(0)
            for name in group.names():
                item = group._member(name)
                address = h5o.get_info(item.id).addr
                if address in seen:
                    continue
                seen.add(address)
                if isinstance(item, h5py.Group):
                    waiting.append((f"{prefix}{name}/", Group(self._path, item, self._reopen)))
                elif isinstance(item, h5py.Dataset):
                    yield f"{prefix}{name}"

    def array(self, name: str) -> Deferred:
        """A dataset; a slash in its name leads through groups. It is called by the last part.

        Raw bfloat16, which Keras 3 marks so, becomes float32.
        """
        found = self._find(name)
        if not isinstance(found, h5py.Dataset):
            raise UnreadableFile(f"{self.where}: {name!r} is no dataset")
        where = f"{self.where}/{shown(name)}"
        check_storage(where, found)
        inside, reopen = str(found.name), self._reopen
        local = name.rpartition("/")[2].removesuffix(":0")
        if found.dtype in RAW and _attribute(where, found, "dtype") == "bfloat16":
            wide = np.dtype(np.float32)
            return Deferred(local, found.shape, wide, lambda: _widened(_read(reopen, inside)))
        check_numbers(where, found)
        return Deferred(local, found.shape, found.dtype, lambda: _read(reopen, inside))

    def string(self, name: str) -> str:
        """A dataset that is one string."""
        found = self._find(name)
        where = f"{self.where}/{shown(name)}"
        if not isinstance(found, h5py.Dataset) or not h5py.check_string_dtype(found.dtype):
            raise UnreadableFile(f"{where}: it is no text")
        check_storage(where, found)
        if found.shape != ():
            raise UnreadableFile(f"{where}: it is {found.shape} texts, expected one")
        return self._decoded(name, found[()])

    def numbers(self, dataset: str, attribute: str) -> tuple[int, ...] | None:
        """An attribute of a dataset that is a list of whole numbers; None if there is none."""
        value = _attribute(f"{self.where}/{shown(dataset)}", self._find(dataset), attribute)
        if value is None or np.asarray(value).dtype.kind not in "iu":
            return None
        return tuple(int(n) for n in np.asarray(value).reshape(-1))

    def has_attribute(self, name: str) -> bool:
        """Whether there is such an attribute, whole or in pieces."""
        return name in self._group.attrs or f"{name}0" in self._group.attrs

    def text(self, attribute: str) -> str | None:
        """An attribute that is one string; None if there is none."""
        value = _attribute(self.where, self._group, attribute)
        if value is None or isinstance(value, h5py.Empty):
            return None
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        return self._decoded(attribute, value)

    def texts(self, attribute: str) -> list[str]:
        """An attribute that is a list of strings; a long one is in pieces NAME0, NAME1, ..."""
        whole = _attribute(self.where, self._group, attribute)
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
        for number in itertools.count():
            piece = _attribute(self.where, self._group, f"{attribute}{number}")
            if piece is None:
                return
            yield piece

    def _decoded(self, attribute: str, value: Any) -> str:
        # h5py smuggles bytes that are not UTF-8 through a str as surrogates.
        raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        if not isinstance(raw, bytes):
            raise UnreadableFile(f"{self.where}: the attribute {attribute!r} is {value!r}, no text")
        if len(raw) > LARGEST_TEXT:
            raise UnreadableFile(f"{self.where}: the attribute {attribute!r} is too large")
        return raw.decode("utf-8", "replace")

    def _find(self, name: str) -> Any:
        *folders, last = [part for part in name.split("/") if part] or [name]
        place = self
        for folder in folders:
            place = place.group(folder)
        return place._member(last)

    def _member(self, name: str) -> Any:
        check_link(self.where, self._group, name)
        return self._group[name]


def _attribute(where: str, owner: h5py.HLObject, name: str) -> Any:
    """The value of an attribute; None if there is none."""
    if name not in owner.attrs:
        return None
    if not check_attribute(where, owner, name):
        raise UnreadableFile(f"{where}: the attribute {name!r} is neither text nor numbers")
    return owner.attrs[name]


def _read(reopen: Opener, name: str) -> Array:
    with reopen() as file:
        return file[name][()]  # pyright: ignore[reportReturnType, reportIndexIssue]


def _widened(raw: Array) -> Array:
    """Float32 from bfloat16, which is its upper half."""
    return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
