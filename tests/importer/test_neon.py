"""Networks of neon: pickles as neon wrote them, against what neon computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cortex.importer import load
from cortex.importer.source import Reading
from cortex.runtime.errors import UnreadableFile, Unsupported, UsageError

from . import neon_reference
from .neon_files import layer, merge, model, transform, write

Array = NDArray[Any]
RNG = np.random.default_rng(7)
ROWS = 3


def drawn(*shape: int) -> Array:
    return (RNG.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)


def w(*shape: int) -> dict[str, Array]:
    """The params of a layer that has one matrix."""
    return {"W": drawn(*shape)}


def linear(name: str, units: int, inputs: int) -> dict[str, Any]:
    return layer("Linear", name, nout=units, init=transform("Gaussian"), params=w(units, inputs))


def norm(name: str, size: int, **config: Any) -> dict[str, Any]:
    params = {key: drawn(size, 1) for key in ("beta", "gamma", "gmean")}
    return layer("BatchNorm", name, params={**params, "gvar": drawn(size, 1) ** 2 + 0.1}, **config)


def conv(name: str, c: int, r: int, s: int, k: int, **config: Any) -> dict[str, Any]:
    return layer("Convolution", name, fshape=(r, s, k), params=w(c * r * s, k), **config)


def act(name: str, kind: str, **config: Any) -> dict[str, Any]:
    return layer("Activation", name, transform=transform(kind, **config))


def rnn(kind: str, name: str, inputs: int, units: int, **config: Any) -> dict[str, Any]:
    gates = {"Recurrent": 1, "LSTM": 4, "GRU": 3, "BiRNN": 1, "BiLSTM": 4}[kind]
    ways = 2 if kind.startswith("Bi") else 1
    share = inputs // 2 if config.get("split_inputs") else inputs
    given = {"activation": transform("Tanh"), "reset_cells": True}
    if gates > 1:
        given["gate_activation"] = transform("Logistic")
    params = w(ways * (share + units + 1), gates * units)
    return layer(kind, name, output_size=units, params=params, **(given | config))


@dataclass(frozen=True)
class Net:
    """Layers, the shape of an example as neon has it, and whether it is to do as Caffe."""

    layers: Sequence[Any]
    shape: Any
    caffe: bool = False
    ids: int = 0


MLP = Net(
    [
        layer("DataTransform", "scaled", transform=transform("Normalizer", divisor=2.0)),
        linear("fc1", 6, 12),
        layer("Bias", "fc1_bias", init=transform("Constant"), params=w(6, 1)),
        act("fc1_Rectlin", "Rectlin", slope=0.1),
        layer("Dropout", "drop", keep=0.8),
        linear("fc2", 5, 6),
        norm("fc2_bnorm", 5, rho=0.95, eps=1e-2),
        act("fc2_Explin", "Explin", alpha=0.7),
        linear("fc3", 4, 5),
        act("prob", "Softmax"),
    ],
    (3, 2, 2),
)

NETWORKS: Mapping[str, Net] = {
    "mlp": MLP,
    "mlp as caffe": Net(MLP.layers, MLP.shape, caffe=True),
    "flat": Net([linear("a", 3, 5), act("b", "Logistic")], 5),
    "flat with a step": Net([linear("a", 3, 5), act("b", "Identity")], (5, 1)),
    "cnn": Net(
        [
            conv("conv1", 2, 3, 2, 4, padding=1, strides={"str_h": 2, "str_w": 1}),
            layer("Bias", "conv1_bias", params=w(4, 1)),
            norm("conv1_bnorm", 4),
            act("conv1_Rectlinclip", "Rectlinclip", xcut=0.5, slope=0.2),
            layer("Pooling", "pool", fshape=2, op="max"),
            layer("LRN", "lrn", depth=3, ascale=0.2, bpower=0.75),
            layer(
                "Convolution_bias",
                "conv2",
                fshape=(2, 2, 3),
                padding={"pad_h": 1, "pad_w": 2},
                dilation={"dil_w": 2},
                bias=transform("Constant"),
                params=w(16, 3) | {"weight_bias": drawn(3, 1)},
            ),
            layer("Pooling", "mean", fshape=(2, 3), op="avg", strides=1, padding=1),
            linear("fc", 4, 3 * 4 * 6),
        ],
        (2, 9, 8),
    ),
    "deconvolution": Net(
        [
            layer(
                "Deconvolution", "up", fshape=(3, 2, 4), strides=2, padding=1, params=w(24, 2)
            ),
            layer("Bias", "up_bias", params=w(4, 1)),
            act("pixels", "PixelwiseSoftmax", c=4),
            act("all", "Softmax"),
        ],
        (2, 3, 4),
    ),
    **{
        f"pooling {op} {shape} {size} {config}": Net(
            [layer("Pooling", "pool", fshape=size, op=op, **config)], shape, caffe=True
        )
        for op in ("max", "avg")
        for shape, size, config in (
            ((2, 7, 6), 3, {"strides": 2}),
            ((1, 6, 6), 3, {"strides": 2, "padding": 1}),
            ((1, 5, 8), (2, 3), {"strides": 3, "padding": 1}),
            ((1, 5, 4), 2, {}),
            ((2, 4, 3), "all", {}),
        )
    },
    **{
        kind: Net(
            [rnn(kind, "rnn", 4, 3), linear("out", 5, 3 * (1 + kind.startswith("Bi")))],
            (4, 6),
        )
        for kind in ("Recurrent", "LSTM", "GRU", "BiRNN", "BiLSTM")
    },
    "other activations": Net(
        [
            rnn("Recurrent", "a", 4, 3, activation=transform("Rectlin")),
            rnn("Recurrent", "b", 3, 4, activation=transform("Rectlinclip", xcut=6)),
            rnn("BiRNN", "c", 4, 2, activation=transform("Logistic"), split_inputs=True),
            layer("BiSum", "sum"),
            layer("RecurrentMean", "mean"),
        ],
        (4, 5),
    ),
    "words": Net(
        [
            layer("LookupTable", "words", vocab_size=9, embedding_dim=4, params=w(9, 4)),
            rnn("LSTM", "lstm", 4, 3),
            layer("RecurrentLast", "last"),
            linear("out", 2, 3),
        ],
        (7, 1),
        ids=9,
    ),
    "sum of steps": Net([rnn("GRU", "g", 3, 2), layer("RecurrentSum", "sum")], (3, 4)),
    "an image as a series": Net(
        [conv("conv", 1, 3, 3, 2, padding=1), rnn("BiLSTM", "lstm", 8, 2)], (1, 4, 5)
    ),
    "reshape": Net(
        [
            layer("Reshape", "image", reshape=(2, -1, 3)),
            conv("conv", 2, 2, 2, 3),
            layer("Reshape", "series", reshape=(3, 2)),
            rnn("Recurrent", "rnn", 3, 2),
            layer("Reshape", "flat", reshape=4),
        ],
        (12,),
    ),
    "residual": Net(
        [
            merge(
                "MergeSum",
                "sum",
                [conv("a", 2, 3, 3, 2, padding=1), act("b", "Rectlin")],
                [layer("SkipNode", "skip")],
            ),
            act("c", "Tanh"),
        ],
        (2, 4, 4),
    ),
    "inception": Net(
        [
            merge(
                "MergeBroadcast",
                "depth",
                [conv("a", 2, 1, 1, 3)],
                [conv("b", 2, 1, 1, 1)],
                merge="depth",
            ),
            merge(
                "MergeBroadcast",
                "stack",
                [linear("c", 3, 36), linear("d", 2, 3)],
                [layer("SkipNode", "e")],
                merge="stack",
            ),
        ],
        (2, 3, 3),
    ),
    "steps after steps": Net(
        [
            merge(
                "MergeBroadcast", "both", [rnn("GRU", "a", 3, 2)], [rnn("GRU", "b", 3, 2)],
                merge="recurrent",
            )
        ],
        (3, 4),
    ),
}  # fmt: skip


def given(net: Net) -> Array:
    """An example for each row, the batch last."""
    shape = (net.shape,) if isinstance(net.shape, int) else net.shape
    if net.ids:
        return RNG.integers(0, net.ids, (shape[0], ROWS))
    if len(shape) == 2 and shape[1] == 1:
        shape = shape[:1]
    return RNG.normal(size=(*shape, ROWS)).astype(np.float32)


def agrees(path: Path, net: Net, **options: Any) -> None:
    """Whether every layer computes what neon does."""
    x, network = given(net), load(path, **options).network
    wanted = neon_reference.run(net.layers, x, caffe=net.caffe)
    found = network.run({"input": neon_reference.shown(x)}, list(network.graph.layers))
    # neon adds a bias in place: the product and its bias are one value.
    kinds = [(each["type"].rsplit(".")[-1], each["config"]["name"]) for each in net.layers]
    biased = {a[1]: b[1] for a, b in pairwise(kinds) if b[0] == "Bias"}
    assert found.keys() == wanted.keys() - {""}
    for name, value in found.items():
        expected = neon_reference.shown(wanted[biased.get(name, name)])
        atol = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(value, expected, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("name", NETWORKS)
def test_computes_what_neon_does(name: str, tmp_path: Path) -> None:
    net = NETWORKS[name]
    mode = "caffe" if net.caffe else "neon"
    agrees(write(tmp_path / "net.prm", model(net.layers, net.shape, mode=mode)), net)


def test_the_two_engines_agree(tmp_path: Path) -> None:
    for name in ("cnn", "GRU", "BiLSTM", "inception", "deconvolution"):
        net = NETWORKS[name]
        imported = load(write(tmp_path / "net.prm", model(net.layers, net.shape)))
        assert imported.report.agrees
        assert imported.report.source.format == "neon 2.6.0"


def test_the_length_of_a_series_is_open(tmp_path: Path) -> None:
    net = NETWORKS["LSTM"]
    network = load(write(tmp_path / "net.prm", model(net.layers, net.shape))).network
    x = RNG.normal(size=(2, 9, 4)).astype(np.float32)
    whole = network.run({"input": x})["out"]
    np.testing.assert_allclose(network.run({"input": x[:, :3]})["out"], whole[:, :3], atol=1e-6)


@pytest.mark.parametrize("kind", ["Recurrent", "LSTM", "GRU", "BiLSTM"])
def test_a_layer_that_keeps_its_cells(kind: str, tmp_path: Path) -> None:
    """What neon does unless it is told otherwise; the first batch begins with zeros."""
    made = rnn(kind, "rnn", 3, 2, reset_cells=False)
    net = Net([made], (3, 4))
    network = load(write(tmp_path / "net.prm", model(net.layers, net.shape))).network
    x = given(net)
    states = dict.fromkeys(network.graph.states, np.zeros((ROWS, 2), np.float32))
    assert len(states) == {"Recurrent": 1, "GRU": 1, "LSTM": 2, "BiLSTM": 4}[kind]
    first = network.run({"input": neon_reference.shown(x), **states})
    expected = neon_reference.shown(neon_reference.run(net.layers, x)["rnn"])
    np.testing.assert_allclose(first["rnn"], expected, atol=1e-6)
    if kind.startswith("Bi"):
        return
    kept = {held: first[name] for held, name in network.graph.states.items()}
    second = network.run({"input": neon_reference.shown(x), **kept})["rnn"]
    both = neon_reference.run(net.layers, np.concatenate([x, x], 1))["rnn"]
    np.testing.assert_allclose(second, neon_reference.shown(both)[:, 4:], atol=1e-6)


def tree(kind: str) -> list[Any]:
    trunk = [linear("a", 4, 3), layer("BranchNode", "fork"), act("b", "Tanh"), linear("c", 2, 4)]
    return [merge(kind, "tree", trunk, [layer("BranchNode", "fork"), linear("d", 5, 4)])]


@pytest.mark.parametrize(("kind", "outputs"), [("Tree", ["c", "d"]), ("SingleOutputTree", ["c"])])
def test_a_tree(kind: str, outputs: list[str], tmp_path: Path) -> None:
    net = Net(tree(kind), (3,))
    network = load(write(tmp_path / "x.prm", model(net.layers, 3, root=kind))).network
    x = given(net)
    wanted, found = neon_reference.run(net.layers, x), network.run({"input": x.T})
    assert [*found] == outputs
    for name in outputs:
        np.testing.assert_allclose(found[name], wanted[name].T, atol=1e-6)
    assert set(network.graph.layers) == {"a", "fork", "b", "c", "d"}


PLAIN = [linear("fc", 2, 3)]


def changed(made: Mapping[str, Any], **config: Any) -> dict[str, Any]:
    return {**made, "config": {**made["config"], **config}}


REFUSED: Mapping[str, tuple[Sequence[Any], Any, str]] = {
    "unknown layers": (
        [*PLAIN, layer("Sketch", "a"), layer("RoiPooling", "b")],
        3,
        "no converter for the layers RoiPooling, Sketch",
    ),
    "an option that nothing reads": (
        [changed(PLAIN[0], twist=3)],
        3,
        "neon Linear 'fc': it sets twist=3, which would be lost",
    ),
    "an array that nothing reads": (
        [PLAIN[0] | {"params": w(2, 3) | {"V": drawn(1)}}],
        3,
        "an array 'V' that is none of its",
    ),
    "no array": ([PLAIN[0] | {"params": {}}], 3, "its array 'W' is missing"),
    "another shape": (PLAIN, 4, r"its array 'W' is 2 × 3, expected 2 × 4"),
    "another bias": (
        [*PLAIN, layer("Bias", "b", params=w(3, 1))],
        3,
        "its array 'bias' is 3 × 1, expected 2 × 1",
    ),
    "a bias by itself": (
        [act("a", "Tanh"), layer("Bias", "b", params=w(3, 1))],
        3,
        "only a Bias right after Linear, Convolution, Deconvolution",
    ),
    "a bias without weights": ([*PLAIN, layer("Bias", "b")], 3, "its array 'W' is missing"),
    "no units": ([changed(PLAIN[0], nout=0)], 3, "nout is 0, expected a whole number from 1 on"),
    "an activation": ([act("a", "Sign")], 3, "transform 'Sign' is not supported"),
    "an activation's option": ([act("a", "Tanh", steep=2)], 3, "Tanh: it sets steep=2"),
    "a softmax over the batch": ([act("a", "Softmax", axis=1)], 3, "axis 1 is not supported"),
    "a cell's activation": (
        [rnn("LSTM", "a", 3, 2, activation=transform("Rectlinclip"))],
        (3, 4),
        "activation .* is not supported",
    ),
    "a cell's gates": (
        [rnn("GRU", "a", 3, 2, gate_activation=transform("Tanh"))],
        (3, 4),
        "gate_activation .* is not supported",
    ),
    "a dropout of all": ([layer("Dropout", "d", keep=0.0)], 3, "keep 0.0 is not supported"),
    "a pooling": ([layer("Pooling", "p", fshape=2, op="l2")], (1, 4, 4), "op 'l2'"),
    "a window": ([layer("Pooling", "p", fshape={"R": 2})], (1, 4, 4), "fshape"),
    "pooling across channels": (
        [layer("Pooling", "p", fshape={"R": 1, "S": 1, "J": 2})],
        (4, 4, 4),
        "fshape 'J' is not supported",
    ),
    "a stride of a kind": (
        [conv("c", 1, 2, 2, 3, strides={"str_q": 2})],
        (1, 4, 4),
        "strides .* is not supported",
    ),
    "a convolution of a vector": ([conv("c", 1, 2, 2, 3)], 5, "it needs an image"),
    "a window larger than its input": ([conv("c", 1, 5, 5, 3)], (1, 4, 4), "layer 'c'"),
    "a binary normalization": ([norm("n", 3, binary=True)], 3, "binary True is not supported"),
    "another LRN": ([layer("LRN", "l", depth=3, alpha=2.0)], (3, 2, 2), "alpha 2.0"),
    "a reshape": ([layer("Reshape", "r", reshape=(2, 2))], 5, "layer 'r'"),
    "a merge": ([merge("MergeBroadcast", "m", PLAIN, merge="sum")], 3, "merge 'sum'"),
    "a tree within": ([*tree("Tree"), act("a", "Tanh")], 3, "nothing can follow a Tree"),
    "arrays of one name": (
        [rnn("BiRNN", "a", 3, 2), rnn("Recurrent", "a/forward", 4, 2)],
        (3, 4),
        "another layer has arrays of its name",
    ),
    "no branches": ([layer("MergeSum", "m", layers=[])], 3, "a MergeSum without layers"),
    "no input": (PLAIN, None, "give it by --input-shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_computed_is_refused_by_name(name: str, tmp_path: Path) -> None:
    layers, shape, why = REFUSED[name]
    path = write(tmp_path / "net.prm", model(layers, shape))
    with pytest.raises((UnreadableFile, Unsupported), match=rf"net\.prm.*{why}"):
        load(path)


def test_the_shape_of_an_input_that_no_file_says(tmp_path: Path) -> None:
    path = write(tmp_path / "net.prm", model(PLAIN, None))
    network = load(path, input_shapes={"": (3,)}).network
    assert network.graph.inputs["input"].shape == ("N", 3)
    with pytest.raises(UsageError, match="has one input, 'input'"):
        load(path, input_shapes={"other": (3,)})


def test_layers_of_one_name_are_told_apart(tmp_path: Path) -> None:
    layers = [linear(name, 3, 3) for name in ("a", "a", "a-2", "a", "input")]
    network = load(write(tmp_path / "net.prm", model(layers, 3))).network
    assert [*network.graph.layers] == ["a", "a-2", "a-2-2", "a-3", "input"]
    x, w = RNG.normal(size=(2, 3)).astype(np.float32), [each["params"]["W"] for each in layers]
    wanted = x @ w[0].T @ w[1].T @ w[2].T @ w[3].T @ w[4].T
    np.testing.assert_allclose(network.run({"input": x})["input"], wanted, atol=1e-5)


COST = {
    "type": "neon.layers.layer.GeneralizedCost",
    "config": {"costfunc": {"type": "neon.transforms.cost.CrossEntropyMulti", "config": {}}},
}
RULE = {
    "type": "neon.optimizers.optimizer.GradientDescentMomentum",
    "config": {"learning_rate": 0.1, "momentum_coef": 0.9, "wdecay": 0.001},
}


def test_what_is_said_of_training_goes_along(tmp_path: Path) -> None:
    made = model(MLP.layers, MLP.shape, cost=COST, optimizer=RULE)
    reading = load(write(tmp_path / "net.prm", made)).reading
    assert isinstance(reading, Reading)
    assert reading.training == {
        "losses": [{"loss": {"type": "cross_entropy"}, "on": "prob"}],
        "optimizer": {"type": "sgd", "rate": 0.1, "momentum": 0.9, "weight_decay": 0.001},
    }


def test_a_training_of_a_kind_is_no_reason_to_refuse(tmp_path: Path) -> None:
    made = model(MLP.layers, MLP.shape, cost={"type": "neon.transforms.cost.GANCost"})
    reading = load(write(tmp_path / "net.prm", made)).reading
    assert isinstance(reading, Reading)
    assert reading.training == {}
    assert "the cost 'GANCost' is not supported" in reading.notes[0]
