"""Restricted Boltzmann machines against the formula, and what is built of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortex.runtime import nn, optim
from cortex.runtime.errors import GraphError
from cortex.runtime.training.trainer import Trainer

RNG = np.random.default_rng(0)
HALF = RNG.random((200, 6)) < 0.5
PATTERNS = np.concatenate([HALF, HALF], axis=1).astype(np.float32)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("steps", [1, 3])
def test_a_step_is_contrastive_divergence(steps: int, bias: bool, shards: int) -> None:
    model = nn.sequential([nn.input(12), nn.rbm(4, steps=steps, bias=bias)], seed=1)
    trainer = Trainer(model, optim.sgd(1.0), dtype=np.float64, shards=shards)
    p = {name: array.copy() for name, array in trainer.parameters.of.items()}
    rng, v = np.random.default_rng(3), PATTERNS[:50].astype(np.float64)
    for name, array in p.items():
        array[...] = trainer.parameters.of[name][...] = rng.normal(size=array.shape) / 3
    w, c = p["rbm-1/kernel"], p.get("rbm-1/hidden_bias", 0)
    # What the layer sampled is not ours to draw again: look it up.
    trainer.step({"input-1": v})
    plans = trainer._plans_for({"input-1": v})  # pyright: ignore[reportPrivateUsage]
    arrays = [plan._arrays["rbm-1/reconstruction"] for plan in plans]  # pyright: ignore[reportPrivateUsage]
    sampled = np.concatenate(arrays)
    assert ((sampled > 0) & (sampled < 1)).all()
    gradient = (v.T @ sigmoid(v @ w + c) - sampled.T @ sigmoid(sampled @ w + c)) / len(v)
    moved = trainer.parameters.of["rbm-1/kernel"] - w
    np.testing.assert_allclose(moved, gradient, atol=1e-12)
    if bias:
        moved = trainer.parameters.of["rbm-1/visible_bias"] - p["rbm-1/visible_bias"]
        np.testing.assert_allclose(moved, (v - sampled).mean(0), atol=1e-12)


def test_it_learns_to_reconstruct() -> None:
    model = nn.sequential([nn.input(12), nn.rbm(16)])

    def error() -> float:
        found = model.network.run({"input-1": PATTERNS}, ["rbm-1/reconstruction"])
        return float(np.mean((found["rbm-1/reconstruction"] - PATTERNS) ** 2))

    before = error()
    nn.train(model, PATTERNS, optim.sgd(0.1, momentum=0.5), epochs=60, batch_size=16)
    assert error() < 0.1 * before
    assert nn.predict(model, PATTERNS).shape == (200, 16)


def test_visible_units_can_be_sampled() -> None:
    model = nn.sequential([nn.input(12), nn.rbm(4, sample_visible=True)])
    trainer = Trainer(model, optim.sgd(0.1))
    trainer.step({"input-1": PATTERNS})
    assert np.isfinite(trainer.parameters.flat).all()


def test_a_deep_belief_network_is_pretrained_and_tuned() -> None:
    labels = PATTERNS[:, 0].astype(int)
    slow = optim.sgd(0.1, momentum=0.5)
    below = nn.pretrain(PATTERNS, 12, [10, 8], slow, epochs=10, batch_size=16)
    assert [spec.kind for spec in below] == ["linear", "logistic", "linear", "logistic"]
    model = nn.sequential([nn.input(12), *below, nn.linear_softmax(2)])
    kernel: Any = below[0].initial["kernel"]
    assert (model.network.parameters["linear-1/kernel"] == kernel).all()
    assert not model.frozen
    nn.train(model, (PATTERNS, labels), optim.adam(0.02), epochs=15, batch_size=16)
    assert nn.evaluate(model, (PATTERNS, labels)) > 0.95


def test_it_wants_vectors() -> None:
    with pytest.raises(GraphError, match=r"rbm-1.*needs a batch of vectors"):
        nn.sequential([nn.input(height=2, width=2), nn.rbm(3)])
