"""Bilinear sampling of a batch of images along an affine map for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 1 << 15  # pixels at a time: what is computed of them stays in a core's cache


def warped(images: Array, maps: Array, fill: float | None = None) -> Array:
    """Each image as seen through its map.

    Args:
        images: float32 [n, height, width, channels].
        maps: [n, 2, 3]: from (x, y, 1) of a pixel to be made, measured from the middle, to the
            place (x, y) that it is taken from, measured likewise.
        fill: what lies outside; None: the nearest pixel of the edge.

    Returns:
        float32 of the images' shape.
    """
    shape = images.shape
    if fill is not None:
        border = ((0, 0), (1, 1), (1, 1), (0, 0))
        images = np.pad(images, border, constant_values=fill)
    out = np.empty(shape, np.float32)
    step = max(1, BLOCK // (shape[1] * shape[2]))
    for first in range(0, len(images), step):
        part = slice(first, first + step)
        _warp(images[part], maps[part].astype(np.float32), out[part])
    return out


def _warp(images: Array, maps: Array, out: Array) -> None:
    """Fills ``out``; the images may be larger by a border, but have the same middle."""
    count, height, width, channels = images.shape
    x = _places(maps[:, 0], out.shape[1:3], width)
    y = _places(maps[:, 1], out.shape[1:3], height)
    left = np.minimum(x.astype(np.intp), max(0, width - 2))
    top = np.minimum(y.astype(np.intp), max(0, height - 2))
    x -= left
    y -= top
    top *= width
    top += left
    top += (np.arange(count) * (height * width))[:, None, None]
    flat, first = images.reshape(-1, channels), top.reshape(-1)
    right, below = min(1, width - 1), width if height > 1 else 0
    upper = _between(flat, first, right, x)
    first += below
    lower = _between(flat, first, right, x)
    lower -= upper
    lower *= y.reshape(-1, 1)
    np.add(upper, lower, out=out.reshape(-1, channels))


def _places(maps: Array, size: tuple[int, ...], length: int) -> Array:
    """Where along one axis of ``length`` pixels each pixel comes from: [n, height, width]."""
    y, x = (np.arange(n, dtype=np.float32) - np.float32((n - 1) / 2) for n in size)
    ax, ay, shift = (maps[:, i, None, None] for i in range(3))
    found = ax * x + (ay * y[:, None] + (shift + np.float32((length - 1) / 2)))
    return np.clip(found, 0, length - 1, out=found)


def _between(flat: Array, first: Array, right: int, part: Array) -> Array:
    """Part of the way from the pixels ``first`` to those beside them."""
    here = flat.take(first, axis=0)
    beside = flat[right:].take(first, axis=0) if right else here.copy()
    beside -= here
    beside *= part.reshape(-1, 1)
    beside += here
    return beside
