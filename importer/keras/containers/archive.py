"""Models of Keras 3: an archive (``.keras``) or a folder of the same members.

    metadata.json  config.json  model.weights.h5  assets/…
                                model.weights.json + model_00000.weights.h5, …   weights in shards

Members are read by their exact names; what else is there is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

from ....runtime.errors import UnreadableFile
from ....runtime.files import regular
from ....runtime.hdf5.limits import LARGEST_TEXT
from ....runtime.hdf5.stretch import Stretch
from ...deferred import Deferred
from .hdf5 import Group, open_stretch
from .text import parse_json
from .zipped import open_zip

CONFIG, METADATA, ASSETS = "config.json", "metadata.json", "assets/"
WEIGHTS, INDEX, PICKLED = "model.weights.h5", "model.weights.json", "model.weights.npz"
LARGEST_ASSET = 256 << 20  # bytes

FOREIGN = {
    "data.pkl": "it is a model of PyTorch, a Python pickle; export it to ONNX there",
    "coefficients.bin": "it is a model of Deeplearning4j; import the Keras file it was made from",
    "saved_model.pb": "it is a SavedModel of TensorFlow; have Keras save it as .h5",
    ".npy": "it holds arrays of NumPy, without a network",
}


class Members(Protocol):
    """What an archive and a folder have in common."""

    @property
    def names(self) -> list[str]:
        """The names of all files."""
        ...

    def read(self, name: str, largest: int) -> bytes:
        """All of a file."""
        ...

    def stretch(self, name: str) -> Stretch:
        """The bytes of a file, as HDF5 wants them."""
        ...


@dataclass(frozen=True)
class Tree:
    """The arrays of a file of weights by their paths, such as ``layers/dense/vars/0``."""

    where: str
    arrays: Mapping[str, Deferred]

    def datasets(self) -> Iterator[str]:
        """The paths of all arrays."""
        return iter(self.arrays)

    def array(self, name: str) -> Deferred:
        """The array of a path.

        Raises:
            UnreadableFile: there is none.
        """
        if name not in self.arrays:
            raise UnreadableFile(f"{self.where}: {name!r} is missing")
        return self.arrays[name]


@dataclass(frozen=True)
class Archive:
    """A model of Keras 3: its architecture as text, and where the rest is.

    ``assets`` are files that layers need, such as vocabularies, by their names below ``assets/``.
    """

    path: Path
    config: str
    metadata: Mapping[str, Any]
    assets: Mapping[str, Callable[[], bytes]]

    @cached_property
    def weights(self) -> Tree:
        """The arrays, each read from the archive when it is wanted.

        Raises:
            UnreadableFile: there are none, they are damaged, or their format is unsafe.
        """
        with _open(self.path) as members:
            if WEIGHTS in members.names:
                return _tree(members, self.path, [WEIGHTS])
            if INDEX in members.names:
                index = _text(members, self.path, INDEX)
                return _sharded(members, self.path, parse_json(index, f"{self.path}:{INDEX}"))
            if PICKLED in members.names:
                raise UnreadableFile(
                    f"{self.path}:{PICKLED}: its weights are Python pickles, which can run any "
                    "program when they are read: refused as unsafe; have Keras save the model with "
                    "weights_format='h5'"
                )
        raise UnreadableFile(f"{self.path}: it has no {WEIGHTS}; add --weights")


def open_archive(path: Path) -> Archive:
    """Reads all of an archive or a folder but its arrays.

    Raises:
        UnreadableFile: it is no model of Keras 3, damaged, or unsafe.
    """
    with _open(path) as members:
        names = members.names
        if CONFIG not in names:
            known = (say for end, say in FOREIGN.items() if any(n.endswith(end) for n in names))
            raise UnreadableFile(f"{path}: {next(known, f'no model: it has no {CONFIG}')}")
        metadata: Any = {}
        if METADATA in names:
            metadata = parse_json(_text(members, path, METADATA), f"{path}:{METADATA}")
        if not isinstance(metadata, dict):
            raise UnreadableFile(f"{path}:{METADATA}: it is no object")
        assets = [name for name in names if name.startswith(ASSETS)]
        return Archive(
            path,
            _text(members, path, CONFIG),
            metadata,
            {name.removeprefix(ASSETS): partial(_asset, path, name) for name in assets},
        )


def read_shards(index: Path) -> Tree:
    """The weights that ``NAME.weights.json`` distributes over files beside it.

    Raises:
        UnreadableFile: it is no such index, or a file of it is missing, damaged, or unsafe.
    """
    with _open_folder(index.parent) as members:
        text = _text(members, index.parent, index.name)
        return _sharded(members, index.parent, parse_json(text, str(index)))


def _sharded(members: Members, path: Path, index: Any) -> Tree:
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict):
        raise UnreadableFile(f"{path}: its weights are no index of shards: no 'weight_map'")
    there, files = {name for name in members.names if "/" not in name}, set[str]()
    for shards in places.values():
        for name in shards if isinstance(shards, list) else [shards]:
            if not isinstance(name, str) or name not in there:
                raise UnreadableFile(f"{path}: its index names a missing shard {name!r}")
            files.add(name)
    tree = _tree(members, path, sorted(files))
    groups = {name.rpartition("/")[0] for name in tree.arrays}
    for place in places:
        if place.strip("/") not in groups:
            raise UnreadableFile(f"{path}: its index names {place!r}, which no shard has")
    return tree


def _tree(members: Members, path: Path, files: list[str]) -> Tree:
    """The arrays of some files of weights as one tree."""
    arrays: dict[str, Deferred] = {}
    for name in files:
        stretch = members.stretch(name)
        reopen = partial(open_stretch, stretch)
        with reopen() as opened:
            root = Group(stretch.name, opened, reopen)
            for inside in root.datasets():
                if inside in arrays:
                    raise UnreadableFile(f"{path}: two shards have {inside!r}")
                arrays[inside] = root.array(inside)
    return Tree(str(path), arrays)


def _text(members: Members, path: Path, name: str) -> str:
    try:
        return members.read(name, LARGEST_TEXT).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path}:{name}: not text in UTF-8: byte {error.start}") from None


def _asset(path: Path, name: str) -> bytes:
    with _open(path) as members:
        content = members.read(name, LARGEST_ASSET)
    if content.startswith(b"PK\x03\x04"):
        raise UnreadableFile(f"{path}:{name}: an archive in an archive, refused as unsafe")
    return content


def _open(path: Path) -> AbstractContextManager[Members]:
    return _open_folder(path) if path.is_dir() else open_zip(path)


@contextmanager
def _open_folder(path: Path) -> Generator[Members]:
    try:
        yield _Folder(path)
    except OSError as error:
        raise UnreadableFile(f"{path}: a folder that cannot be read: {error}") from None


class _Folder:
    """A folder with the members of an archive as files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        folders = [path, *(Path(folder) for folder, _, _ in os.walk(path / ASSETS))]
        files = (file for folder in folders for file in folder.iterdir() if file.is_file())
        self._names = [file.relative_to(path).as_posix() for file in files]

    @property
    def names(self) -> list[str]:
        """The names of all files in the folder and in its assets."""
        return self._names

    def read(self, name: str, largest: int) -> bytes:
        """All of a file."""
        file = regular(self._path / name)
        if file.stat().st_size > largest:
            raise UnreadableFile(f"{file}: {file.stat().st_size:,} bytes is too large")
        return file.read_bytes()

    def stretch(self, name: str) -> Stretch:
        """The bytes of a file."""
        return Stretch.of(self._path / name)
