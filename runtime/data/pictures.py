"""Pictures in folders: FOLDER/CLASS/FILE, the class from the folder's name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableFile, UsageError
from ..pictures import PictureReader
from ..preprocessing import Preprocessing
from .dataset import INPUT, TARGET, Batch
from .encoders import one_hot
from .rows import Index, Rows

Array = NDArray[Any]

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
CHANNELS = (1, 3)
LARGEST_FILE = 64 << 20  # bytes
MOST_PIXELS = 50_000_000
MOST_PICTURES = 10_000_000
KEPT = 2 << 30  # bytes of decoded pictures that stay in memory


class Pictures(Rows):
    """``input`` float32 [n, height, width, channels] from -0.5 to 0.5, one-hot ``target``.

    A picture is decoded when its batch is made, and kept if all of them fit in memory. Numbers are
    y = (x - mean) / std of values x from 0 to 255.

    Args:
        folder: has a folder for each class.
        height, width: that pictures are brought to.
        channels: 1 for gray, 3 for RGB.
        fit: what becomes of another aspect: squeezed, or its middle cut out.
        mean, std: see above.
        classes: the folders' names in the order of their numbers; by default all, sorted.
        skip_broken: whether pictures that cannot be read are left out, for which all are read at
            once; ``skipped`` has their paths.
        seed, shuffle: the order.

    Raises:
        UnreadableFile: there are no pictures, or, from a batch, one cannot be read.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        height: int,
        width: int,
        channels: Literal[1, 3] = 3,
        fit: Literal["squash", "crop"] = "squash",
        mean: float = 127.5,
        std: float = 255.0,
        classes: Sequence[str] = (),
        skip_broken: bool = False,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        super().__init__(seed=seed, shuffle=shuffle)
        if channels not in CHANNELS or min(height, width) < 1 or std <= 0:
            raise UsageError(f"no pictures are {height}×{width}×{channels}, or divided by {std}")
        self._shape = (height, width, channels)
        self._fit: Literal["squash", "crop"] = fit
        self._mean, self._std = mean, std
        self.classes = tuple(classes) or _folders(Path(folder))
        self.paths, self.labels = _listed(Path(folder), self.classes)
        self.skipped: tuple[Path, ...] = ()
        self._keep()
        if skip_broken:
            self._skip_broken()

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: Index) -> Batch:
        chosen = np.arange(len(self))[rows]
        pixels = np.stack([self._pixels(int(row)) for row in chosen])
        values = (pixels.astype(np.float32) - np.float32(self._mean)) / np.float32(self._std)
        return {INPUT: values, TARGET: one_hot(self.labels[chosen], len(self.classes))}

    def column(self, name: str) -> Array:
        """The classes without decoding a picture."""
        return self.labels if name == TARGET else super().column(name)

    @property
    def preprocessing(self) -> Preprocessing:
        """What a server has to do to pictures for them to be as these."""
        height, width, channels = self._shape
        return Preprocessing(
            size=(height, width),
            fit=self._fit,
            channels="gray" if channels == 1 else "rgb",
            mean=self._mean,
            std=self._std,
        )

    def _pixels(self, row: int) -> Array:
        """A picture, uint8 [height, width, channels]."""
        if self._kept is None:
            return read_picture(self.paths[row], self._shape, self._fit)
        if not self._known[row]:
            self._kept[row] = read_picture(self.paths[row], self._shape, self._fit)
            self._known[row] = True
        return self._kept[row]

    def _keep(self) -> None:
        size = len(self) * int(np.prod(self._shape))
        self._kept = np.empty((len(self), *self._shape), np.uint8) if size <= KEPT else None
        self._known = np.zeros(len(self), bool)

    def _skip_broken(self) -> None:
        good = np.ones(len(self), bool)
        for row in range(len(self)):
            try:
                self._pixels(row)
            except UnreadableFile:
                good[row] = False
        if not good.any():
            raise UnreadableFile(f"{self.paths[0].parent.parent}: none of its pictures can be read")
        self.skipped = tuple(path for path, fine in zip(self.paths, good, strict=True) if not fine)
        self.paths = tuple(path for path, fine in zip(self.paths, good, strict=True) if fine)
        self.labels, self._known = self.labels[good], self._known[good]
        self._kept = None if self._kept is None else self._kept[good]


def read_picture(
    path: Path, shape: tuple[int, int, int], fit: Literal["squash", "crop"] = "squash"
) -> Array:
    """One picture, upright, in this height, width and number of channels: uint8.

    Raises:
        UnreadableFile: no picture, cut short, or too large; looked at before it is decoded.
    """
    try:
        with path.open("rb") as file:
            encoded = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from None
    how = Preprocessing(fit=fit, max_bytes=LARGEST_FILE, max_pixels=MOST_PIXELS)
    reader = PictureReader("pictures", (-1, *shape), np.dtype(np.uint8), how)
    return reader.read([encoded], lambda _: str(path))[0]


def _folders(folder: Path) -> tuple[str, ...]:
    """The classes: the folders inside that are not hidden."""
    if not folder.is_dir():
        raise UnreadableFile(f"{folder}: no such folder")
    found = sorted(at.name for at in os.scandir(folder) if at.is_dir() and at.name[0] != ".")
    if not found:
        raise UnreadableFile(f"{folder}: it has no folder for a class")
    return tuple(found)


def _listed(folder: Path, classes: Sequence[str]) -> tuple[tuple[Path, ...], Array]:
    """The paths of all pictures, class by class, and the numbers of their classes."""
    paths, labels = list[Path](), list[int]()
    for number, name in enumerate(classes):
        if not (folder / name).is_dir():
            raise UnreadableFile(f"{folder}: no folder for class {name!r}")
        found = sorted(at.name for at in os.scandir(folder / name) if _is_picture(at))
        if not found:
            raise UnreadableFile(f"{folder / name}: no pictures")
        paths += [folder / name / each for each in found]
        labels += [number] * len(found)
        if len(paths) > MOST_PICTURES:
            raise UnreadableFile(f"{folder}: more than {MOST_PICTURES:,} pictures")
    return tuple(paths), np.array(labels, np.int64)


def _is_picture(at: os.DirEntry[str]) -> bool:
    return at.is_file() and at.name.lower().endswith(ENDINGS) and at.name[0] != "."
