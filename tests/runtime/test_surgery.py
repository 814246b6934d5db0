"""Changing networks, and the table of what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from cortex.runtime import nn
from cortex.runtime.errors import GraphError
from cortex.runtime.losses import CrossEntropy, MeanSquaredError
from cortex.runtime.network import Network
from cortex.runtime.optim import sgd
from cortex.runtime.training.model import Model
from cortex.runtime.training.trainer import Trainer

IMAGES = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)


def convnet() -> Model:
    return nn.sequential(
        [
            nn.input(height=8, width=8, channels=1, name="image"),
            nn.conv(3, filters=4, pad=1, name="conv"),
            nn.relu(name="rectified"),
            nn.residual([nn.conv(3, filters=4, pad=1)], name="block"),
            nn.global_average_pooling(name="features"),
            nn.linear(5, name="fc", l2=0.1),
            nn.softmax(name="label"),
        ]
    )


def test_dropping_leaves_what_it_read() -> None:
    model = convnet()
    dropped = nn.drop_from(model, "fc")
    assert dropped.network.graph.outputs == {"features": "features"}
    assert not dropped.terms
    assert not dropped.treatments
    assert "fc/kernel" not in dropped.network.parameters
    found = dropped.network.run({"image": IMAGES})["features"]
    np.testing.assert_array_equal(
        found, model.network.run({"image": IMAGES}, ["features"])["features"]
    )


def test_a_new_head_learns_and_the_old_body_does_not() -> None:
    model = convnet()
    body = nn.freeze(model, "features")
    tuned = nn.replace_head(body, [nn.linear(3, name="new"), nn.softmax()], at="fc")
    (term,) = tuned.terms
    assert isinstance(term.loss, CrossEntropy)
    assert term.on == "softmax-1"
    trainer = Trainer(tuned, sgd(0.5))
    trainer.step({"image": IMAGES, "softmax-1:target": np.eye(3)[[0, 1, 2, 0]]})
    after = trainer.network.parameters
    assert (after["conv/kernel"] == model.network.parameters["conv/kernel"]).all()
    assert (after["new/kernel"] != tuned.network.parameters["new/kernel"]).any()
    assert not nn.unfreeze(tuned).frozen


def test_freezing_goes_up_to_a_layer() -> None:
    frozen = nn.freeze(convnet(), "rectified").frozen
    assert frozen == {"conv", "rectified"}
    assert "fc" in nn.freeze(convnet()).frozen


def test_extending_after_a_layer_makes_a_second_output() -> None:
    model = nn.extend(convnet(), [nn.linear(2, name="beside")], after="features")
    assert set(model.network.graph.outputs) == {"label", "beside"}
    assert {type(term.loss) for term in model.terms} == {CrossEntropy, MeanSquaredError}
    before, after = convnet().network, model.network
    np.testing.assert_array_equal(
        before.run({"image": IMAGES})["label"], after.run({"image": IMAGES})["label"]
    )


def test_extending_the_output_takes_its_place() -> None:
    model = nn.extend(nn.sequential([nn.input(4), nn.linear(3)]), [nn.softmax()])
    assert set(model.network.graph.outputs) == {"softmax-1"}
    assert [term.on for term in model.terms] == ["softmax-1"]


def test_models_are_not_changed() -> None:
    model = convnet()
    tuned = nn.replace_head(model, [nn.linear(3)], at="fc")
    before = model.network.parameters["conv/kernel"].copy()
    nn.train(tuned, (IMAGES, np.ones((4, 3))), sgd(0.1), epochs=1)
    assert (tuned.network.parameters["conv/kernel"] != before).any()
    assert (model.network.parameters["conv/kernel"] == before).all()


def test_another_size_of_input() -> None:
    large = nn.resize_input(convnet(), (12, 10, 1))
    found = large.network.run({"image": np.zeros((1, 12, 10, 1), np.float32)})
    assert found["label"].shape == (1, 5)
    open_sizes = nn.resize_input(convnet(), ("H", "W", 1))
    assert open_sizes.network.run({"image": IMAGES})["label"].shape == (4, 5)


def test_from_a_network(tmp_path: Any) -> None:
    model = nn.freeze(convnet(), "conv")
    model.network.save(tmp_path / "weights.safetensors")
    loaded = Network.load(tmp_path / "weights.safetensors")
    again = nn.from_network(loaded)
    assert [(type(at.loss), at.on, at.target) for at in again.terms] == [
        (CrossEntropy, "label", "label:target")
    ]
    assert model.frozen == {"conv"}
    assert (again.frozen, again.treatments) == (frozenset(), {})  # what learns is not stored
    assert nn.evaluate(again, (IMAGES, np.zeros(4, int))) >= 0
    nn.train(again, (IMAGES, np.zeros(4, int)), sgd(0.1), epochs=1)  # its arrays can be written


ERRORS: list[tuple[Callable[[Model], Model], str]] = [
    (lambda m: nn.drop_from(m, "nonsense"), "no layer is called 'nonsense'; there are image"),
    (lambda m: nn.drop_from(m, "conv"), "without it and what follows nothing is left"),
    (lambda m: nn.drop_from(m, "image"), "layer 'image' is an input"),
    (lambda m: nn.freeze(m, "nonsense"), "no layer is called 'nonsense'"),
    (lambda m: nn.extend(m, [nn.relu()], after="x"), "no layer is called 'x'"),
    (lambda m: nn.extend(m, [nn.max_pooling(2)]), "layer 'max_pooling-1'"),
    (lambda m: nn.extend(m, [nn.relu(name="fc")]), "layer 'fc': the name is used twice"),
    (lambda m: nn.extend(m, [nn.relu(name="fc/kernel")]), "'fc/kernel': the name is used twice"),
    (lambda m: nn.resize_input(m, (8, 8, 3)), r"layer 'conv': for inputs of .*'conv/kernel'"),
    (lambda m: nn.resize_input(m, (8, 8, 1), "x"), "say which input to resize: they are image"),
    (
        lambda m: nn.extend(nn.extend(m, [nn.tanh()], after="features"), [nn.relu()]),
        "say after which layer: the outputs are label, tanh-1",
    ),
]


@pytest.mark.parametrize(("change", "message"), ERRORS)
def test_errors(change: Callable[[Model], Model], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        change(convnet())


def test_the_longest_prefix_that_builds() -> None:
    layers = [nn.input(4), nn.linear(3), nn.max_pooling(2), nn.linear(2)]
    count, problem = nn.longest_prefix(layers)
    assert count == 2
    assert problem.startswith("layer 'max_pooling-1'")
    assert nn.longest_prefix(layers[:2]) == (2, "")
    assert nn.longest_prefix([nn.relu()])[0] == 0


def seed_network() -> Model:
    return nn.sequential(
        [
            nn.input(height=28, width=28, channels=1),
            nn.convolutional(5, filters=20),
            nn.max_pooling(2),
            nn.dropout(keep=0.9),
            nn.relu(),
            nn.convolutional(5, filters=50),
            nn.max_pooling(2),
            nn.batch_normalization(per_element=True),
            nn.linear(1000),
            nn.relu(),
            nn.center_loss(classes=10, weight=1e-4, keep_factor=0.9),
            nn.dropout(keep=0.5),
            nn.linear(10),
            nn.softmax(),
        ]
    )


def test_the_table_of_the_seeds_network() -> None:
    model = seed_network()
    text = str(nn.table(model))
    assert text.endswith("Parameter count: 849,780")
    console = Console(width=200)
    with console.capture() as capture:
        console.print(nn.table(model))
    for part in ("24x24x20 - 11520", "kernel 5x5x20x50, bias 50", "centers 10x1000", "849,780"):
        assert part in text
        assert part in capture.get()
    assert {term.target for term in model.terms} == {"softmax-1:target"}


def test_the_table_counts_what_is_shared_once() -> None:
    layers = [nn.input(6), nn.linear(2, name="in"), nn.linear(6, tied="in")]
    found = nn.table(nn.freeze(nn.sequential(layers), "in"))
    rows = {row.name: row for row in found.rows}
    assert found.count == 6 * 2 + 2 + 6
    assert rows["in"].parameters == {"kernel": (6, 2), "bias": (2,)}
    assert rows["in"].frozen
    assert rows["linear-1"].parameters == {"bias": (6,)}
    assert rows["linear-1"].inputs == [(2,)]
    assert rows["input-1"].kind == "input"


def test_the_table_of_a_stateful_layer_hides_its_states() -> None:
    found = nn.table(nn.sequential([nn.input(shape=("T", 3)), nn.lstm(4, stateful=True)]))
    assert [row.name for row in found.rows] == ["input-1", "lstm-1"]
    assert found.rows[1].cells[2:4] == ("Tx3", "4")
