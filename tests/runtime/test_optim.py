"""Optimisers against their formulas, written down step by step in float64, and schedules."""

from __future__ import annotations

import math
import re
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cortex.runtime import optim
from cortex.runtime.ir import Graph, Node
from cortex.runtime.ops import BatchNormalization, Dense
from cortex.runtime.optim import Optimizer, Progress, Schedule
from cortex.runtime.optim.schedules import rate_at
from cortex.runtime.optim.update import BLOCK, Treatment, Update
from cortex.runtime.parameters import Parameters
from cortex.runtime.tensor import Tensor

from .networks import with_parameters

Array = Any
STEPS = 7


class Reference:
    """The formulas of the papers and of PyTorch's documentation, for one vector."""

    def __init__(self, w: Array) -> None:
        self.w, self.t = w.copy(), 0
        self.a, self.b = np.zeros_like(w), np.zeros_like(w)

    def sgd(self, g: Array, rate: float, momentum: float, nesterov: bool) -> Array:
        self.a = momentum * self.a + g
        return rate * (g + momentum * self.a if nesterov else self.a)

    def adam(self, g: Array, rate: float, beta1: float, beta2: float, epsilon: float) -> Array:
        self.a = beta1 * self.a + (1 - beta1) * g
        self.b = beta2 * self.b + (1 - beta2) * g**2
        m, v = self.a / (1 - beta1**self.t), self.b / (1 - beta2**self.t)
        return rate * m / (np.sqrt(v) + epsilon)

    def rmsprop(self, g: Array, rate: float, decay: float, epsilon: float) -> Array:
        self.a = decay * self.a + (1 - decay) * g**2
        return rate * g / (np.sqrt(self.a + epsilon) + epsilon)

    def adagrad(self, g: Array, rate: float, epsilon: float) -> Array:
        self.a = self.a + g**2
        return rate * g / np.sqrt(self.a + epsilon)

    def adadelta(self, g: Array, rate: float, decay: float, epsilon: float) -> Array:
        self.a = decay * self.a + (1 - decay) * g**2
        change = g * np.sqrt(self.b + epsilon) / np.sqrt(self.a + epsilon)
        self.b = decay * self.b + (1 - decay) * change**2
        return rate * change


Rule = Callable[[Reference, Array], Array]
RULES: Mapping[str, tuple[Optimizer, Rule]] = {
    "sgd": (optim.sgd(0.1), lambda r, g: r.sgd(g, 0.1, 0, False)),
    "momentum": (optim.sgd(0.1, momentum=0.9), lambda r, g: r.sgd(g, 0.1, 0.9, False)),
    "nesterov": (
        optim.sgd(learning_rate=0.1, momentum=0.9, nesterov=True),
        lambda r, g: r.sgd(g, 0.1, 0.9, True),
    ),
    "adam": (optim.adam(), lambda r, g: r.adam(g, 1e-3, 0.9, 0.999, 1e-8)),
    "adam, a large epsilon": (
        optim.adam(0.1, beta1=0.5, beta2=0.8, epsilon=0.1),
        lambda r, g: r.adam(g, 0.1, 0.5, 0.8, 0.1),
    ),
    "adamw": (
        optim.adamw(0.01, weight_decay=0.3),
        lambda r, g: r.adam(g, 0.01, 0.9, 0.999, 1e-8) + 0.01 * 0.3 * r.w,
    ),
    "rmsprop": (optim.rmsprop(), lambda r, g: r.rmsprop(g, 2e-3, 0.95, 1e-6)),
    "adagrad": (optim.adagrad(), lambda r, g: r.adagrad(g, 0.01, 1e-6)),
    "adadelta": (optim.adadelta(), lambda r, g: r.adadelta(g, 1.0, 0.95, 1e-6)),
    "decayed sgd": (
        optim.sgd(0.1, weight_decay=0.2),
        lambda r, g: r.sgd(g + 0.2 * r.w, 0.1, 0, False),
    ),
    "decayed adam": (
        optim.adam(0.1, weight_decay=0.2),
        lambda r, g: r.adam(g + 0.2 * r.w, 0.1, 0.9, 0.999, 1e-8),
    ),
    "values clipped": (
        optim.sgd(0.1, clip_value=0.5),
        lambda r, g: r.sgd(np.clip(g, -0.5, 0.5), 0.1, 0, False),
    ),
    "length clipped": (
        optim.sgd(0.1, clip_norm=2.0),
        lambda r, g: r.sgd(g * min(1, 2 / np.linalg.norm(g)), 0.1, 0, False),
    ),
    "values, then length, then decay": (
        optim.sgd(0.1, clip_value=0.5, clip_norm=2.0, weight_decay=0.1),
        lambda r, g: r.sgd(
            np.clip(g, -0.5, 0.5) * min(1, 2 / np.linalg.norm(np.clip(g, -0.5, 0.5))) + 0.1 * r.w,
            0.1,
            0,
            False,
        ),
    ),
    "a short gradient is left": (
        optim.sgd(0.1, clip_norm=1e6),
        lambda r, g: r.sgd(g, 0.1, 0, False),
    ),
}


def parameters(width: int = 5, dtype: Any = np.float64) -> Parameters:
    """Two layers: 3 × width + width, batch statistics, width × 2 + 2."""
    nodes = (
        Node("a", Dense(width), ("x",), {"kernel": "a/kernel", "bias": "a/bias"}),
        Node(
            "n",
            BatchNormalization((-1,), 1e-3, 0.9),
            ("a",),
            {name: f"n/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")},
        ),
        Node("b", Dense(2), ("n",), {"kernel": "b/kernel", "bias": "b/bias"}),
    )
    graph = Graph({"x": Tensor(("N", 3))}, nodes, {"y": "b"})
    return Parameters(graph, with_parameters(graph, 1, dtype).parameters, dtype)


def slopes(p: Parameters, shards: int = 1) -> list[list[Array]]:
    """A gradient for each step and shard."""
    rng = np.random.default_rng(7)
    return [[rng.normal(size=p.trainable) for _ in range(shards)] for _ in range(STEPS)]


def learn(update: Update, given: Sequence[Array], into: Sequence[Array], parts: int) -> None:
    for gradient, array in zip(into, given, strict=True):
        gradient[...] = array
    update.begin(Progress())
    for part in range(parts):
        update.reduce(part)
    for part in range(parts):
        update.apply(part)
    update.constrain()


def trajectory(
    optimizer: Optimizer, treatments: Mapping[str, Treatment] | None = None, shards: int = 1
) -> tuple[Parameters, Update]:
    """The parameters after a few steps."""
    p = parameters()
    gradients = [p.gradient() for _ in range(shards)]
    update = Update(optimizer, p, gradients, treatments=treatments)
    for given in slopes(p, shards):
        learn(update, given, gradients, shards)
    return p, update


@pytest.mark.parametrize("name", RULES)
def test_an_optimiser_takes_the_steps_of_its_formula(name: str) -> None:
    optimizer, rule = RULES[name]
    found, update = trajectory(optimizer)
    reference = Reference(parameters().flat[: found.trainable])
    for (g,) in slopes(found):
        reference.t += 1
        reference.w = reference.w - rule(reference, g)
    np.testing.assert_allclose(found.flat[: found.trainable], reference.w, rtol=1e-11, atol=1e-13)
    assert update.steps == STEPS
    assert all(vector.shape == (found.trainable,) for vector in update.state.values())


def test_what_does_not_learn_is_left() -> None:
    found, _ = trajectory(optim.adam())
    np.testing.assert_array_equal(
        found.flat[found.trainable :], parameters().flat[found.trainable :]
    )


@pytest.mark.parametrize("name", RULES)
def test_the_gradients_of_shards_are_added(name: str) -> None:
    optimizer, _ = RULES[name]
    several, _ = trajectory(optimizer, shards=3)
    p = parameters()
    update = Update(optimizer, p, [total := p.gradient()])
    for given in slopes(p, 3):
        learn(update, [np.sum(given, axis=0)], [total], 1)
    np.testing.assert_allclose(several.flat, p.flat, rtol=1e-10, atol=1e-12)


def test_blocks_of_a_long_vector_are_all_done() -> None:
    p = parameters(BLOCK // 4, np.float32)
    before = p.flat.copy()
    gradients = [p.gradient() for _ in range(3)]
    learn(Update(optim.sgd(1.0), p, gradients), [np.ones(p.trainable)] * 3, gradients, 3)
    assert p.trainable > 2 * BLOCK
    np.testing.assert_allclose((before - p.flat)[: p.trainable], 3, rtol=1e-5)


@pytest.mark.parametrize("name", RULES)
def test_a_step_makes_no_array(name: str) -> None:
    optimizer, _ = RULES[name]
    p = parameters(BLOCK // 2, np.float32)
    gradients = [p.gradient(), p.gradient()]
    ways = {"a/kernel": Treatment(l1=0.1, l2=0.1, max_norm=1.0, max_value=0.5)}
    update = Update(optimizer, p, gradients, treatments=ways)
    given = [np.ones(p.trainable, np.float32)] * 2
    learn(update, given, gradients, 2)
    tracemalloc.start()
    try:
        learn(update, given, gradients, 2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000  # a block of float32 has 65 kB


def test_parameters_can_be_treated_in_their_own_way() -> None:
    ways = {
        "a/kernel": Treatment(factor=0.5),
        "a/bias": Treatment(factor=0),
        "n/gamma": Treatment(optim.sgd(1.0, momentum=0.5)),
        "b/kernel": Treatment(l1=0.3, l2=0.2),
    }
    found, update = trajectory(optim.sgd(0.1), ways)
    assert set(update.state) == {"velocity"}
    assert update.rate == 0.1  # as it is said, whatever single parameters have
    wanted = parameters()
    for (g,) in slopes(wanted):
        slope, w = wanted.views(g), wanted.of
        w["a/kernel"][...] -= 0.05 * slope["a/kernel"]
        w["n/beta"][...] -= 0.1 * slope["n/beta"]
        w["b/kernel"][...] -= 0.1 * (
            slope["b/kernel"] + 0.2 * w["b/kernel"] + 0.3 * np.sign(w["b/kernel"])
        )
        w["b/bias"][...] -= 0.1 * slope["b/bias"]
    v = np.zeros(5)
    for (g,) in slopes(wanted):
        v = 0.5 * v + wanted.views(g)["n/gamma"]
        wanted.of["n/gamma"][...] -= v
    np.testing.assert_allclose(found.flat, wanted.flat, rtol=1e-11, atol=1e-13)


def test_each_optimiser_clips_what_it_changes() -> None:
    ways = {
        "a/kernel": Treatment(optim.sgd(1.0, clip_norm=0.5)),
        "a/bias": Treatment(optim.sgd(1.0, clip_value=0.2)),
        "b/kernel": Treatment(optim.sgd(1.0)),
    }
    found, _ = trajectory(optim.sgd(0.1, clip_norm=1.0), ways, shards=2)
    wanted = parameters()
    usual = [name for name in wanted.views(wanted.flat[: wanted.trainable]) if name not in ways]
    for given in slopes(wanted, 2):
        slope, w = wanted.views(np.sum(given, axis=0)), wanted.of
        length = sum(np.sum(slope[name] ** 2) for name in usual) ** 0.5
        for name in usual:
            w[name][...] -= 0.1 * slope[name] * min(1, 1 / length)
        g = slope["a/kernel"]
        w["a/kernel"][...] -= g * min(1, 0.5 / np.linalg.norm(g))
        w["a/bias"][...] -= np.clip(slope["a/bias"], -0.2, 0.2)
        w["b/kernel"][...] -= slope["b/kernel"]
    np.testing.assert_allclose(found.flat, wanted.flat, rtol=1e-11, atol=1e-13)


def test_the_length_that_is_clipped_is_that_of_what_learns() -> None:
    ways = {"a/kernel": Treatment(factor=0)}
    found, _ = trajectory(optim.sgd(0.1, clip_norm=1.0), ways, shards=2)
    wanted = parameters()
    for given in slopes(wanted, 2):
        g = np.sum(given, axis=0)
        wanted.views(g)["a/kernel"][...] = 0
        wanted.flat[: wanted.trainable] -= 0.1 * g * min(1, 1 / np.linalg.norm(g))
    np.testing.assert_allclose(found.flat, wanted.flat, rtol=1e-11, atol=1e-13)


def test_weights_that_grow_too_long_are_scaled_back() -> None:
    found, _ = trajectory(optim.sgd(1e-9), {"a/kernel": Treatment(max_norm=0.7)})
    before, after = parameters().of["a/kernel"], found.of["a/kernel"]
    lengths = np.linalg.norm(before, axis=0)
    assert lengths.min() < 0.7 < lengths.max()  # one a unit
    np.testing.assert_allclose(after, before * np.minimum(1, 0.7 / lengths), atol=1e-7)


def test_weights_that_grow_too_large_are_cut() -> None:
    found, _ = trajectory(optim.sgd(1e-9), {"a/kernel": Treatment(max_value=0.2)})
    before = parameters().of["a/kernel"]
    assert np.abs(before).max() > 0.2
    np.testing.assert_allclose(found.of["a/kernel"], before.clip(-0.2, 0.2), atol=1e-7)


def test_accumulated_gradients_are_averaged() -> None:
    p = parameters()
    update = Update(optim.sgd(0.1), p, [g := p.gradient()])
    g[...] = 4
    before = p.flat.copy()
    update.begin(Progress(), 1 / 4)
    update.reduce(0)
    update.apply(0)
    np.testing.assert_allclose((before - p.flat)[: p.trainable], 0.1, rtol=1e-12)


def at(epoch: float, epochs: int | None = 10, losses: Sequence[float] = ()) -> Progress:
    return Progress(epoch, epochs, losses)


SCHEDULES: Sequence[tuple[Schedule, Progress, float]] = [
    (optim.step(1.0, every=3), at(2.9), 1.0),
    (optim.step(1.0, every=3), at(3), 0.1),
    (optim.step(1.0, every=3, factor=0.5), at(9.5), 0.125),
    (optim.listed(1.0, (2, 5), (0.5, 0.1)), at(1.9), 1.0),
    (optim.listed(1.0, (2, 5), (0.5, 0.1)), at(2), 0.5),
    (optim.listed(1.0, (2, 5), (0.5, 0.1)), at(70), 0.1),
    (optim.power(1.0), at(3), 0.25),
    (optim.power(1.0, decay=0.5, exponent=2), at(2), 0.25),
    (optim.exponential(2.0, 0.5), at(3), 0.25),
    (optim.exponential(2.0, 0.5), at(0.5), 2 * 0.5**0.5),
    (optim.polynomial(1.0), at(2.5), 0.75),
    (optim.polynomial(1.0, end=0.2, exponent=2), at(5), 0.2 + 0.8 / 4),
    (optim.polynomial(1.0, epochs=4), at(9), 0.0),
    (optim.cosine(1.0), at(0), 1.0),
    (optim.cosine(1.0, end=0.1), at(5), 0.55),
    (optim.cosine(1.0), at(10), 0.0),
    (optim.cosine(1.0, epochs=4), at(1, None), (1 + math.cos(math.pi / 4)) / 2),
    (optim.warm_up(2.0, epochs=2), at(1), 1.001),
    (optim.warm_up(2.0, epochs=2), at(2), 2.0),
    (optim.warm_up(2.0, epochs=0), at(0), 2.0),
    (optim.warm_up(optim.exponential(2.0, 0.5), epochs=1), at(3), 0.25),
    (optim.plateau(1.0, patience=1), at(0), 1.0),
    (optim.plateau(1.0, patience=1), at(2, losses=[3, 3]), 1.0),
    (optim.plateau(1.0, patience=1), at(3, losses=[3, 3, 3]), 0.1),
    (optim.plateau(1.0, patience=1), at(5, losses=[3, 3, 3, 2, 2]), 0.1),
    (optim.plateau(1.0, patience=1), at(6, losses=[3, 3, 3, 2, 2, 2]), 0.01),
    (optim.plateau(1.0, patience=0, least=0.05), at(3, losses=[3, 3, 3]), 0.05),
    (optim.plateau(1.0, patience=0), at(2, losses=[3, 3 * (1 - 1e-5)]), 0.1),
    (optim.plateau(1.0, patience=0, threshold=0), at(2, losses=[3, 3 * (1 - 1e-5)]), 1.0),
]


@pytest.mark.parametrize(("schedule", "progress", "rate"), SCHEDULES)
def test_a_schedule_says_the_rate(schedule: Schedule, progress: Progress, rate: float) -> None:
    assert schedule.at(progress) == pytest.approx(rate, rel=1e-12, abs=1e-15)


def test_a_schedule_of_all_epochs_needs_their_number() -> None:
    for schedule in (optim.cosine(1.0), optim.polynomial(1.0)):
        with pytest.raises(ValueError, match="needs the number of epochs"):
            schedule.at(at(1, None))


def test_a_list_of_rates_must_rise() -> None:
    for epochs, rates in (((2, 2), (1.0, 1.0)), ((3, 2), (1.0, 1.0)), ((1,), ())):
        with pytest.raises(ValueError, match="epochs must rise"):
            optim.listed(1.0, epochs, rates)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.sgd(-0.1), "sgd: rate is -0.1, and must be 0 or more"),
        (lambda: optim.sgd(float("nan")), "sgd: rate is nan"),
        (lambda: optim.sgd("fast"), "sgd: rate is 'fast'"),
        (lambda: optim.sgd(momentum=1.0), "momentum is 1.0, and must be 0 or more and below 1"),
        (lambda: optim.adam(beta2=2), "adam: beta2 is 2"),
        (lambda: optim.adamw(weight_decay=-1), "adamw: weight_decay is -1"),
        (lambda: optim.rmsprop(decay=1), "rmsprop: decay is 1"),
        (lambda: optim.adadelta(epsilon=-1e-6), "adadelta: epsilon is -1e-06"),
        (lambda: optim.adagrad(clip_norm=-1), "adagrad: clip_norm is -1"),
        (lambda: optim.step(0.1, every=0), "step: every is 0, and must be 1 or more"),
        (lambda: optim.cosine(-1), "cosine: rate is -1"),
        (lambda: optim.polynomial(1, epochs=0), "polynomial: epochs is 0"),
        (lambda: optim.warm_up(0.1, epochs=-1), "warm_up: epochs is -1"),
        (lambda: optim.plateau(0.1, patience=-1), "plateau: patience is -1"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_the_rate_follows_progress() -> None:
    p = parameters()
    update = Update(optim.sgd(optim.step(1.0, every=1)), p, [p.gradient()])
    for epoch, rate in ((0, 1.0), (1, 0.1), (2, 0.01)):
        update.begin(at(epoch))
        assert update.rate == pytest.approx(rate)
    assert rate_at(0.3, at(5)) == 0.3


def test_optimisers_are_values() -> None:
    assert optim.adam(learning_rate=0.1) == optim.adam(0.1) == optim.Adam(rate=0.1)
    assert replace(optim.sgd(0.1), momentum=0.9) == optim.sgd(0.1, momentum=0.9)
