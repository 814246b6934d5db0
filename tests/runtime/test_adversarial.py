"""Generative adversarial networks: who learns when, and that points are met."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortex.runtime import nn, optim
from cortex.runtime.errors import GraphError
from cortex.runtime.training.model import Model

REAL = (np.random.default_rng(0).normal(size=(256, 2)) * 0.3 + [2, -1]).astype(np.float32)


def maker(size: int = 2) -> Model:
    return nn.sequential([nn.input(4), nn.linear(16), nn.relu(), nn.linear(size)])


def judge(*last: Any) -> Model:
    return nn.sequential([nn.input(2), nn.linear(16), nn.relu(slope=0.1), nn.linear(1), *last])


@pytest.mark.parametrize("wasserstein", [False, True])
def test_it_makes_what_looks_real(wasserstein: bool) -> None:
    if wasserstein:
        options: Any = {"optimizer": optim.rmsprop(2e-3), "turns": 3, "clip": 0.1}
        gan = nn.Adversaries(maker(), judge(), wasserstein=True, **options)
    else:
        gan = nn.Adversaries(maker(), judge(nn.logistic()), optim.adam(5e-3, beta1=0.5))
    history = gan.train(REAL, epochs=60, batch_size=32)
    assert np.isfinite(history).all()
    np.testing.assert_allclose(gan.generate(500).mean(0), [2, -1], atol=0.5)
    if wasserstein:
        trained = gan.judge.parameters.flat
        assert np.abs(trained).max() <= np.float32(0.1)


def test_each_learns_in_its_turn() -> None:
    gan = nn.Adversaries(maker(), judge(nn.logistic()), optim.sgd(0.1), turns=2)
    made = {name: array.copy() for name, array in gan.generator.parameters.items()}
    judged = gan.judge.parameters.flat.copy()
    gan.step(REAL[:16])
    assert gan.judge.steps == 2
    assert gan.maker.steps == 1
    assert (gan.judge.parameters.flat != judged).any()
    assert any((gan.generator.parameters[name] != made[name]).any() for name in made)
    behind = gan.maker.parameters.of["discriminator/linear-1/kernel"]
    assert (behind == gan.judge.parameters.of["linear-1/kernel"]).all()


@pytest.mark.parametrize(
    ("generator", "discriminator", "message"),
    [
        (maker(3), judge(), "makes .3,., but the discriminator is given .2,."),
        (maker(), nn.sequential([nn.input(2), nn.linear(1), nn.linear(2, inputs=("input-1",))]),
         "discriminator must have one input, one output"),
    ],
)  # fmt: skip
def test_networks_that_do_not_fit(generator: Model, discriminator: Model, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        nn.Adversaries(generator, discriminator)
