"""Where parameters begin: mean, variance, range, orthogonality, and which of them is chosen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cortex.runtime import nn
from cortex.runtime.nn import initializers
from cortex.runtime.nn.initializers import NAMED, Initializer, fans

DENSE, KERNEL = (300, 40), (5, 5, 12, 20)
RNG = np.random.default_rng


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        (DENSE, (300, 40)),
        (KERNEL, (300, 500)),
        ((7,), (7, 7)),
        ((), (1, 1)),
    ],
)
def test_fans(shape: tuple[int, ...], wanted: tuple[int, int]) -> None:
    assert fans(shape) == wanted


@pytest.mark.parametrize("shape", [DENSE, KERNEL])
@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("xavier", (1, 1, 0)),
        ("glorot", (2, 1, 1)),
        ("he", (2, 1, 0)),
    ],
)
def test_each_unit_has_the_exact_mean_and_variance(
    name: str, variance: tuple[int, int, int], shape: tuple[int, ...]
) -> None:
    """Which is the first number over the others times n_in and n_out."""
    over, by_in, by_out = variance
    n_in, n_out = fans(shape)
    drawn = NAMED[name](shape, RNG(1)).reshape(-1, shape[-1])
    np.testing.assert_allclose(drawn.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(drawn.var(0), over / (by_in * n_in + by_out * n_out), rtol=1e-12)


def test_few_weights_are_left_as_drawn() -> None:
    drawn = NAMED["xavier"]((4, 5000), RNG(1))
    assert drawn.var() == pytest.approx(1 / 4, rel=0.05)
    assert drawn.mean(0).std() > 0.1


@pytest.mark.parametrize(
    ("make", "mean", "deviation"),
    [
        (initializers.normal(0.3, 0.5), 0.5, 0.3),
        (initializers.uniform(-1, 2), 0.5, 3 / math.sqrt(12)),
        (initializers.constant(0.7), 0.7, 0.0),
        (NAMED["zeros"], 0.0, 0.0),
        (NAMED["ones"], 1.0, 0.0),
        (NAMED["glorot_uniform"], 0.0, math.sqrt(2 / 340)),
        (NAMED["xavier_uniform"], 0.0, math.sqrt(1 / 300)),
    ],
)
def test_mean_and_deviation(make: Initializer, mean: float, deviation: float) -> None:
    drawn = np.asarray(make(DENSE, RNG(2)))
    assert drawn.shape == DENSE
    assert drawn.mean() == pytest.approx(mean, abs=4 * deviation / math.sqrt(drawn.size) + 1e-12)
    assert drawn.std() == pytest.approx(deviation, rel=0.02, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "limit"), [("glorot_uniform", math.sqrt(6 / 340)), ("xavier_uniform", 0.1)]
)
def test_ranges(name: str, limit: float) -> None:
    drawn = np.abs(NAMED[name](DENSE, RNG(3)))
    assert 0.99 * limit < drawn.max() <= limit


@pytest.mark.parametrize("shape", [(30, 8), (8, 30), KERNEL])
@pytest.mark.parametrize("scale", [1.0, 1.1])
def test_orthogonal_units(shape: tuple[int, ...], scale: float) -> None:
    drawn = initializers.orthogonal(scale)(shape, RNG(4)).reshape(-1, shape[-1])
    few = drawn.T @ drawn if drawn.shape[0] >= drawn.shape[1] else drawn @ drawn.T
    np.testing.assert_allclose(few, scale**2 * np.eye(len(few)), atol=1e-12)


def test_the_identity_changes_nothing() -> None:
    assert (NAMED["identity"]((3, 3), RNG(0)) == np.eye(3)).all()


@pytest.mark.parametrize(
    ("then", "gain"),
    [
        ([nn.relu()], 2),
        ([nn.max_pooling(2), nn.batch_normalization(), nn.swish()], 2),
        ([nn.dropout(rate=0.1), nn.tanh()], 1),
        ([nn.softmax()], 1),
        ([], 1),
    ],
)
def test_auto_looks_at_the_next_activation(then: list[Any], gain: int) -> None:
    net = nn.sequential([nn.input(height=8, width=8, channels=4), nn.conv(3, filters=5), *then])
    kernel = net.network.parameters["convolutional-1/kernel"]
    assert kernel.var() == pytest.approx(gain / 36, rel=1e-5)


def test_a_seed_gives_the_same_arrays() -> None:
    layers = [nn.input(5), nn.linear(4), nn.relu(), nn.linear(3)]
    made = [nn.sequential(layers, seed=seed).network.parameters for seed in (1, 1, 2)]
    first, again, other = made
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["linear-1/kernel"] != other["linear-1/kernel"]).any()
