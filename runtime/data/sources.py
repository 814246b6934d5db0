"""Data as a spec names them: ``{type: csv, path: default.csv, target: default}``.

Each is a dataclass; ``open`` gives its examples from the folder of data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .cifar import load_cifar
from .hdf5 import Hdf5
from .mnist import load_mnist
from .npz import read_npz
from .pictures import Pictures
from .rows import Rows
from .tables import read_table
from .texts import Encoding, read_text

SetPart = Literal["train", "test"]


class Source:
    """Where examples come from."""

    def open(self, folder: Path | str | None = None, seed: int = 0) -> Rows:
        """The examples, in orders drawn from ``seed``; paths begin in ``folder``.

        Raises:
            UnreadableFile: a file is missing or damaged.
            UsageError: the options do not fit the file.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Mnist(Source):
    """Handwritten digits; see ``load_mnist``. ``path`` leads to the files' folder."""

    part: SetPart = "train"
    path: str = ""
    split: int | None = None
    digits: bool = False
    type: Literal["mnist"] = field(default="mnist", kw_only=True)

    def open(self, folder: Path | str | None = None, seed: int = 0) -> Rows:
        place = None if folder is None and not self.path else _path(folder, self.path)
        found = load_mnist(self.part, place, split=self.split, digits=self.digits)
        found.seed = seed
        return found


@dataclass(frozen=True)
class Cifar(Source):
    """Small photos of 10 or 100 classes; see ``load_cifar``."""

    part: SetPart = "train"
    path: str = ""
    classes: Literal[10, 100] = 10
    type: Literal["cifar"] = field(default="cifar", kw_only=True)

    def open(self, folder: Path | str | None = None, seed: int = 0) -> Rows:
        found = load_cifar(self.part, _path(folder, self.path), classes=self.classes)
        found.seed = seed
        return found


@dataclass(frozen=True)
class Npz(Source):
    """NumPy's .npz; ``names``: the file's arrays by what they are to be called."""

    path: str
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    type: Literal["npz"] = field(default="npz", kw_only=True)

    def open(self, folder: Path | str | None = None, seed: int = 0) -> Rows:
        return read_npz(_path(folder, self.path), self.names, seed=seed)


@dataclass(frozen=True)
class Hdf5File(Source):
    """HDF5; ``names``: the paths of the file's datasets by what they are to be called."""

    path: str
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    type: Literal["hdf5"] = field(default="hdf5", kw_only=True)

    def open(self, folder: Path | str | None = None, seed: int = 0) -> Rows:
        return Hdf5(_path(folder, self.path), self.names, seed=seed)


@dataclass(frozen=True)
class Csv(Source):
    """A table; see ``read_table``."""

    path: str
    target: str | tuple[str, ...] = ()
    one_hot: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    delimiter: str = ","
    header: bool = True
    missing: float | None = None
    type: Literal["csv"] = field(default="csv", kw_only=True)

    def open(self, folder: Path | str | None = None, seed: int = 0) -> Rows:
        found = read_table(
            _path(folder, self.path),
            self.target,
            one_hot=self.one_hot,
            drop=self.drop,
            delimiter=self.delimiter,
            header=self.header,
            missing=self.missing,
        ).data
        found.seed = seed
        return found


@dataclass(frozen=True)
class PictureFolders(Source):
    """A folder of pictures for each class; see ``Pictures``."""

    height: int
    width: int
    path: str = ""
    channels: Literal[1, 3] = 3
    fit: Literal["squash", "crop"] = "squash"
    mean: float = 127.5
    std: float = 255.0
    classes: tuple[str, ...] = ()
    skip_broken: bool = False
    type: Literal["pictures"] = field(default="pictures", kw_only=True)

    def open(self, folder: Path | str | None = None, seed: int = 0) -> Rows:
        return Pictures(
            _path(folder, self.path),
            height=self.height,
            width=self.width,
            channels=self.channels,
            fit=self.fit,
            mean=self.mean,
            std=self.std,
            classes=self.classes,
            skip_broken=self.skip_broken,
            seed=seed,
        )


@dataclass(frozen=True)
class Characters(Source):
    """Text to be continued; see ``Text``."""

    path: str
    length: int
    inputs: Encoding = "ids"
    targets: Encoding = "ids"
    stateful: bool = False
    type: Literal["text"] = field(default="text", kw_only=True)

    def open(self, folder: Path | str | None = None, seed: int = 0) -> Rows:
        return read_text(
            _path(folder, self.path),
            self.length,
            inputs=self.inputs,
            targets=self.targets,
            stateful=self.stateful,
            seed=seed,
        )


NAMED: Mapping[str, type[Any]] = {
    "mnist": Mnist,
    "cifar": Cifar,
    "npz": Npz,
    "hdf5": Hdf5File,
    "csv": Csv,
    "pictures": PictureFolders,
    "text": Characters,
}
"""Every source by the name that specs have for it."""


def _path(folder: Path | str | None, path: str) -> Path:
    return Path(folder or ".") / path
