"""Augmentations that move pixels: each image by amounts of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .augmentation import Affine, Augmentation

Array = NDArray[Any]
Size = tuple[int, int]


@dataclass(frozen=True)
class rotate(Affine):  # noqa: N801  they are called like functions, as schedules are
    """By an angle within ±``degrees`` about the middle."""

    degrees: float
    fill: float | None = None
    type: Literal["rotate"] = "rotate"

    def maps(self, count: int, size: Size, rng: np.random.Generator) -> Array:
        angle = np.radians(rng.uniform(-self.degrees, self.degrees, count))
        maps = _identities(count)
        maps[:, 0, 0] = maps[:, 1, 1] = np.cos(angle)
        maps[:, 0, 1] = np.sin(angle)
        maps[:, 1, 0] = -maps[:, 0, 1]
        return maps


@dataclass(frozen=True)
class shift(Affine):  # noqa: N801
    """By up to these fractions of the width and the height, either way."""

    horizontal: float = 0.0
    vertical: float = 0.0
    fill: float | None = None
    type: Literal["shift"] = "shift"

    def maps(self, count: int, size: Size, rng: np.random.Generator) -> Array:
        height, width = size
        maps = _identities(count)
        maps[:, 0, 2] = rng.uniform(-self.horizontal, self.horizontal, count) * width
        maps[:, 1, 2] = rng.uniform(-self.vertical, self.vertical, count) * height
        return maps


@dataclass(frozen=True)
class scale(Affine):  # noqa: N801
    """To between ``least`` and ``most`` times the size; ``stretch``: each axis by its own."""

    least: float
    most: float
    stretch: bool = False
    fill: float | None = None
    type: Literal["scale"] = "scale"

    def __post_init__(self) -> None:
        if not 0 < self.least <= self.most:
            raise ValueError(f"scale: from {self.least} to {self.most} is no range above 0")

    def maps(self, count: int, size: Size, rng: np.random.Generator) -> Array:
        factors = np.exp(rng.uniform(math.log(self.least), math.log(self.most), (count, 2)))
        maps = _identities(count)
        maps[:, 0, 0] = 1 / factors[:, 0]
        maps[:, 1, 1] = 1 / factors[:, 1 if self.stretch else 0]
        return maps


@dataclass(frozen=True)
class flip(Affine):  # noqa: N801
    """Every other image mirrored, left for right, or upside down, or each by chance."""

    horizontal: bool = True
    vertical: bool = False
    fill: float | None = None
    type: Literal["flip"] = "flip"

    def maps(self, count: int, size: Size, rng: np.random.Generator) -> Array:
        signs = rng.choice((-1.0, 1.0), (count, 2))
        maps = _identities(count)
        for axis, flips in enumerate((self.horizontal, self.vertical)):
            if flips:
                maps[:, axis, axis] = signs[:, axis]
        return maps


@dataclass(frozen=True)
class crop(Augmentation):  # noqa: N801
    """A part of ``height`` × ``width`` somewhere in the image; in evaluation its middle.

    In training the image first gets ``padding`` pixels of ``fill`` on each side.
    """

    height: int
    width: int
    padding: int = 0
    fill: float = 0.0
    type: Literal["crop"] = "crop"

    def images(self, images: Array, rng: np.random.Generator) -> Array:
        side = (self.padding, self.padding)
        if self.padding:
            images = np.pad(images, ((0, 0), side, side, (0, 0)), constant_values=self.fill)
        count, free = len(images), self._free(images)
        tops, lefts = (rng.integers(0, most + 1, count) for most in free)
        parts: Any = np.lib.stride_tricks.sliding_window_view(
            images, (self.height, self.width), axis=(1, 2)
        )
        chosen = parts[np.arange(count), tops, lefts]
        return np.ascontiguousarray(np.moveaxis(chosen, 1, -1))

    def plain(self, images: Array) -> Array:
        top, left = (most // 2 for most in self._free(images))
        return images[:, top : top + self.height, left : left + self.width]

    def _free(self, images: Array) -> Size:
        """How many rows and columns the part may begin after."""
        free = images.shape[1] - self.height, images.shape[2] - self.width
        if min(free) < 0 or min(self.height, self.width) < 1:
            height, width = images.shape[1:3]
            raise UsageError(f"crop: no {self.height}×{self.width} in images of {height}×{width}")
        return free


def _identities(count: int) -> Array:
    return np.tile(np.eye(3), (count, 1, 1))
