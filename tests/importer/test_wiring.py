"""Every way in which Keras has written down which layer is called on what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.importer import load
from cortex.runtime.errors import CortexError, UnreadableFile, Unsupported

from .keras_files import dense_arrays, entry, functional, given, link, write

ARRAYS = {"a": dense_arrays(4, 4, 1), "b": dense_arrays(4, 2, 2)}


def dense(name: str, units: int, *inbound: Any) -> Any:
    options = {"units": units, "activation": "linear", "use_bias": True, "trainable": True}
    return entry("Dense", name, *inbound, **options)


def tensor(name: str, call: int = 0) -> Any:
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 4], "dtype": "float32", "keras_history": [name, call, 0]},
    }


def sequential(first: dict[str, Any], wrap: bool) -> Any:
    layers = [
        {"class_name": "Dense", "config": {**dense("a", 4)["config"], **first}},
        {"class_name": "Dense", "config": dense("b", 2)["config"]},
    ]
    return {"class_name": "Sequential", "config": {"layers": layers} if wrap else layers}


def expected(x: Any) -> Any:
    a, b = ARRAYS["a"], ARRAYS["b"]
    return (x @ a["kernel:0"] + a["bias:0"]) @ b["kernel:0"] + b["bias:0"]


SAME: dict[str, tuple[Any, str, str]] = {
    "list-form Sequential": (
        sequential({"batch_input_shape": [None, 4]}, False),
        "a_input",
        "2.1.3",
    ),
    "dict-form Sequential": (
        sequential({"batch_input_shape": [None, 4]}, True),
        "a_input",
        "2.2.4",
    ),
    "Sequential with a build shape": (
        {
            "class_name": "Sequential",
            "config": {**sequential({}, True)["config"], "build_input_shape": [None, 4]},
        },
        "a_input",
        "3.1.0",
    ),
    "quadruples": (
        functional(given(), dense("a", 4, link("x")), dense("b", 2, link("a"))),
        "x",
        "2.4.0",
    ),
    "triples": (
        functional(given(), dense("a", 4, [["x", 0, 0]]), dense("b", 2, [["a", 0, 0]])),
        "x",
        "2.0.1",
    ),
    "bare quadruple": (
        functional(given(), dense("a", 4, ["x", 0, 0, {}]), dense("b", 2, link("a"))),
        "x",
        "2.11.0",
    ),
    "Keras 3": (
        functional(
            given(),
            dense("a", 4, {"args": [tensor("x")], "kwargs": {}}),
            dense("b", 2, {"args": [tensor("a")], "kwargs": {"mask": None, "training": False}}),
        ),
        "x",
        "3.4.1",
    ),
    "layers out of order": (
        functional(given(), dense("b", 2, link("a")), dense("a", 4, link("x")), outputs=["b"]),
        "x",
        "2.4.0",
    ),
    "node numbers of a cut-out model": (
        functional(given(), dense("a", 4, link("x")), dense("b", 2, [["a", 3, 0, {}]])),
        "x",
        "2.4.0",
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_reads_as_the_same_network(case: str, tmp_path: Path) -> None:
    architecture, input_name, version = SAME[case]
    network = load(write(tmp_path / "model.h5", architecture, ARRAYS, version)).network
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    assert list(network.graph.inputs) == [input_name]
    found = network.run({input_name: x})
    assert list(found) == ["b"]
    np.testing.assert_allclose(found["b"], expected(x), rtol=1e-5, atol=1e-5)


def test_one_triple_for_inputs_and_outputs(tmp_path: Path) -> None:
    architecture = functional(given(), dense("a", 4, link("x")))
    architecture["config"] |= {"input_layers": ["x", 0, 0], "output_layers": ["a", 0, 0]}
    network = load(write(tmp_path / "model.h5", architecture, ARRAYS)).network
    assert network.graph.outputs.keys() == {"a"}


def test_a_layer_called_twice_shares_its_arrays(tmp_path: Path) -> None:
    architecture = functional(
        given("x"),
        given("y"),
        dense("a", 4, link("x"), link("y")),
        entry("Subtract", "difference", [["a", 0, 0, {}], ["a", 1, 0, {}]]),
        inputs=["x", "y"],
    )
    network = load(write(tmp_path / "model.h5", architecture, ARRAYS)).network
    assert network.parameters.keys() == {"a/kernel", "a/bias"}
    assert list(network.graph.layers) == ["x", "y", "a", "a:1", "difference"]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 4)).astype(np.float32)
    found = network.run({"x": x, "y": y}, ["a", "a:1", "difference"])
    np.testing.assert_allclose(found["difference"], found["a"] - found["a:1"], atol=1e-6)
    np.testing.assert_allclose(found["difference"], (x - y) @ ARRAYS["a"]["kernel:0"], atol=1e-5)


def test_open_axes_have_names_of_their_own(tmp_path: Path) -> None:
    architecture = functional(
        given("x", None, 4),
        given("images", None, 8, 4),
        dense("a", 4, link("x")),
        dense("b", 2, link("images")),
        inputs=["x", "images"],
        outputs=["a", "b"],
    )
    graph = load(write(tmp_path / "model.h5", architecture, ARRAYS)).network.graph
    assert graph.inputs["x"].shape == ("N", "T", 4)
    assert graph.inputs["images"].shape == ("N", "H1", 8, 4)


REFUSED: dict[str, tuple[Any, type[CortexError], str]] = {
    "unknown class of model": (
        {"class_name": "Graph", "config": {}},
        Unsupported,
        "class 'Graph'; known are Sequential",
    ),
    "unknown layers, all of them": (
        functional(given(), entry("Lambda", "f", link("x")), entry("Mystery", "g", link("f"))),
        Unsupported,
        r"no converter for the Keras layers Lambda \('f'\), Mystery \('g'\)",
    ),
    "a circle": (
        functional(given(), dense("a", 4, link("b")), dense("b", 4, link("a")), outputs=["b"]),
        UnreadableFile,
        "go in a circle: (a → b → a|b → a → b)",
    ),
    "a layer that is not there": (
        functional(given(), dense("a", 4, link("ghost"))),
        UnreadableFile,
        "'ghost' is used, but there is none",
    ),
    "an input that is not there": (
        functional(dense("a", 4, link("x")), inputs=["nobody"]),
        UnreadableFile,
        "'nobody'|'x' is used",
    ),
    "more calls used than listed": (
        functional(
            given(),
            dense("a", 4, link("x")),
            entry("Add", "sum", [["a", 2, 0, {}], ["a", 5, 0, {}]]),
        ),
        UnreadableFile,
        "layer 'a': used as 2 calls, but it has 1",
    ),
    "the second output of a layer that has one": (
        functional(given(), dense("a", 4, link("x")), dense("b", 2, [["a", 0, 1, {}]])),
        UnreadableFile,
        "layer 'b' needs 'a#1', which no layer computes",
    ),
    "two layers of one name": (
        functional(given(), dense("a", 4, link("x")), dense("a", 4, link("x"))),
        UnreadableFile,
        "two layers are called 'a'",
    ),
    "no shape": (sequential({}, False), UnreadableFile, "the model does not say its shape"),
    "a constant among the arguments": (
        functional(given(), dense("a", 4, {"args": [tensor("x"), 3.0], "kwargs": {}})),
        Unsupported,
        "it is called with 3.0, which is no tensor",
    ),
    "dropout that stays on": (
        functional(given(), entry("Dropout", "d", [["x", 0, 0, {"training": True}]], rate=0.5)),
        Unsupported,
        "Keras Dropout 'd': it sets training=True, which would be lost",
    ),
    "a sparse input": (
        functional(given(sparse=True), dense("a", 4, link("x"))),
        Unsupported,
        "sparse inputs are not",
    ),
    "an input of strings": (
        functional(
            {**given(), "config": {**given()["config"], "dtype": "string"}},
            dense("a", 4, link("x")),
        ),
        UnreadableFile,
        "its input 'x' holds strings",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused(case: str, tmp_path: Path) -> None:
    architecture, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        load(write(tmp_path / "model.h5", architecture, {"a": ARRAYS["a"]}))
