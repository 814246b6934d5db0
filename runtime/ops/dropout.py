"""Noise that regularises training and is not there otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Tensor
from .rectifier import SELU_ALPHA, SELU_SCALE

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"]


LIMIT = 1 << 16
"""How many words of 16 bits there are."""


class Noise(Operation):
    """The input with something random done to it, drawn anew each step."""

    def infer(self, x: Tensor) -> Tensor:
        return x

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return x


@operation("dropout", inert=True, overwrites_dy=(0,))
class Dropout(Noise):
    """Zeroes with probability ``rate`` and scales the rest by 1 / (1 - rate).

    Along ``shared_axes`` (the batch is axis 0) one draw holds for all: (1,) is Keras'
    SpatialDropout1D.
    """

    rate: float
    shared_axes: tuple[int, ...] = ()

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        shape = tuple(1 if i in self.shared_axes else n for i, n in enumerate(x.shape))
        tossed, kept = at.scratch(shape, bool), at.keep(shape)
        toss = mask(at, self.rate, tossed, shared=0 in self.shared_axes)
        scale = 1 / (1 - self.rate) if self.rate < 1 else 0.0

        def forward() -> None:
            toss()
            xp.copyto(kept, tossed)
            xp.multiply(kept, scale, out=kept)
            xp.multiply(x, kept, out=y)

        return forward, scaled_by(at, kept)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", 3, 4))
        several = [(cls(0.3, axes), [x]) for axes in ((1,), (0, 2))]
        return [(cls(0.4), [x]), *several, (cls(0.5), [Tensor(("N", 5))])]


@operation("gaussian_dropout", inert=True, overwrites_dy=(0,))
class GaussianDropout(Noise):
    """Multiplies by a normal variable of mean 1 and variance rate / (1 - rate)."""

    rate: float

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        factor = at.keep(x.shape)
        write_normal = normal(at, factor)
        deviation = math.sqrt(self.rate / (1 - self.rate))

        def forward() -> None:
            write_normal()
            xp.multiply(factor, deviation, out=factor)
            xp.add(factor, 1, out=factor)
            xp.multiply(x, factor, out=y)

        return forward, scaled_by(at, factor)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(0.3), [Tensor(("N", 3, 4))])]


@operation("gaussian_noise", inert=True, overwrites_dy=(0,))
class GaussianNoise(Noise):
    """Adds a normal variable of mean 0 and standard deviation ``stddev``."""

    stddev: float

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        noise = at.scratch(x.shape)
        write_normal = normal(at, noise)

        def forward() -> None:
            write_normal()
            xp.multiply(noise, self.stddev, out=noise)
            xp.add(x, noise, out=y)

        if not at.grads:
            return forward, None
        dy, dx = at.dy[0], at.dx[0]
        return forward, None if dx is dy else lambda: xp.copyto(dx, dy)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(0.3), [Tensor(("N", 3, 4))])]


@operation("alpha_dropout", inert=True, overwrites_dy=(0,))
class AlphaDropout(Noise):
    """Dropout that keeps the mean and variance of what a SELU puts out (Klambauer et al., 2017).

    Dropped elements become the SELU's lower limit; then all are scaled and shifted.
    """

    rate: float

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        limit = -SELU_ALPHA * SELU_SCALE
        scale = ((1 - self.rate) * (1 + self.rate * limit**2)) ** -0.5
        shift = -scale * limit * self.rate
        tossed, kept, lifted = at.scratch(x.shape, bool), at.keep(x.shape), at.scratch(x.shape)
        toss = mask(at, self.rate, tossed)

        def forward() -> None:
            toss()
            xp.copyto(kept, tossed)
            xp.subtract(1, kept, out=lifted)
            xp.multiply(lifted, limit * scale, out=lifted)
            xp.multiply(kept, scale, out=kept)
            xp.multiply(x, kept, out=y)
            xp.add(y, lifted, out=y)
            xp.add(y, shift, out=y)

        return forward, scaled_by(at, kept)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(0.3), [Tensor(("N", 3, 4))])]


def scaled_by(at: Frame, factor: Array) -> Step | None:
    """The backward pass of x * factor + anything: dx = dy * factor."""
    if not at.grads:
        return None
    xp, dy, dx = at.xp, at.dy[0], at.dx[0]
    return lambda: xp.multiply(dy, factor, out=dx)


def mask(at: Frame, rate: float, kept: Array, *, shared: bool = False) -> Step:
    """A step that writes which elements stay, each with probability 1 - rate to 16 bits."""
    draw, limit = at.random_words(kept.shape, shared), round(rate * LIMIT)
    if limit in (0, LIMIT):  # no word is as large as the second
        return partial(kept.fill, not limit)
    least = np.uint16(limit)
    return lambda: at.xp.greater_equal(draw(), least, out=kept)


def normal(at: Frame, out: Array) -> Step:
    """A step that fills ``out`` with standard normal numbers, by Box and Muller's method."""
    xp = at.xp
    draw, radius = at.random((*out.shape, 2)), at.scratch(out.shape)

    def write() -> None:
        pair = draw()
        xp.subtract(1, pair[..., 0], out=radius)  # in (0, 1]: its logarithm is finite
        xp.log(radius, out=radius)
        xp.multiply(radius, -2, out=radius)
        xp.sqrt(radius, out=radius)
        xp.multiply(pair[..., 1], 2 * math.pi, out=out)
        xp.cos(out, out=out)
        xp.multiply(out, radius, out=out)

    return write
