"""Strings in a network, in its graph, and in the files that hold what is to come of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.runtime import ops
from cortex.runtime.check import Check, Recorded, Statistics, difference
from cortex.runtime.errors import GraphError, UnreadableFile, UsageError
from cortex.runtime.ir import Graph, Node
from cortex.runtime.network import Network
from cortex.runtime.op import Operation
from cortex.runtime.repository import read_check, write_check
from cortex.runtime.tensor import STRING, Tensor
from cortex.runtime.text import LENGTHS, with_strings, without_strings
from cortex.runtime.weights import write

Array = Any
WORDS = np.array([["", "é"], ["a\0b", "日本"]], object)


def one(op: Operation, *inputs: Tensor) -> Graph:
    """A graph of one node."""
    names = [f"x{i}" for i, _ in enumerate(inputs)]
    return Graph(dict(zip(names, inputs, strict=True)), (Node("y", op, tuple(names)),), {"y": "y"})


def test_a_network_of_strings_runs_through_views() -> None:
    nodes = (
        Node("flat", ops.Flatten(), ("x",)),
        Node("small", ops.Lower(), ("flat",)),
        Node("wide", ops.Reshape((2, 1)), ("small",)),
        Node("ids", ops.LookupText(("a",), (7,), 1), ("wide",)),
    )
    network = Network(Graph({"x": Tensor(("N", 2), STRING)}, nodes, {"ids": "ids"}), {})
    found = network.run({"x": np.array([["A", "b"], ["c", "a"]])}, ["wide", "ids"])
    assert found["wide"].tolist() == [[["a"], ["b"]], [["c"], ["a"]]]
    assert found["ids"].tolist() == [[[7], [1]], [[1], [7]]]


@pytest.mark.parametrize("x", [np.array([1.0]), np.array([b"a"]), np.array(["a", None], object)])
def test_a_network_of_strings_wants_strings(x: Array) -> None:
    with pytest.raises(UsageError, match=r"input 'x0': its elements are .*, expected strings"):
        Network(one(ops.Lower(), Tensor(("N",), STRING)), {}).run({"x0": x})


TEXT, NUMBERS = Tensor(("N",), STRING), Tensor(("N",), "int64")
MISFITS = {
    "numbers of strings": (ops.Cast("float"), TEXT, "holds strings, but cast computes with"),
    "strings of numbers": (ops.Lower(), NUMBERS, "needs strings, given are elements of int64"),
    "no characters": (ops.RemoveCharacters(""), TEXT, "no characters to remove"),
    "no length": (ops.SplitText(0), TEXT, "a length of 0 leaves nothing"),
    "no depth": (ops.CountWords(("a",), (0,), 0, 0), TEXT, "a depth of 0 leaves nothing"),
    "no table": (ops.LookupText((), (), 0), TEXT, "0 keys for 0 values"),
    "a key twice": (ops.LookupText(("a", "a"), (1, 2), 0), TEXT, "a key has two values"),
    "no text": (ops.TextOf((1,), ("\ud800",), ""), NUMBERS, "is no text in UTF-8"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_an_operation_refuses(case: str) -> None:
    op, x, message = MISFITS[case]
    with pytest.raises(GraphError, match=message):
        one(op, x)


def test_strings_are_the_same_or_not() -> None:
    assert difference(WORDS, WORDS.copy()).within(0)
    assert not difference(WORDS, np.where(WORDS == "é", "e", WORDS)).within(1)
    assert not difference(WORDS, np.zeros((2, 2))).within(1)
    assert Statistics.of(WORDS).shape == (2, 2)


def test_a_check_holds_strings(tmp_path: Path) -> None:
    numbers = Recorded.of(np.arange(3.0))
    check = Check({"x": WORDS}, {"y": Recorded.of(WORDS)}, {"x": Recorded.of(WORDS), "z": numbers})
    write_check(tmp_path / "check.safetensors", check)
    found = read_check(tmp_path / "check.safetensors")
    np.testing.assert_array_equal(found.inputs["x"], WORDS)
    assert found.outputs["y"].difference(WORDS).within(0)
    assert found.layers["x"].difference(WORDS).within(0)
    assert found.layers["z"].difference(np.arange(3.0)).within(0)


def test_strings_of_any_shape_become_numbers_and_strings_again() -> None:
    for array in (WORDS, np.empty((0, 2), object), np.array("é", object)):
        stored = without_strings({"x": array, "n": np.arange(2)})
        assert all(part.dtype != object for part in stored.values())
        np.testing.assert_array_equal(with_strings(stored)["x"], array)


DAMAGED = {
    "too short": {"inputs/x": np.array([97], np.uint8), LENGTHS + "inputs/x": np.array([2])},
    "negative": {"inputs/x": np.array([97], np.uint8), LENGTHS + "inputs/x": np.array([2, -1])},
    "no UTF-8": {"inputs/x": np.array([255], np.uint8), LENGTHS + "inputs/x": np.array([1])},
    "of nothing": {LENGTHS + "inputs/x": np.array([1])},
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_check_of_strings(case: str, tmp_path: Path) -> None:
    write(tmp_path / "check.safetensors", DAMAGED[case], {})
    with pytest.raises(UnreadableFile, match="a damaged check file"):
        read_check(tmp_path / "check.safetensors")
