"""Training, evaluating and running in one call; what data are taken; states between batches."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from cortex.runtime import data, nn, optim
from cortex.runtime.errors import UsageError
from cortex.runtime.losses import L1, CrossEntropy, Term
from cortex.runtime.training.loop import Listener
from cortex.runtime.training.model import Model
from cortex.runtime.training.trainer import Trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4, 4)).astype(np.float32)
Y = (X[:, 0, 0] > 0).astype(np.int64)


def classifier() -> Model:
    return nn.sequential([nn.input(16), nn.dense(16), nn.relu(), nn.dense(2), nn.softmax()])


def test_a_classifier_in_the_tutorials_words() -> None:
    model = classifier()
    before = nn.evaluate(model, (X, Y))
    history = nn.train(
        model, (X, Y), optim.sgd(learning_rate=0.5), epochs=20, batch_size=32, validation=(X, Y)
    )
    assert len(history) == 20
    assert history[-1].loss < history[0].loss
    assert history[-1].metrics["accuracy"] == nn.evaluate(history.model, (X, Y)) > 0.95 > before
    assert nn.predict(model, X).shape == (200, 2)
    assert len(history[:3]) == 3


def test_a_regression_is_judged_by_its_loss() -> None:
    model = nn.sequential([nn.input(2), nn.linear(1)])
    x = RNG.normal(size=(50, 2))
    y = x @ [0.65, 1.11] + 31.98
    nn.train(model, (x, y), optim.sgd(0.2), epochs=60, batch_size=10)
    assert nn.evaluate(model, (x, y)) < 1e-6
    assert model.network.parameters["linear-1/bias"] == pytest.approx([31.98], abs=1e-3)


@pytest.mark.parametrize(
    "given",
    [
        (X, Y),
        [X, Y],
        {"x": X, "y": Y},
        {"labels": Y, "input-1": X},
        {"target": Y, "input": X},
        {"input-1": X.reshape(200, 16), "softmax-1:target": np.eye(2)[Y]},
        data.Arrays({"input": X, "target": Y}, shuffle=False),
    ],
    ids=["pair", "list", "names", "one known", "ours", "all known", "dataset"],
)
def test_data_in_many_forms(given: Any) -> None:
    model = classifier()
    batch = next(nn.fed(given, model).batches(5))
    assert batch["input-1"].shape == (5, 16)
    assert (batch["input-1"] == X[:5].reshape(5, 16)).all()
    Trainer(model, optim.sgd()).step(batch)


def test_the_terms_of_a_loss_over_a_dataset() -> None:
    layers = [
        nn.input(16),
        nn.dense(8, name="hidden", l2=0.1),
        nn.relu(),
        nn.dense(2),
        nn.softmax(),
    ]
    terms = [Term(CrossEntropy(), "softmax-1"), Term(L1(), "hidden", weight=0.01)]
    model = nn.sequential(layers, terms=terms)
    found = nn.loss_terms(model, (X, Y), batch_size=64)  # of 64, 64, 64 and 8
    network, kernel = model.network, model.network.parameters["hidden/kernel"]
    values = network.run({"input-1": X.reshape(200, 16)}, ["softmax-1", "hidden"])
    assert found == pytest.approx(
        {
            "cross_entropy of softmax-1": -np.log(values["softmax-1"][np.arange(200), Y]).mean(),
            "l1 of hidden": 0.01 * np.abs(values["hidden"]).sum(1).mean(),
            "penalties": 0.1 * (kernel**2).sum() / 2,
        },
        rel=1e-5,
    )


def test_an_autoencoder_is_its_own_target() -> None:
    x = RNG.normal(size=(64, 3)) @ RNG.normal(size=(3, 8))
    model = nn.sequential(
        [
            nn.input(8),
            nn.gaussian_noise(deviation=0.01),
            nn.linear(3, name="code"),
            nn.linear(8, tied="code"),
        ]
    )
    history = nn.train(model, x, optim.adam(0.02), epochs=60, batch_size=16)
    assert history[-1].loss < 0.1 * history[0].loss


def test_a_convolutional_autoencoder() -> None:
    model = nn.sequential(
        [
            nn.input(height=4, width=4, channels=1),
            nn.conv(2, filters=4, stride=2, name="code"),
            nn.tanh(),
            nn.deconv(2, filters=1, stride=2, tied="code"),
        ]
    )
    history = nn.train(model, X[..., None], optim.adam(0.02), epochs=15, batch_size=16)
    assert history[-1].loss < 0.8 * history[0].loss


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"x": X},
            "needs input-1, softmax-1:target, the data have x: nothing is 'softmax",
        ),
        ((X[:, :3], Y), r"input 'input-1': an example's shape is \(3, 4\), expected \(16,\)"),
        ((X, Y + 5), "target 'softmax-1:target': 6 is no class; they are 0 to 1"),
        ((X, X[:, 0]), "target 'softmax-1:target'"),
        ((X[:0], Y[:0]), "empty"),
        ((X, Y[:5]), "have not as many rows"),
    ],
    ids=["no target", "shape", "class", "target shape", "empty", "rows"],
)
def test_data_that_do_not_fit(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        nn.train(classifier(), given, epochs=1)


@pytest.mark.parametrize("wrong", [-1, 5])
def test_an_id_that_no_table_has_is_told(wrong: int) -> None:
    model = nn.sequential(
        [nn.input(shape=(3,), dtype="int64"), nn.embedding(vocabulary=5, units=2), nn.linear(1)]
    )
    ids, target = np.arange(15).reshape(5, 3) % 5, np.zeros((5, 1))
    nn.train(model, (ids, target), epochs=1)
    ids[2, 1] = wrong
    with pytest.raises(UsageError, match=f"'input-1': {wrong} is no id .* 0 to 4"):
        nn.train(model, (ids, target), epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adam"}, "optimizer 'adam': give one, such as optim.adam()"),
        ({"epochs": -1}, "epochs is -1, and must be 0 or more"),
        ({"shards": 0}, "shards is 0, and must be 1 or more"),
        ({"accumulate": 0}, "accumulate is 0, and must be 1 or more"),
        (
            {"accumulate": 5, "epochs": 2},  # of 200 examples in batches of 128
            "accumulate is 5, but in 2 epochs there are only 4 batches: nothing would be learnt",
        ),
        ({"dtype": np.float16}, "dtype float16: it is float32 or float64"),
        (
            {"dtype": np.float64, "precision": "float16"},
            "precision 'float16' goes with dtype float32",
        ),
    ],
)
def test_options_that_make_no_sense(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        nn.train(classifier(), (X, Y), **options)


def test_gradients_are_gathered_on_from_epoch_to_epoch() -> None:
    history = nn.train(classifier(), (X, Y), epochs=3, accumulate=5)
    assert (history.trainer.steps, history.trainer.update.steps) == (6, 1)


@pytest.mark.parametrize("use", [nn.evaluate, nn.predict, nn.loss_terms, nn.train])
def test_a_history_is_no_model(use: Any) -> None:
    history = nn.train(classifier(), (X, Y), epochs=0)
    with pytest.raises(UsageError, match=r"a history is no model; give its model: history\.model"):
        use(history, (X, Y))


def weighted(target: str = "") -> Model:
    term = Term(CrossEntropy(), "softmax-1", target, weights="counts")
    layers = [nn.input(16), nn.dense(2), nn.softmax()]
    return nn.sequential(layers, terms=[term])


W = np.ones(200, np.float32)


@pytest.mark.parametrize(
    ("target", "given", "missing"),
    [
        ("", (X, Y, W), None),  # arrays without names are in order
        ("", {"x": X, "y": Y, "counts": W}, None),
        ("labels", {"x": X, "counts": W, "labels": Y}, None),
        ("", {"x": X, "y": Y, "w": W}, "counts"),
        ("", data.Arrays({"input": X, "target": Y, "w": W}), "counts"),
        ("labels", {"x": X, "counts": W, "y": Y}, "labels"),
        ("labels", {"x": X, "counts": W}, "labels"),
    ],
)
def test_what_a_loss_names_must_be_there(target: str, given: Any, missing: str | None) -> None:
    model = weighted(target)
    if missing is None:
        batch = next(nn.fed(given, model).batches(5))
        assert (batch["counts"] == 1).all()
        assert (batch[target or "softmax-1:target"] == Y[:5]).all()
        return
    with pytest.raises(UsageError, match=f"nothing is '{missing}'"):
        nn.fed(given, model)


def test_a_history_is_told_without_its_arrays() -> None:
    told = repr(nn.train(classifier(), (X, Y), epochs=1))
    assert "Epoch(number=1" in told
    assert "array" not in told


def test_what_an_interrupted_run_has_learnt_stays() -> None:
    class Impatient(Listener):
        def epoch(self, run: Any, epoch: Any) -> None:
            raise KeyboardInterrupt

    model = classifier()
    before = model.network.parameters["linear-1/kernel"].copy()
    with pytest.raises(KeyboardInterrupt):
        nn.train(model, (X, Y), optim.sgd(0.1), epochs=3, listeners=[Impatient()])
    assert (model.network.parameters["linear-1/kernel"] != before).any()


def test_several_outputs_come_by_name() -> None:
    model = nn.sequential([nn.input(16, name="x"), nn.linear(2), nn.linear(3, inputs=("x",))])
    found = nn.predict(model, X, batch_size=64)
    assert {name: array.shape for name, array in found.items()} == {
        "linear-1": (200, 2),
        "linear-2": (200, 3),
    }


def stateful(**options: Any) -> Model:
    return nn.sequential(
        [
            nn.input(shape=("T", 2)),
            nn.lstm(3, return_sequences=True, **options),
            nn.linear(1, flatten=False),
        ]
    )


def test_states_go_on_from_batch_to_batch() -> None:
    x = RNG.normal(size=(6, 8, 2)).astype(np.float32)
    whole, pieces = stateful(), stateful(stateful=True)
    wanted = nn.predict(whole, x)
    # Row i of a batch goes on where row i of the last one ended.
    parts = np.concatenate([x[:, :4], x[:, 4:]])
    found = nn.predict(pieces, data.Arrays({"x": parts}), batch_size=6)
    np.testing.assert_allclose(np.concatenate([found[:6], found[6:]], 1), wanted, atol=1e-6)
    # A batch of another size begins anew.
    more = data.Arrays({"x": np.concatenate([x[:, :4], x[:1, :4]])})
    again = nn.predict(pieces, more, batch_size=6)
    np.testing.assert_allclose(again[6], wanted[0, :4], atol=1e-6)


@pytest.mark.parametrize("shards", [1, 2])
def test_states_in_training_are_carried_and_forgotten(shards: int) -> None:
    x = RNG.normal(size=(6, 8, 2))
    y = np.zeros((6, 8, 1))
    still = optim.sgd(0.0)
    whole = Trainer(stateful(), still, dtype=np.float64, shards=shards)
    (target,) = {term.target for term in stateful().terms}
    wanted = float(np.sum(whole.step({"input-1": x, target: y})))
    trainer = Trainer(stateful(stateful=True), still, dtype=np.float64, shards=shards)
    batches = [{"input-1": x[:, part], target: y[:, part]} for part in (slice(4), slice(4, 8))]
    losses = [float(np.sum(trainer.step(batch))) for batch in batches]
    assert np.mean(losses) == pytest.approx(wanted, rel=1e-12)
    evaluated = [float(np.sum(trainer.evaluate(batch)[0])) for batch in batches]
    assert evaluated == pytest.approx(losses, rel=1e-12)
    trainer.states.forget()
    assert float(np.sum(trainer.step(batches[0]))) == pytest.approx(losses[0], rel=1e-12)


def test_a_stateful_network_learns() -> None:
    """The answer is the last input of the batch before: only the state knows it."""
    pieces = RNG.choice([-1.0, 1.0], (200, 1, 1)).astype(np.float32)
    before = np.concatenate([np.zeros((1, 1)), pieces[:-1, 0]])
    source = data.Arrays({"x": pieces, "y": before}, shuffle=False)
    model = nn.sequential([nn.input(shape=(1, 1)), nn.gru(8, stateful=True), nn.linear(1)])
    history = nn.train(model, source, optim.adam(0.02), epochs=8, batch_size=1)
    assert history[-1].loss < 0.05
