"""CIFAR-10 and CIFAR-100 in their binary version: https://www.cs.toronto.edu/~kriz/cifar.html ."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableFile
from ..files import read_labels
from .arrays import Arrays
from .dataset import INPUT, TARGET
from .encoders import one_hot
from .packed import LARGEST, opened

Array = NDArray[Any]

PIXELS = 3 * 32 * 32
FILES = {
    (10, "train"): tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    (10, "test"): ("test_batch.bin",),
    (100, "train"): ("train.bin",),
    (100, "test"): ("test.bin",),
}

NAMES = {10: "batches.meta.txt", 100: "fine_label_names.txt"}


def load_cifar(
    part: Literal["train", "test"] = "train",
    folder: Path | str = "data/cifar",
    *,
    classes: Literal[10, 100] = 10,
) -> Arrays:
    """Small photos: ``input`` float32 [n, 32, 32, 3] from -0.5 to 0.5, one-hot ``target``.

    ``folder`` has the .bin files, and one of the classes' names unless nobody wants to know them;
    the pickled "python version" is not read.

    Raises:
        UnreadableFile: a file is missing or damaged.
    """
    paths = [Path(folder) / name for name in FILES[classes, part]]
    read = [_records(path, classes) for path in paths]
    images = np.concatenate([records[:, -PIXELS:] for records in read])
    labels = np.concatenate([records[:, -PIXELS - 1] for records in read])
    photos = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    scaled = np.multiply(photos, np.float32(1 / 255), order="C") - np.float32(0.5)
    found = Arrays({INPUT: scaled, TARGET: one_hot(labels, classes)})
    found.classes = _names(Path(folder) / NAMES[classes], classes)
    return found


def _names(path: Path, classes: int) -> tuple[str, ...]:
    """The classes' names, a line each."""
    names = tuple(filter(None, read_labels(path))) if path.exists() else ()
    if names and len(names) != classes:
        raise UnreadableFile(f"{path}: {len(names)} names for {classes} classes")
    return names


def _records(path: Path, classes: int) -> Array:
    """The records of a file as they are: one label, or a coarse and a fine one, and the pixels."""
    length = PIXELS + (1 if classes == 10 else 2)
    with opened(path) as file:
        size = path.stat().st_size
        if not size or size % length or size > LARGEST:
            raise UnreadableFile(f"{path}: {size:,} bytes are no CIFAR-{classes} of {length} each")
        records = file.rest(size).reshape(-1, length)
    largest = int(records[:, -PIXELS - 1].max())
    if largest >= classes:
        raise UnreadableFile(f"{path}: label {largest} is not from 0 to {classes - 1}")
    return records
