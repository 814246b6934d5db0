"""Graphs of every format that has ever been stored are read, and compute what they did then.

The files in ``graphs/`` were written by the code of their time: a graph, its parameters, inputs,
and the outputs of then.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.runtime.errors import GraphError, UnreadableFile
from cortex.runtime.ir import Graph
from cortex.runtime.network import Network
from cortex.runtime.upgrade import FORMAT

KEPT = sorted((Path(__file__).parent / "graphs").glob("format-*.json"))


def kept(path: Path) -> Any:
    """A kept file, with its arrays as arrays."""
    stored = json.loads(path.read_text())
    for part in ("parameters", "inputs", "outputs"):
        stored[part] = {name: np.array(value) for name, value in stored[part].items()}
    return stored


def single(arrays: Any) -> Any:
    """Floats in single precision, others as they are."""
    return {n: a.astype(np.float32) if a.dtype.kind == "f" else a for n, a in arrays.items()}


def test_a_file_of_every_format_is_kept() -> None:
    assert {int(path.stem.split("-")[1]) for path in KEPT} == set(range(FORMAT + 1))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_computes_what_it_computed_then(path: Path) -> None:
    stored = kept(path)
    network = Network(Graph.from_json(json.dumps(stored["graph"])), single(stored["parameters"]))
    found = network.run(single(stored["inputs"]))
    for name, expected in stored["outputs"].items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_is_stored_again_in_the_present_format(path: Path) -> None:
    graph = Graph.from_json(json.dumps(kept(path)["graph"]))
    stored = json.loads(graph.to_json())
    assert stored["format"] == FORMAT
    assert Graph.from_json(graph.to_json()) == graph


def test_one_form_of_before_is_the_form_of_now() -> None:
    before, now = (kept(path)["graph"] for path in KEPT[1:])
    assert Graph.from_json(json.dumps(before)) == Graph.from_json(json.dumps(now))


LISTS = kept(KEPT[0])["graph"]
BAD = {
    "an input of three parts": {**LISTS, "inputs": {"x": [["N", 2], "float", 1]}},
    "an input of one part": {**LISTS, "inputs": {"x": [["N", 2]]}},
    "inputs in a list": {**LISTS, "inputs": ["x"]},
    "nodes that are none": {**LISTS, "nodes": [1]},
    "no layers": {name: part for name, part in LISTS.items() if name != "layers"},
    "an operation without a kind": {**LISTS, "nodes": [{**LISTS["nodes"][0], "op": {}}]},
    "an earlier format than the first": {**LISTS, "format": -1},
    "a format that is none": {**LISTS, "format": "one"},
    "a norm without its bound": {
        **LISTS,
        "nodes": [{**LISTS["nodes"][0], "op": {"kind": "l2_normalize", "axes": [-1]}}],
    },
    "a norm with a bound below zero": {
        **LISTS,
        "nodes": [{**LISTS["nodes"][0], "op": {"kind": "l2_normalize", "epsilon": -1}}],
    },
}


@pytest.mark.parametrize("stored", BAD.values(), ids=BAD)
def test_what_is_no_earlier_format_is_one_error(stored: Any) -> None:
    with pytest.raises(GraphError) as raised:
        Graph.from_json(json.dumps(stored))
    assert "\n" not in str(raised.value)


def test_a_newer_format_is_refused_by_its_number(tmp_path: Path) -> None:
    stored = kept(KEPT[-1])
    network = Network(Graph.from_json(json.dumps(stored["graph"])), single(stored["parameters"]))
    path = tmp_path / "n.safetensors"
    network.save(path)
    number = f'\\"format\\": {FORMAT}'.encode()
    path.write_bytes(path.read_bytes().replace(number, number[:-1] + b"7"))
    with pytest.raises(UnreadableFile, match=f"newer .* format 7; .* knows {FORMAT}"):
        Network.load(path)
