"""Layers: the shapes they give, their gradients through a trainer, and what they refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest

from cortex.runtime import nn
from cortex.runtime.errors import GraphError
from cortex.runtime.export import export
from cortex.runtime.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    KullbackLeibler,
    Loss,
    NegativeLogLikelihood,
    Term,
)
from cortex.runtime.nn.layers import LAYERS, options
from cortex.runtime.optim import sgd
from cortex.runtime.training.model import Model
from cortex.runtime.training.trainer import Trainer
from cortex.runtime.weights import WeightsFile

IMAGE = nn.input(height=6, width=5, channels=2)
SEQUENCE = nn.input(shape=(4, 3))
IDS = nn.input(shape=(4,), dtype="int64")
VECTOR = nn.input(6)
COMPOSITES = [kind for kind in sorted(LAYERS) if kind.startswith("linear_")]

CASES: dict[str, tuple[Sequence[Any], tuple[int, ...]]] = {
    "linear": ([IMAGE, nn.linear(3)], (3,)),
    "linear over the last axis": ([SEQUENCE, nn.linear(2, flatten=False)], (4, 2)),
    "linear without bias": ([VECTOR, nn.linear(2, bias=False)], (2,)),
    "linear, normalized, activated": (
        [VECTOR, nn.linear(3, normalize=True, activation="tanh")],
        (3,),
    ),
    **{kind: ([VECTOR, getattr(nn, kind)(3)], (3,)) for kind in COMPOSITES},
    "tied": ([VECTOR, nn.linear(2, name="in"), nn.tanh(), nn.linear(6, tied="in")], (6,)),
    "shared": ([VECTOR, nn.linear(6, name="in"), nn.tanh(), nn.linear(6, shares="in")], (6,)),
    "embedding": ([IDS, nn.embedding(vocabulary=3, units=2)], (4, 2)),
    "embedding with a pad": ([IDS, nn.embedding(vocabulary=3, units=2, pad=1)], (4, 2)),
    "convolutional": ([IMAGE, nn.convolutional(3, filters=4, pad=1, stride=2)], (3, 3, 4)),
    "convolutional, same": ([IMAGE, nn.conv((3, 2), filters=2, pad="same")], (6, 5, 2)),
    "convolutional, pad per axis": ([IMAGE, nn.conv(3, filters=2, pad=(0, 1))], (4, 5, 2)),
    "convolutional, normalized": (
        [IMAGE, nn.conv(2, filters=2, normalize=True, activation="swish")],
        (5, 4, 2),
    ),
    "convolutional of a sequence": ([SEQUENCE, nn.conv(2, filters=2, dilation=2)], (2, 2)),
    "transposed": ([IMAGE, nn.deconv(2, filters=3, stride=2)], (12, 10, 3)),
    "tied, convolutional": (
        [IMAGE, nn.conv(2, filters=3, name="in"), nn.relu(), nn.deconv(2, filters=2, tied="in")],
        (6, 5, 2),
    ),
    "max pooling": ([IMAGE, nn.max_pooling(2)], (3, 2, 2)),
    "max pooling rounded up": ([IMAGE, nn.max_pooling(2, round_up=True)], (3, 3, 2)),
    "rounded up, no window in the padding": (
        [IMAGE, nn.max_pooling(2, stride=3, pad=1, round_up=True)],
        (3, 2, 2),
    ),
    "average pooling": ([IMAGE, nn.average_pooling((3, 2), stride=1)], (4, 4, 2)),
    "average pooling of padding": (
        [IMAGE, nn.average_pooling(2, pad=1, count_padding=True)],
        (4, 3, 2),
    ),
    "l2 pooling": ([IMAGE, nn.l2_pooling(2)], (3, 2, 2)),
    "global": ([IMAGE, nn.global_average_pooling()], (2,)),
    "global max": ([IMAGE, nn.global_max_pooling()], (2,)),
    "batch normalization": ([IMAGE, nn.batch_normalization()], (6, 5, 2)),
    "per element": ([IMAGE, nn.batch_normalization(per_element=True)], (6, 5, 2)),
    "layer normalization": ([SEQUENCE, nn.layer_normalization()], (4, 3)),
    "lrn": ([IMAGE, nn.lrn(alpha=0.3)], (6, 5, 2)),
    "lcn": ([IMAGE, nn.conv(1, filters=2), nn.lcn(size=3, deviation=1.0)], (6, 5, 2)),
    "lcn of a sequence": ([SEQUENCE, nn.linear(2, flatten=False), nn.lcn()], (4, 2)),
    "regions": (
        [
            IMAGE,
            nn.conv(1, filters=3, name="features"),
            nn.input(shape=(2, 4), name="regions"),
            nn.roi_pooling((2, 3), scale=1.0, inputs=("features", "regions")),
        ],
        (2, 2, 3, 3),
    ),
    "dropout": ([VECTOR, nn.linear(4), nn.dropout(rate=0.3)], (4,)),
    "dropout, kept": ([VECTOR, nn.linear(4), nn.dropout(keep=0.7)], (4,)),
    "multiplicative": ([VECTOR, nn.linear(4), nn.multiplicative_dropout(variance=0.2)], (4,)),
    "noise": ([VECTOR, nn.gaussian_noise(deviation=0.2), nn.linear(4)], (4,)),
    "activations": (
        [VECTOR, nn.linear(5), nn.selu(), nn.linear(5), nn.prelu(), nn.mish(), nn.softplus()],
        (5,),
    ),
    "leaky": ([VECTOR, nn.linear(3), nn.relu(slope=0.2)], (3,)),
    "elu": ([VECTOR, nn.linear(3), nn.explin(alpha=0.5)], (3,)),
    "scale": ([VECTOR, nn.scale(factor=2.0, offset=-1.0), nn.linear(3)], (3,)),
    "limited": ([VECTOR, nn.linear(3), nn.relu(limit=0.5)], (3,)),
    "softmax": ([IMAGE, nn.conv(1, filters=3), nn.softmax()], (6, 5, 3)),
    "reshape": ([IMAGE, nn.reshape((5, -1))], (5, 12)),
    "transpose": ([IMAGE, nn.transpose((3, 1, 2))], (2, 6, 5)),
    "slice": ([SEQUENCE, nn.slice(1, None, axis=1)], (3, 3)),
    "every second": ([SEQUENCE, nn.slice(None, None, step=2)], (4, 2)),
    **{how: ([SEQUENCE, nn.collapse(how)], (3,)) for how in ("last", "sum", "mean", "max")},
    "concatenate": ([VECTOR, nn.branch([[nn.linear(2)], []])], (8,)),
    "one step after another": ([SEQUENCE, nn.branch([[], [nn.tanh()]], axis=1)], (8, 3)),
    "inputs beside in a branch": (
        [
            VECTOR,
            nn.branch([[nn.linear(2, name="a"), nn.tanh(), nn.join(inputs=("a", "tanh-1"))], []]),
        ],
        (8,),
    ),
    "flat": (
        [IMAGE, nn.max_pooling(3, name="a"), nn.concatenate(inputs=("input-1", "a"), flat=True)],
        (64,),
    ),
    "sum of unequal lengths": (
        [VECTOR, nn.linear(4, name="a"), nn.join("+", inputs=("input-1", "a"))],
        (6,),
    ),
    "product of unequal lengths": (
        [VECTOR, nn.linear(4, name="a"), nn.join("*", inputs=("input-1", "a"))],
        (4,),
    ),
    "maximum": ([VECTOR, nn.branch([[nn.linear(6)], []], "maximum")], (6,)),
    "residual": ([IMAGE, nn.residual([nn.conv(3, filters=2, pad=1), nn.relu()])], (6, 5, 2)),
    "residual of a residual": (
        [VECTOR, nn.residual([nn.linear(6), nn.residual([nn.linear(6), nn.tanh()])])],
        (6,),
    ),
    "recurrent": ([SEQUENCE, nn.recurrent(2)], (2,)),
    "lstm": ([SEQUENCE, nn.lstm(2, return_sequences=True)], (4, 2)),
    "lstm, backwards": ([SEQUENCE, nn.lstm(2, reverse=True, bias=False)], (2,)),
    "gru": ([SEQUENCE, nn.gru(2, activation="softsign", gate_activation="logistic")], (2,)),
    "gru, reset after": ([SEQUENCE, nn.gru(2, reset_after=True)], (2,)),
    "bidirectional": ([SEQUENCE, nn.lstm(2, bidirectional="concatenate")], (4,)),
    "bidirectional sum": (
        [SEQUENCE, nn.gru(2, bidirectional="+", return_sequences=True)],
        (4, 2),
    ),
    "normalized": ([SEQUENCE, nn.recurrent(2, normalize=True)], (2,)),
    "bidirectional, normalized": (
        [
            SEQUENCE,
            nn.recurrent(2, bidirectional="concatenate", normalize=True, return_sequences=True),
        ],
        (4, 4),
    ),
    "lstm, normalized": ([SEQUENCE, nn.lstm(2, bidirectional="+", normalize=True)], (2,)),
    "stateful": ([SEQUENCE, nn.lstm(2, stateful=True)], (2,)),
    "states from another": (
        [
            SEQUENCE,
            nn.lstm(2, name="a", return_sequences=True),
            nn.lstm(2, inputs=("input-1",), states_from="a"),
        ],
        (2,),
    ),
    "masked": (
        [
            IDS,
            nn.embedding(vocabulary=3, units=2, name="e"),
            nn.input(shape=(4,), dtype="bool", name="mask"),
            nn.gru(2, inputs=("e", "mask")),
        ],
        (2,),
    ),
}
every_case = pytest.mark.parametrize(
    ("layers", "shape"), [pytest.param(*case, id=name) for name, case in CASES.items()]
)


def drawn(model: Model, rows: int = 5) -> dict[str, Any]:
    """Inputs and targets of a model, but for states."""
    graph, rng = model.network.graph, np.random.default_rng(4)
    found: dict[str, Any] = {}
    for name, tensor in graph.inputs.items():
        shape = (rows, *(int(n) for n in tensor.shape[1:]))
        if tensor.dtype == "bool":
            found[name] = rng.random(shape) < 0.7
        elif tensor.dtype == "int64":
            found[name] = rng.integers(0, 3, shape)
        elif name not in graph.states:
            found[name] = rng.normal(size=shape)
    for term in model.terms:
        sizes = (int(n) for n in graph.types[term.on].shape[1:])
        found[term.target] = rng.uniform(size=(rows, *sizes))
    return found


@every_case
def test_a_layer_gives_its_shape(layers: Sequence[Any], shape: tuple[int, ...]) -> None:
    graph = nn.sequential(layers).network.graph
    (output,) = (
        value for name, value in graph.outputs.items() if name not in graph.states.values()
    )
    assert graph.types[output].shape == ("N", *shape)


@every_case
def test_gradients_are_those_of_the_loss(layers: Sequence[Any], shape: tuple[int, ...]) -> None:
    model = nn.sequential(layers, seed=1)
    batch = drawn(model)
    learning, still = (Trainer(model, sgd(rate), shards=1, dtype=np.float64) for rate in (1.0, 0.0))
    size = learning.parameters.trainable
    numbers = learning.parameters.views(np.arange(size))
    held = [numbers[name].ravel() for name, at in model.treatments.items() if not at.factor]
    before = learning.parameters.flat[:size].copy()
    learning.step(batch)
    gradient = before - learning.parameters.flat[:size]

    def loss(i: int, h: float) -> float:
        still.parameters.flat[:size] = before
        still.parameters.flat[i] += h
        still.steps = 0
        still.states.forget()
        return float(np.sum(still.step(batch)))

    tried = np.random.default_rng(2).permutation(size)[:8]
    for i in tried[~np.isin(tried, np.concatenate([[], *held]))]:
        slope = (loss(i, 1e-6) - loss(i, -1e-6)) / 2e-6
        assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-7), i


@every_case
def test_onnxruntime_answers_the_same(
    layers: Sequence[Any], shape: tuple[int, ...], tmp_path: Any
) -> None:
    network = nn.sequential(layers, seed=1).network
    network.save(tmp_path / "weights.safetensors")
    model = export(network, WeightsFile.open(tmp_path / "weights.safetensors"))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    batch = drawn(Model(network))
    for held in network.graph.states:
        batch[held] = np.ones((5, 2))
    given = {n: a.astype(np.float32) if a.dtype == np.float64 else a for n, a in batch.items()}
    wanted = network.run(given)
    answers: list[Any] = list(session.run(list(network.graph.outputs), given))
    for name, array in zip(network.graph.outputs, answers, strict=True):
        np.testing.assert_allclose(wanted[name], array, rtol=2e-5, atol=2e-5)


def test_padding_counts_where_it_is_to() -> None:
    x = np.ones((1, 2, 2, 1), np.float32)
    image = nn.input(height=2, width=2, channels=1)
    for pooling, corner in (
        (nn.average_pooling(2, pad=1), 1.0),
        (nn.average_pooling(2, pad=1, count_padding=True), 0.25),
        (nn.l2_pooling(2, pad=1), 1.0),
    ):
        (found,) = nn.sequential([image, pooling]).network.run({"input-1": x}).values()
        assert found[0, 0, 0, 0] == pytest.approx(corner)


def test_l2_pooling_of_zeros_has_a_slope() -> None:
    model = nn.sequential([nn.input(4), nn.linear(4, initial={"kernel": "zeros"}),
                           nn.reshape((4, 1)), nn.l2_pooling(2)])  # fmt: skip
    trainer = Trainer(model, sgd(0.1))
    trainer.step(drawn(model))
    assert np.isfinite(trainer.parameters.flat).all()


def test_a_pad_is_zero_and_is_not_learnt() -> None:
    model = nn.sequential([IDS, nn.embedding(vocabulary=3, units=2, pad=1)])
    ids = np.array([[0, 1, 1, 2]])
    trainer = Trainer(model, sgd(1.0))
    table = model.network.parameters["embedding-1/table/table"].copy()
    trainer.step({"input-1": ids, "embedding-1:target": np.ones((1, 4, 2))})
    moved = trainer.network.parameters["embedding-1/table/table"] != table
    assert moved.all(axis=1).tolist() == [True, False, True]
    found = model.network.run({"input-1": ids})["embedding-1"]
    assert not found[0, 1].any()


def test_a_normalized_layer_reads_its_inputs_through_another_kernel() -> None:
    model = nn.sequential([SEQUENCE, nn.recurrent(2, normalize=True, l2=0.1, name="r")])
    trainer = Trainer(model, sgd(0.5))
    before = {name: array.copy() for name, array in trainer.network.parameters.items()}
    trainer.step(drawn(model))
    after = trainer.network.parameters
    assert before["r/product/kernel"].shape == (3, 2)
    assert (after["r/product/kernel"] != before["r/product/kernel"]).all()
    assert {name for name in after if name.endswith("kernel")} == {
        "r/product/kernel",
        "r/recurrent_kernel",
    }
    assert model.treatments["r/product/kernel"].l2 == 0.1


def test_local_contrast_is_what_a_place_has_more_than_its_surroundings() -> None:
    rng = np.random.default_rng(0)
    layers = [
        nn.input(height=12, width=9, channels=3, name="x"),
        nn.lcn(size=5, deviation=1.3, name="y"),
    ]
    network = nn.sequential(layers).network
    x = rng.normal(size=(2, 12, 9, 3)) * [1, 2, 3] + 7

    def around(image: Any) -> Any:
        found = np.zeros(image.shape[:2])
        for i, j in np.ndindex(found.shape):
            near = [
                (np.exp(-((i - a) ** 2 + (j - b) ** 2) / (2 * 1.3**2)), image[a, b].mean())
                for a, b in np.ndindex(found.shape)
                if abs(i - a) <= 2 and abs(j - b) <= 2
            ]
            found[i, j] = sum(w * n for w, n in near) / sum(w for w, _ in near)
        return found[..., None]

    for image, y in zip(x, network.run({"x": x}, dtype=np.float64)["y"], strict=True):
        v = image - around(image)
        contrast = np.sqrt(around(v**2))
        np.testing.assert_allclose(y, v / np.maximum(contrast, contrast.mean()), rtol=1e-6)
    even = network.run({"x": np.full((1, 12, 9, 3), 5.0)}, dtype=np.float64)["y"]
    np.testing.assert_allclose(even, 0, atol=1e-6)


def test_options_of_a_layer() -> None:
    model = nn.sequential(
        [
            nn.input(3),
            nn.linear(4, name="a", frozen=True),
            nn.linear(2, name="b", rate_factor=0.5, l2=0.1, l1=0.2, max_norm=3.0),
        ]
    )
    assert model.frozen == {"a"}
    kernel, bias = model.treatments["b/kernel"], model.treatments["b/bias"]
    assert (kernel.factor, kernel.l1, kernel.l2, kernel.max_norm) == (0.5, 0.2, 0.1, 3.0)
    assert (bias.factor, bias.l1, bias.l2, bias.max_norm) == (0.5, 0.0, 0.0, None)
    assert "a/kernel" not in model.treatments


def test_parameters_begin_as_told() -> None:
    kernel = np.arange(6.0).reshape(3, 2)
    model = nn.sequential([nn.input(3), nn.linear(2, initial={"kernel": kernel, "bias": "ones"})])
    assert (model.network.parameters["linear-1/kernel"] == kernel).all()
    assert (model.network.parameters["linear-1/bias"] == 1).all()
    model.network.parameters["linear-1/kernel"][...] = 0  # a copy of what was given
    assert kernel.any()


def test_the_forget_gate_begins_open() -> None:
    model = nn.sequential([SEQUENCE, nn.lstm(2), nn.linear(1)])
    assert model.network.parameters["lstm-1/bias"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    recurrent = model.network.parameters["lstm-1/recurrent_kernel"]
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(2), atol=1e-6)


def test_names_and_options() -> None:
    assert LAYERS["dense"] is LAYERS["linear"]
    assert options(nn.linear(3, l2=0.1)) == {"units": 3, "l2": 0.1}
    with pytest.raises(AttributeError, match="has no layer 'nonsense'"):
        _ = nn.nonsense


ERRORS: dict[str, tuple[Sequence[Any], str]] = {
    "nothing": ([], "there are no layers"),
    "no input": ([nn.linear(3)], "layer 'linear-1': nothing comes before it"),
    "no layer": ([VECTOR, "relu"], "'relu' is no layer"),
    "unknown input": ([VECTOR, nn.linear(2, inputs=("x",))], "no layer before it is called 'x'"),
    "name twice": ([VECTOR, nn.relu(name="a"), nn.relu(name="a")], "layer 'a': the name is used"),
    "no size": ([nn.input()], r"layer 'input-1' \(input\): give its size"),
    "does not fit": ([VECTOR, nn.max_pooling(2)], "layer 'max_pooling-1'"),
    "too large": ([IMAGE, nn.conv(9, filters=2)], "layer 'convolutional-1': convolution"),
    "sizes": ([IMAGE, nn.conv((3, 3, 3), filters=2)], "layer 'convolutional-1'.*spatial axes"),
    "bias and norm": ([VECTOR, nn.linear(2, bias=True, normalize=True)], "linear-1.*not both"),
    "activation": ([VECTOR, nn.linear(2, activation="rely")], "no activation is called 'rely'"),
    "initialiser": ([VECTOR, nn.linear(2, initial={"kernel": "x"})], "linear-1/kernel.*called 'x'"),
    "no such parameter": ([VECTOR, nn.linear(2, initial={"w": 1})], "has no parameter 'w'"),
    "initial shape": (
        [VECTOR, nn.linear(2, initial={"kernel": np.ones(3)})],
        r"linear-1/kernel': it begins as \(3,\)",
    ),
    "tied to nothing": ([VECTOR, nn.linear(2, tied="x")], "linear-1.*called 'x'"),
    "tied to another size": (
        [VECTOR, nn.linear(2, name="a"), nn.linear(5, tied="a")],
        "linear-1.*a/kernel' is shared",
    ),
    "shares with another": (
        [VECTOR, nn.linear(2, name="a"), nn.linear(2, shares="a")],
        "linear-1.*is shared",
    ),
    "dropout": ([VECTOR, nn.dropout()], r"dropout-1 .*give either rate|dropout-1.*either rate"),
    "both": ([VECTOR, nn.dropout(rate=0.1, keep=0.9)], "either rate"),
    "all": ([VECTOR, nn.dropout(rate=1.0)], "part of 1.0"),
    "variance": ([VECTOR, nn.multiplicative_dropout(variance=-1.0)], "variance of -1.0"),
    "even lcn": ([IMAGE, nn.lcn(size=4)], "lcn|local_contrast.*none in the middle"),
    "flat lcn": ([IMAGE, nn.lcn(deviation=0.0)], "deviation of 0.0 is not positive"),
    "regions of one input": ([IMAGE, nn.roi_pooling()], "roi_pooling-1.*images and regions"),
    "three numbers a region": (
        [IMAGE, nn.input(shape=(2, 3), name="r"), nn.roi_pooling(inputs=("input-1", "r"))],
        "roi_pooling-1.*four numbers a region",
    ),
    "no sequence to normalize": ([VECTOR, nn.recurrent(2, normalize=True)], "a batch of sequences"),
    "even lrn": ([IMAGE, nn.lrn(size=4)], "lrn|local_response.*none in the middle"),
    "lost axis": ([VECTOR, nn.slice(0, 2, axis=0)], "slice-1.*no axis 0"),
    "join": ([VECTOR, nn.linear(2), nn.join("x", inputs=("input-1",))], "operation 'x' is none"),
    "join images": (
        [IMAGE, nn.max_pooling(2, name="a"), nn.join("+", inputs=("input-1", "a"))],
        "layer 'join-1'",
    ),
    "inside a residual": (
        [VECTOR, nn.residual([nn.linear(3)])],
        "layer 'residual-1'",
    ),
    "inside a branch": ([VECTOR, nn.branch([[nn.max_pooling(2)], []])], "branch-1/max_pooling-1"),
    "one branch": ([VECTOR, nn.branch([[]])], "nothing to be joined"),
    "no branch": ([VECTOR, nn.branch([])], "no branches"),
    "no sequence": ([VECTOR, nn.lstm(2)], "layer 'lstm-1'"),
    "collapse": ([VECTOR, nn.collapse()], "needs a sequence"),
    "both ways": ([SEQUENCE, nn.gru(2, bidirectional="+", stateful=True)], "gru-1.*no states"),
    "cell": ([SEQUENCE, nn.gru(2, activation="x")], "gru-1.*no cell knows the activation 'x'"),
    "states of whom": ([SEQUENCE, nn.gru(2, states_from="x")], "gru-1.*called 'x'"),
    "states of no cell": (
        [SEQUENCE, nn.linear(3, name="a", flatten=False), nn.gru(3, states_from="a")],
        "gru-1.*'a' has not its states",
    ),
}


@pytest.mark.parametrize(
    ("loss", "layers", "follows"),
    [
        (CrossEntropy(), [nn.linear(3, name="o")], "dense puts out any numbers; let a softmax"),
        (CrossEntropy(ids=True), [nn.linear(3), nn.log_softmax(name="o")], "log_softmax puts out"),
        (KullbackLeibler(), [nn.linear(3, name="o")], "let a softmax follow"),
        (BinaryCrossEntropy(), [nn.linear(3, name="o")], "let a logistic follow"),
        (BinaryCrossEntropy(), [nn.linear(3), nn.tanh(name="o")], "let a logistic follow"),
        (NegativeLogLikelihood(), [nn.linear(3), nn.softmax(name="o")], "let a log_softmax follow"),
        (NegativeLogLikelihood(), [nn.linear(3, name="o")], "let a log_softmax follow"),
    ],
)
def test_a_loss_of_probabilities_wants_some(loss: Loss, layers: list[Any], follows: str) -> None:
    with pytest.raises(GraphError, match=f"the loss on 'o'.*{follows}"):
        nn.sequential([VECTOR, *layers], terms=[Term(loss, "o")])


@pytest.mark.parametrize(
    ("layers", "message"), [pytest.param(*case, id=name) for name, case in ERRORS.items()]
)
def test_errors_name_the_layer(layers: Sequence[Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        nn.sequential(layers)
