"""MNIST's digits from IDX files, and scikit-learn's small ones where there are none."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import CortexError, UnreadableFile, UsageError
from .arrays import Arrays
from .dataset import INPUT, TARGET
from .encoders import one_hot
from .idx import read_idx

Array = NDArray[Any]
Part = Literal["train", "test"]

log = logging.getLogger(__name__)

FOLDER = "CORTEX_DATA"
"""The variable that names the folder of data, of which ``mnist`` is a part."""
STEMS = {"train": "train", "test": "t10k"}
SPLIT = 0.85
"""How much of a pair of files that has to do for both is for training, unless it is said."""


def load_mnist(
    part: Part = "train",
    folder: Path | str | None = None,
    *,
    split: int | None = None,
    digits: bool = False,
) -> Arrays:
    """Handwritten digits: ``input`` float32 [n, 28, 28, 1] from -0.5 to 0.5, one-hot ``target``.

    Args:
        part: which of the two sets.
        folder: has the four files, or one pair of which both sets are made; gzipped or not. By
            default ``mnist`` in the folder that CORTEX_DATA names, or in ./data.
        split: how many examples of a single pair are for training; by default 85 %.
        digits: whether scikit-learn's digits stand in, and a warning is logged, where there are
            no files and no ``folder`` was named.

    Raises:
        UnreadableFile: there are no such files, or they are damaged.
        UsageError: the split leaves nothing.
    """
    if part not in STEMS:
        raise UsageError(f"MNIST has the parts train and test, not {part!r}")
    place = Path(folder) if folder else Path(os.environ.get(FOLDER, "data")) / "mnist"
    pairs = {name: pair for name, stem in STEMS.items() if (pair := _pair(place, stem))}
    if not pairs and digits and folder is None:
        log.warning("no MNIST in %s: scikit-learn's digits stand in for it", place)
        images, labels = _small_digits()
    elif pairs:
        images, labels = _read(*pairs.get(part, next(iter(pairs.values()))))
    else:
        raise UnreadableFile(f"{place}: no MNIST files, such as train-images-idx3-ubyte.gz")
    if len(pairs) < len(STEMS):
        images, labels = _its(part, images, labels, split)
    return Arrays({INPUT: images[..., None], TARGET: one_hot(labels, 10)})


def _pair(folder: Path, stem: str) -> tuple[Path, Path] | None:
    """The files of images and of labels, if they are there."""
    found = (_file(folder, f"{stem}-images", 3), _file(folder, f"{stem}-labels", 1))
    return (found[0], found[1]) if found[0] and found[1] else None


def _file(folder: Path, name: str, axes: int) -> Path | None:
    spellings = (f"{name}{dot}idx{axes}-ubyte{end}" for dot in "-." for end in ("", ".gz"))
    return next((folder / each for each in spellings if (folder / each).is_file()), None)


def _read(images: Path, labels: Path) -> tuple[Array, Array]:
    pixels, classes = read_idx(images), read_idx(labels)
    for path, array, rank in ((images, pixels, 3), (labels, classes, 1)):
        if array.ndim != rank or array.dtype != np.uint8:
            raise UnreadableFile(f"{path}: {array.dtype} of shape {array.shape} is not MNIST's")
    if len(pixels) != len(classes):
        raise UnreadableFile(f"{labels}: {len(classes)} labels for {len(pixels)} images")
    if classes.max(initial=0) > 9:
        raise UnreadableFile(f"{labels}: label {classes.max()} is no digit")
    return pixels * np.float32(1 / 255) - np.float32(0.5), classes


def _its(part: Part, images: Array, labels: Array, split: int | None) -> tuple[Array, Array]:
    """The first examples of a pair for training, the others for testing."""
    at = round(SPLIT * len(images)) if split is None else split
    if not 0 < at < len(images):
        raise UsageError(f"{len(images):,} digits do not split at {at:,}")
    rows = slice(None, at) if part == "train" else slice(at, None)
    return images[rows], labels[rows]


def _small_digits() -> tuple[Array, Array]:
    """1,797 digits of 8 × 8 pixels, three times as large in a margin: 28 × 28."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise CortexError("scikit-learn's digits need it: pip install scikit-learn") from None
    digits: Any = load_digits()
    large = (digits.images / 16 - 0.5).repeat(3, axis=1).repeat(3, axis=2).astype(np.float32)
    return np.pad(large, ((0, 0), (2, 2), (2, 2)), constant_values=-0.5), digits.target
