"""The weights with which one row of pixels becomes another: a matrix a method and two sizes.

Pixel i has its centre at i + 1/2, in both rows ("half pixel centres"). What an output pixel takes
from an input pixel depends on the distance of their centres, in input pixels; what lies beyond the
edges has no weight, and the weights of a pixel add up to one. This is ``tf.image.resize`` and
``jax.image.resize``; where the two differ, the method has two names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..kernels.separable import Matrix

Method = Literal[
    "nearest",
    "bilinear",
    "corner_bilinear",
    "bicubic",
    "tabulated_bicubic",
    "lanczos3",
    "lanczos5",
    "area",
    "gaussian",
    "mitchellcubic",
]
"""As Keras calls them, but for two.

"tabulated_bicubic" is what TensorFlow makes of "bicubic" that is not antialiased: it knows the
kernel at every 1024th of a pixel only, and results differ by 1e-3. "corner_bilinear" is "bilinear"
in TensorFlow 1: pixels lie at their numbers, and the last ones reach beyond the input's.
"""

Weights = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From distances, which are not negative."""

SMOOTHING = ("gaussian", "mitchellcubic")
"""The methods that change a row even where its size stays."""
STEPS = 1024
"""Of a pixel, in TensorFlow's table."""


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1 - x, 0)


def _cubic(b: float, c: float) -> Weights:
    """Mitchell and Netravali's family: Reconstruction Filters in Computer Graphics, 1988."""

    def near(x: Any) -> Any:
        return ((12 - 9 * b - 6 * c) * x + (12 * b + 6 * c - 18)) * x * x + (6 - 2 * b)

    def far(x: Any) -> Any:
        return (
            ((-b - 6 * c) * x + (6 * b + 30 * c)) * x * x - (12 * b + 48 * c) * x + 8 * b + 24 * c
        )

    return lambda x: np.where(x < 1, near(x), np.where(x < 2, far(x), 0)) / 6


def _lanczos(radius: int) -> Weights:
    return lambda x: np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0)


_KEYS = _cubic(0, 0.5)  # Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981
_WEIGHTS: Mapping[str, Weights] = {
    "bilinear": _triangle,
    "corner_bilinear": _triangle,
    "bicubic": _KEYS,
    "tabulated_bicubic": _KEYS,
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
    "gaussian": lambda x: np.where(x < 1.5, np.exp(-2 * x * x), 0),
    "mitchellcubic": _cubic(1 / 3, 1 / 3),
}


def nearest(size: int, count: int) -> list[int]:
    """Which of ``size`` pixels is nearest to each of ``count``.

    In float32, as TensorFlow: of two that are equally near it is the later one but for a rounding.
    """
    scale = np.float32(size) / np.float32(count)
    places = (np.arange(count, dtype=np.float32) + np.float32(0.5)) * scale
    return np.minimum(np.floor(places).astype(int), size - 1).tolist()


def matrix(method: Method, size: int, count: int, antialias: bool = False) -> Matrix:
    """The weights of ``size`` pixels (columns) in each of ``count`` (rows).

    ``antialias``: where ``count`` is less than ``size``, kernels are as much wider. It means
    nothing to "nearest" and "area".
    """
    ratio, pixels = size / count, np.arange(size)
    if method == "nearest":
        weights = np.equal.outer(nearest(size, count), pixels).astype(float)
    elif method == "area":
        starts = np.arange(count)[:, None] * ratio
        shared = np.minimum(starts + ratio, pixels + 1) - np.maximum(starts, pixels)
        weights = np.maximum(shared, 0)
    else:
        shift = 0 if method == "corner_bilinear" else 0.5
        centres = (np.arange(count)[:, None] + shift) * ratio - shift
        if method == "tabulated_bicubic" and not antialias:
            centres = np.rint(centres * STEPS) / STEPS
        wider = max(ratio, 1) if antialias else 1
        weights = _WEIGHTS[method](abs(pixels - centres) / wider)
    return weights / weights.sum(axis=1, keepdims=True)
