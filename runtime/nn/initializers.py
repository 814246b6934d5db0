"""Where parameters begin: random arrays of the right size, from a seed.

A weight's last axis counts its units; n_in is the number of weights of one, n_out the number that
leave one input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
Shape: TypeAlias = tuple[int, ...]
Initializer: TypeAlias = Callable[[Shape, np.random.Generator], Any]
Name = Literal[
    "auto", "xavier", "glorot", "he", "glorot_uniform", "xavier_uniform", "orthogonal", "identity",
    "zeros", "ones",
]  # fmt: skip


def fans(shape: Shape) -> tuple[int, int]:
    """n_in and n_out."""
    if len(shape) < 2:
        return max(1, math.prod(shape)), max(1, math.prod(shape))
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def normal(deviation: float = 0.01, mean: float = 0.0) -> Initializer:
    """N(mean, deviation²)."""
    return lambda shape, rng: rng.normal(mean, deviation, shape)


def uniform(low: float = -0.01, high: float = 0.01) -> Initializer:
    """Evenly in [low, high)."""
    return lambda shape, rng: rng.uniform(low, high, shape)


def constant(value: float) -> Initializer:
    """The same everywhere."""
    return lambda shape, rng: np.full(shape, value)


def xavier(shape: Shape, rng: np.random.Generator) -> Any:
    """N(0, 1 / n_in), each unit's weights of exactly that mean and variance, as cortex has it."""
    return _exact(rng.normal(size=shape), 1 / fans(shape)[0])


def glorot(shape: Shape, rng: np.random.Generator) -> Any:
    """N(0, 2 / (n_in + n_out)): Glorot & Bengio 2010; of exactly that variance."""
    return _exact(rng.normal(size=shape), 2 / sum(fans(shape)))


def he(shape: Shape, rng: np.random.Generator) -> Any:
    """N(0, 2 / n_in): He et al. 2015; of exactly that variance."""
    return _exact(rng.normal(size=shape), 2 / fans(shape)[0])


def glorot_uniform(shape: Shape, rng: np.random.Generator) -> Any:
    """Evenly within ±√(6 / (n_in + n_out))."""
    limit = math.sqrt(6 / sum(fans(shape)))
    return rng.uniform(-limit, limit, shape)


def xavier_uniform(shape: Shape, rng: np.random.Generator) -> Any:
    """Evenly within ±√(3 / n_in), as neon."""
    limit = math.sqrt(3 / fans(shape)[0])
    return rng.uniform(-limit, limit, shape)


def orthogonal(scale: float = math.sqrt(2)) -> Initializer:
    """Units that are orthogonal and of this length: Saxe et al. 2014."""

    def make(shape: Shape, rng: np.random.Generator) -> Any:
        units, size = shape[-1], math.prod(shape[:-1])
        q, r = np.linalg.qr(rng.normal(size=(max(size, units), min(size, units))))
        q = q * np.sign(np.diag(r))
        return scale * (q if size >= units else q.T).reshape(shape)

    return make


def identity(shape: Shape, rng: np.random.Generator) -> Any:
    """The matrix that changes nothing, as far as the shape allows."""
    return np.eye(math.prod(shape[:-1]), shape[-1]).reshape(shape)


def zeros(shape: Shape, rng: np.random.Generator) -> Any:
    """0 everywhere."""
    return np.zeros(shape)


def ones(shape: Shape, rng: np.random.Generator) -> Any:
    """1 everywhere."""
    return np.ones(shape)


NAMED: Mapping[str, Initializer] = {
    "xavier": xavier,
    "glorot": glorot,
    "he": he,
    "glorot_uniform": glorot_uniform,
    "xavier_uniform": xavier_uniform,
    "orthogonal": orthogonal(),
    "identity": identity,
    "zeros": zeros,
    "ones": ones,
}
"""Every initialiser that needs no number, by the name a spec has for it."""

STARTS: Mapping[str, Initializer] = {
    "bias": zeros,
    "beta": zeros,
    "gamma": ones,
    "moving_mean": zeros,
    "moving_variance": ones,
    "alpha": constant(0.25),
    "hidden_bias": zeros,
    "visible_bias": zeros,
    "centers": zeros,
}
"""Where parameters that are not weights begin, by what their operation calls them."""


def _exact(drawn: Any, variance: float) -> Any:
    """Each unit's weights moved and scaled to mean 0 and this variance; few are left as drawn."""
    flat = drawn.reshape(-1, drawn.shape[-1])
    if len(flat) < 8:
        return drawn * math.sqrt(variance)
    flat = (flat - flat.mean(0)) / flat.std(0)
    return (flat * math.sqrt(variance)).reshape(drawn.shape)
