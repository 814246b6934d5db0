"""Steps over shards: the same whatever the cut, and of the same bits when done again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from cortex.runtime import nn, optim
from cortex.runtime.data import Arrays
from cortex.runtime.errors import UsageError
from cortex.runtime.optim import Optimizer
from cortex.runtime.optim.update import Treatment
from cortex.runtime.training.model import Model
from cortex.runtime.training.trainer import NotFinite, Trainer
from cortex.runtime.training.treatments import treated

from .learning import INPUT, TARGET, arrays, model
from .strict import Strict

Array = Any
OPTIMIZERS: Mapping[str, Optimizer] = {
    "sgd": optim.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": optim.adam(1e-2),
    "clipped": optim.adamw(1e-2, clip_value=0.1, clip_norm=0.2),
    "rmsprop": optim.rmsprop(1e-2),
}


def learn(trainer: Trainer, steps: int = 20, size: int = 13) -> Array:
    """The parameters after so many steps, the last batch of an epoch being smaller."""
    data, epoch = Arrays(arrays(), seed=5), 0
    while True:
        for batch in data.batches(size, epoch):
            trainer.step(batch)
            if trainer.steps == steps:
                return trainer.parameters.flat.copy()
        epoch += 1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_shard_and_two_learn_the_same(name: str) -> None:
    found = [
        learn(Trainer(model(bias=False), OPTIMIZERS[name], shards=n, dtype=np.float64))
        for n in (1, 2, 3)
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shards", [1, 2])
def test_the_same_bits_come_again(shards: int) -> None:
    first, second = (learn(Trainer(model(), optim.adam(), shards=shards, seed=4)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = learn(Trainer(model(), optim.adam(), shards=shards, seed=5))
    assert not np.array_equal(first, other)  # dropout's


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_batch_may_have_fewer_rows_than_there_are_shards(rows: int) -> None:
    found: list[Array] = []
    for shards in (1, 4):
        trainer = Trainer(model(), optim.sgd(0.1), shards=shards, dtype=np.float64)
        batch = {name: array[:rows] for name, array in arrays().items()}
        for _ in range(3):
            trainer.step(batch)
            trainer.evaluate(batch, ["softmax-1"])
        found.append(trainer.parameters.flat)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shards", [1, 2])
def test_accumulated_steps_are_one_step_of_a_larger_batch(shards: int) -> None:
    plain = nn.sequential([nn.input(4, name=INPUT), nn.linear(3), nn.softmax()])
    data, found = arrays(24), list[Array]()
    for accumulate, size in ((1, 24), (3, 8)):
        trainer = Trainer(
            plain, optim.adam(), shards=shards, accumulate=accumulate, dtype=np.float64
        )
        for _ in range(4):
            for batch in Arrays(data, shuffle=False).batches(size):
                trainer.step(batch)
        assert trainer.update.steps == 4
        found.append(trainer.parameters.flat)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-10, atol=1e-12)


def test_evaluation_learns_nothing() -> None:
    trainer, batch = Trainer(model(), optim.adam(), shards=2), arrays()
    before = trainer.parameters.flat.copy()
    losses, values = trainer.evaluate(batch, ["softmax-1", "linear-1"])
    np.testing.assert_array_equal(trainer.parameters.flat, before)
    wanted = trainer.network.run({INPUT: batch[INPUT]})["softmax-1"]
    np.testing.assert_allclose(values["softmax-1"], wanted, rtol=1e-5)
    loss = -np.log((wanted * batch[TARGET]).sum(1)).mean()
    assert losses == pytest.approx([loss], rel=1e-5)


@pytest.mark.parametrize(
    ("optimizer", "treatment"),
    [
        (optim.adamw(), Treatment()),
        (optim.sgd(0.1, weight_decay=0.1, momentum=0.9, clip_norm=0.1), Treatment()),
        (optim.sgd(0.1), Treatment(l1=0.1)),
        (optim.sgd(0.1), Treatment(l2=0.1)),
        (optim.sgd(0.1), Treatment(max_norm=1e-3)),
        (optim.sgd(0.1), Treatment(optim.adamw(weight_decay=0.1))),
    ],
)
def test_what_is_frozen_does_not_move(optimizer: Optimizer, treatment: Treatment) -> None:
    made = model()
    ways = {name: treatment for name in made.network.parameters if "kernel" in name}
    frozen = Model(made.network, made.terms, ways, frozenset({"linear-1"}))
    trainer = Trainer(frozen, optimizer)
    learn(trainer, 5)
    for name, array in trainer.parameters.of.items():
        kept = np.array_equal(array, made.network.parameters[name])
        assert kept == name.startswith("linear-1/"), name


LAYERS: Mapping[str, Any] = {
    "convnet": lambda: [
        nn.input(height=6, width=6, channels=1),
        nn.convolutional(3, filters=6),
        nn.max_pooling(2),
        nn.dropout(rate=0.2),
        nn.relu(),
        nn.batch_normalization(per_element=True),
    ],
    "embedding": lambda: [
        nn.input(shape=(5,), dtype="int32"),
        nn.embedding(vocabulary=7, units=4),
        nn.lstm(5),
    ],
    "gru": lambda: [nn.input(shape=(5, 2)), nn.gru(5)],
    "lstm": lambda: [
        nn.input(shape=(5, 2)),
        nn.dropout(rate=0.2),
        nn.lstm(5),
        nn.dropout(rate=0.2),
    ],
    "reset after": lambda: [nn.input(shape=(5, 2)), nn.gru(5, reset_after=True)],
    "rnn and convolution": lambda: [
        nn.input(shape=(5, 2)),
        nn.convolutional(2, filters=6, normalize=True),
        nn.max_pooling(2, stride=1),
        nn.simple_rnn(5),
    ],
}


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("network", LAYERS)
def test_a_step_makes_no_array(network: str, shards: int, precision: Any) -> None:
    made = nn.sequential([*LAYERS[network](), nn.linear(3), nn.softmax()])
    for name, optimizer in OPTIMIZERS.items():
        strict = Strict()
        trainer = Trainer(made, optimizer, shards=shards, precision=precision, xp=strict)
        ((given, tensor),) = made.network.graph.inputs.items()
        rng, shape = np.random.default_rng(0), (8, *map(int, tensor.shape[1:]))
        batch = {
            given: rng.integers(0, 7, shape) if tensor.dtype == "int32" else rng.normal(size=shape),
            made.terms[0].target: np.arange(8) % 3,
        }
        trainer.step(batch)
        with strict.armed():
            trainer.step(batch)
        assert trainer.update.steps == 2, name


@pytest.mark.parametrize("shards", [1, 2])
def test_a_layer_whose_output_is_no_number_is_named(shards: int) -> None:
    made = model()
    kernel: Any = made.network.parameters["linear-2/kernel"]
    kernel[0, 0] = np.inf
    trainer = Trainer(made, optim.adam(), shards=shards)
    with pytest.raises(NotFinite, match="layer 'linear-2': its output is no longer finite"):
        trainer.step(arrays())
    assert np.isfinite(trainer.parameters.of["linear-1/kernel"]).all()


def test_what_else_is_no_number_is_told() -> None:
    given = arrays()
    for name, message in (
        (INPUT, f"input '{INPUT}': the data have a value there that is not finite"),
        (TARGET, "every layer's output is: look at the targets, or lower the learning rate"),
    ):
        with pytest.raises(NotFinite, match=message):
            Trainer(model(), optim.adam()).step({**given, name: given[name] + np.nan})


def test_an_input_that_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match=r"the inputs are \['x'\], given were \[\]"):
        Trainer(model(), optim.adam()).step({TARGET: arrays()[TARGET]})


TREATED = [
    ({"linear-1/bias": Treatment(factor=0)}, {"linear-1/bias"}),
    ({"linear-1": Treatment(factor=0)}, {"linear-1/bias", "linear-1/kernel"}),
    ({"bias": Treatment(factor=0)}, {"linear-1/bias", "linear-2/bias"}),
    (
        {"linear": Treatment(factor=0), "linear-1": optim.sgd(0.1)},
        {"linear-2/bias", "linear-2/kernel"},
    ),
    (
        {"dense": Treatment(factor=0), "linear-2/kernel": Treatment()},
        {"linear-1/bias", "linear-1/kernel", "linear-2/bias"},
    ),
]


@pytest.mark.parametrize(("ways", "left"), TREATED)
def test_parameters_are_treated_by_name_or_kind(ways: Any, left: set[str]) -> None:
    made = model()
    trainer = Trainer(treated(made, ways), optim.sgd(0.1))
    learn(trainer, 3)
    trained = (name for name, spec in trainer.parameters.specs.items() if spec.trainable)
    assert {
        name
        for name in trained
        if np.array_equal(trainer.parameters.of[name], made.network.parameters[name])
    } == left


def test_a_treatment_joins_what_a_layer_asked_for() -> None:
    made = model()
    made = Model(made.network, made.terms, {"linear-1/kernel": Treatment(l2=0.1, factor=2)})
    joined = treated(made, {"linear": Treatment(optim.adam(), factor=3)}).treatments
    assert joined["linear-1/kernel"] == Treatment(optim.adam(), factor=3, l2=0.1)
    assert joined["linear-2/bias"] == Treatment(optim.adam(), factor=3)


def test_a_treatment_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="no parameter, layer or kind is called 'linaer'; there"):
        treated(model(), {"linaer": Treatment()})
