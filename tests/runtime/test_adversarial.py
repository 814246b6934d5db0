"""Generative adversarial networks: who learns when, and that points are met."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.runtime import nn, optim
from cortex.runtime.errors import GraphError, UsageError
from cortex.runtime.network import Network
from cortex.runtime.nn.adversarial import Duel
from cortex.runtime.training import checkpoint
from cortex.runtime.training.logs import CsvLog
from cortex.runtime.training.loop import Listener, Run
from cortex.runtime.training.model import Model
from cortex.runtime.training.saving import Checkpoints
from cortex.runtime.training.trainer import Trainer

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
    assert history[-1].terms.keys() == {"generator", "discriminator"}
    assert np.isfinite([[*each.terms.values()] for each in history]).all()
    np.testing.assert_allclose(gan.generate(500).mean(0), [2, -1], atol=0.5)
    if wasserstein:
        trained = gan.trainer.judge.parameters.flat
        assert np.abs(trained).max() <= np.float32(0.1)


def test_each_learns_in_its_turn() -> None:
    gan = nn.Adversaries(maker(), judge(nn.logistic()), optim.sgd(0.1), turns=2)
    made = {name: array.copy() for name, array in gan.generator.parameters.items()}
    judged = gan.trainer.judge.parameters.flat.copy()
    gan.step(REAL[:16])
    assert gan.trainer.judge.steps == 2
    assert gan.trainer.steps == 1
    assert (gan.trainer.judge.parameters.flat != judged).any()
    assert any((gan.generator.parameters[name] != made[name]).any() for name in made)
    behind = gan.trainer.parameters.of["discriminator/linear-1/kernel"]
    assert (behind == gan.trainer.judge.parameters.of["linear-1/kernel"]).all()


class StopAt(Listener):
    """Stops after so many steps."""

    def batch(self, run: Run, batch: Any, loss: float) -> None:
        run.stop = run.stop or run.trainer.steps == 13


def playing(*listeners: Listener, **options: Any) -> Run:
    """Eight batches an epoch, two turns each, momentum on one side."""
    optimizers: Any = {
        "optimizer": optim.sgd(optim.cosine(0.1), momentum=0.5),
        "judge_optimizer": optim.adam(0.01),
    }
    gan = nn.Adversaries(
        maker(), judge(nn.batch_normalization(), nn.logistic()), turns=2, **optimizers, **options
    )
    return gan.run(REAL, epochs=3, batch_size=32, listeners=listeners)


@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"shards": 2}], ids=str)
def test_a_resumed_game_is_one_that_never_stopped(tmp_path: Path, options: Any) -> None:
    path, whole = tmp_path / "gan.safetensors", playing(**options)
    whole.train()
    stopped = playing(StopAt(), Checkpoints(path), CsvLog(tmp_path / "log.csv"), **options)
    stopped.train()
    resumed = playing(**options)
    checkpoint.resume(resumed, path)
    assert resumed.trainer.steps == 13
    resumed.train()
    for wanted, found in zip(trainers(whole), trainers(resumed), strict=True):
        np.testing.assert_array_equal(found.parameters.flat, wanted.parameters.flat)
    assert [each.terms for each in resumed.history] == [each.terms for each in whole.history]
    head = (tmp_path / "log.csv").read_text().splitlines()[0]
    assert head == "epoch,loss,generator,discriminator,rate,seconds,best"


def trainers(run: Run) -> Sequence[Trainer]:
    assert isinstance(run.trainer, Duel)
    return run.trainer, run.trainer.judge


def test_what_a_game_saves_makes_examples(tmp_path: Path) -> None:
    path, run = tmp_path / "gan.safetensors", playing(Checkpoints(tmp_path / "gan.safetensors"))
    run.train()
    x = np.zeros((2, 4), np.float32)
    stored = Network.load(path)
    assert set(stored.graph.outputs) == {"generator", "discriminator"}
    (own,) = (each.generator for each in trainers(run) if isinstance(each, Duel))
    wanted = next(iter(own.run({"input-1": x}).values()))
    np.testing.assert_array_equal(stored.run({"input-1": x})["generator"], wanted)


def test_a_game_with_another_optimiser_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gan.safetensors"
    playing(StopAt(), Checkpoints(path)).train()
    gan = nn.Adversaries(maker(), judge(nn.batch_normalization(), nn.logistic()), optim.sgd(0.1))
    with pytest.raises(UsageError, match=r"discriminator/mean.*cannot go on with SGD \(without a"):
        checkpoint.resume(gan.run(REAL), path)


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
