"""Augmentations that change what pixels are: noise, light, holes, and mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .augmentation import Augmentation, Draw
from .dataset import Batch

Array = NDArray[Any]


@dataclass(frozen=True)
class noise(Augmentation):  # noqa: N801  they are called like functions, as schedules are
    """Adds to each number one of its own: normal, or even between ±``amount``.

    ``amount`` is the standard deviation of the normal ones.
    """

    amount: float
    kind: Literal["normal", "uniform"] = "normal"
    type: Literal["noise"] = "noise"

    def images(self, images: Array, rng: np.random.Generator) -> Array:
        if self.kind == "normal":
            added = rng.standard_normal(images.shape, np.float32)
            added *= np.float32(self.amount)
        else:
            added = rng.random(images.shape, np.float32)
            added -= np.float32(0.5)
            added *= np.float32(2 * self.amount)
        added += images
        return added


@dataclass(frozen=True)
class brightness(Augmentation):  # noqa: N801
    """Adds one number within ±``amount`` to each image."""

    amount: float
    type: Literal["brightness"] = "brightness"

    def images(self, images: Array, rng: np.random.Generator) -> Array:
        return images + _each(rng.uniform(-self.amount, self.amount, len(images)))


@dataclass(frozen=True)
class contrast(Augmentation):  # noqa: N801
    """Moves each image's numbers away from their mean by a factor of 1 ± ``amount``."""

    amount: float
    type: Literal["contrast"] = "contrast"

    def images(self, images: Array, rng: np.random.Generator) -> Array:
        factor = _each(rng.uniform(1 - self.amount, 1 + self.amount, len(images)))
        mean = images.mean(axis=(1, 2, 3), keepdims=True)
        return (images - mean) * factor + mean


@dataclass(frozen=True)
class cutout(Augmentation):  # noqa: N801
    """A square of ``size`` pixels becomes ``fill``; it may lie partly outside.

    DeVries and Taylor 2017.
    """

    size: int
    fill: float = 0.0
    type: Literal["cutout"] = "cutout"

    def images(self, images: Array, rng: np.random.Generator) -> Array:
        count, height, width, _ = images.shape
        rows, columns = (self._hidden(n, rng.integers(0, n, count)) for n in (height, width))
        hidden = rows[:, :, None, None] & columns[:, None, :, None]
        return np.where(hidden, np.float32(self.fill), images)

    def _hidden(self, length: int, middles: Array) -> Array:
        """Which places along an axis lie in each image's square: [n, length]."""
        first = middles[:, None] - self.size // 2
        at = np.arange(length)
        return (at >= first) & (at < first + self.size)


@dataclass(frozen=True)
class mixup(Augmentation):  # noqa: N801
    """Each example becomes λ of itself and 1 − λ of another, its targets too.

    λ is drawn from Beta(``alpha``, ``alpha``): Zhang et al. 2018. Every array of the batch is
    mixed, so classes must be one-hot.
    """

    alpha: float = 0.2
    type: Literal["mixup"] = "mixup"

    def __post_init__(self) -> None:
        if self.alpha <= 0:
            raise ValueError(f"mixup: alpha is {self.alpha}, and must be above 0")

    def batch(self, batch: Batch, on: Sequence[str], draw: Draw) -> Batch:
        rng, count = draw(), len(batch[on[0]])
        own = rng.beta(self.alpha, self.alpha, count).astype(np.float32)
        others = rng.permutation(count)
        return {name: _mixed(name, np.asarray(a), own, others) for name, a in batch.items()}


def _mixed(name: str, array: Array, own: Array, others: Array) -> Array:
    if array.dtype.kind != "f":
        raise UsageError(f"mixup: {name!r} is {array.dtype}, which does not mix; make it one-hot")
    part = own.reshape(-1, *[1] * (array.ndim - 1)).astype(array.dtype)
    other = array[others]
    return other + (array - other) * part


def _each(amounts: Array) -> Array:
    """A number for each image, to compute with images."""
    return amounts.astype(np.float32)[:, None, None, None]
