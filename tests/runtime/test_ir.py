"""A graph that exists is valid: every way to be none is an error that names the thing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.runtime.errors import GraphError
from cortex.runtime.ir import Graph, Layer, Node, infer
from cortex.runtime.network import Network
from cortex.runtime.op import Operation, operation
from cortex.runtime.ops import (
    Add,
    BatchNormalization,
    Concatenate,
    Cropping,
    Dense,
    Embedding,
    Flatten,
    Prelu,
    Relu,
    Reshape,
    Transpose,
    ZeroPadding,
)
from cortex.runtime.tensor import Tensor

from .networks import Chain, Halves, mlp, with_parameters

X = {"x": Tensor(("N", 4))}
IMAGE = {"x": Tensor(("N", "H", "W", 3))}


def node(name: str, op: Operation, *inputs: str, **params: str) -> Node:
    return Node(name, op, inputs, params)


def dense(name: str, *inputs: str, units: Any = 4) -> Node:
    return node(name, Dense(units), *inputs, kernel=f"{name}/k", bias=f"{name}/b")


INVALID: Sequence[tuple[str, Callable[[], Graph], str]] = [
    ("name used twice", lambda: Graph(X, (node("a", Relu(), "x"), node("a", Relu(), "x")), {}),
     "node 'a' (relu): the name 'a' is used twice"),
    ("name of an input", lambda: Graph(X, (node("x", Relu(), "x"),), {}),
     "node 'x' (relu): the name 'x' is used twice"),
    ("name of another's output", lambda: Graph(X, (node("a", Halves(), "x"),
     node("a:1", Relu(), "x")), {}), "node 'a:1' (relu): the name 'a:1' is used twice"),
    ("no name", lambda: Graph(X, (node("", Relu(), "x"),), {}), "node '' (relu): it has no name"),
    ("input without a name", lambda: Graph({"": X["x"]}, (), {}), "an input has no name"),
    ("before its time", lambda: Graph(X, (node("a", Relu(), "b"), node("b", Relu(), "x")), {}),
     "node 'a' (relu): its input 'b' is not computed before it"),
    ("itself", lambda: Graph(X, (node("a", Relu(), "a"),), {}),
     "node 'a' (relu): its input 'a' is not computed before it"),
    ("left out", lambda: Graph(X, (node("a", Relu(), ""),), {}),
     "node 'a' (relu): its input 0 may not be left out"),
    ("one of several left out", lambda: Graph(X, (node("a", Add(), "x", ""),), {}),
     "node 'a' (add): its input 1 may not be left out"),
    ("too many inputs", lambda: Graph(X, (node("a", Relu(), "x", "x"),), {}),
     "node 'a' (relu): relu of ('N', 4), ('N', 4): "),
    ("too few inputs", lambda: Graph(X, (node("a", Relu()),), {}), "node 'a' (relu): relu of : "),
    ("sizes", lambda: Graph({**X, "z": Tensor(("N", 3))}, (node("a", Add(), "x", "z"),), {}),
     "node 'a' (add): add of ('N', 4), ('N', 3): sizes [3, 4] do not match"),
    ("layer's name", lambda: Graph(X, (Node("a", Add(), ("x",), layer="sum"),), {}),
     "layer 'sum': add of ('N', 4): needs two or more inputs"),
    ("nothing left", lambda: Graph({"x": Tensor(("N", 4, 2))},
     (node("a", Cropping(((2, 2),)), "x"),), {}),
     "node 'a' (cropping): cropping of ('N', 4, 2): cropping ((2, 2),) leaves nothing"),
    ("no units", lambda: Graph(X, (dense("a", "x", units=0),), {}),
     "node 'a' (dense): dense of ('N', 4): nothing is left: ('N', 0)"),
    ("negative units", lambda: Graph(X, (dense("a", "x", units=-3),), {}),
     "node 'a' (dense): dense of ('N', 4) would have the size -3; sizes are ints from 1 on"),
    ("units that are no number", lambda: Graph(X, (dense("a", "x", units=2.5),), {}),
     "node 'a' (dense): dense of ('N', 4) would have the size 2.5; sizes are ints from 1 on"),
    ("a part of a table", lambda: Graph({"x": Tensor(("N",), "int64")}, (
     node("a", Embedding(2.5, 3), "x"),), {}),  # type: ignore[arg-type]
     "node 'a' (embedding): its table would have the size 2.5; sizes are ints from 1 on"),
    ("integers", lambda: Graph({"x": Tensor(("N", 4), "int32")}, (node("a", Relu(), "x"),), {}),
     "node 'a' (relu): its input 'x' is int32, but relu computes floats"),
    ("dtypes", lambda: Graph({**X, "i": Tensor(("N", 4), "int32")},
     (node("a", Concatenate(), "x", "i"),), {}),
     "node 'a' (concatenate): concatenate of ('N', 4), ('N', 4): inputs of different dtypes"),
    ("dtype of an input", lambda: Graph({"x": Tensor(("N", 4), "float16")}, (), {}),
     "input 'x': dtype 'float16' is none of float, int32, int64, bool"),
    ("no batch", lambda: Graph({"x": Tensor(())}, (), {}), "input 'x': it has no batch axis"),
    ("size of zero", lambda: Graph({"x": Tensor(("N", 0))}, (), {}),
     "input 'x': 0 is neither a size nor a name for one"),
    ("name of a size", lambda: Graph({"x": Tensor(("N", "H+1"))}, (), {}),
     "input 'x': 'H+1' is neither a size nor a name for one"),
    ("output", lambda: Graph(X, (), {"y": "z"}), "output 'y': no value is called 'z'"),
    ("layer", lambda: Graph(X, (), {}, {"l": Layer("z")}), "layer 'l': no value is called 'z'"),
    ("axes", lambda: Graph(X, (), {}, {"l": Layer("x", axes=(0, 2))}),
     "layer 'l': axes (0, 2) are no order of 2 axes"),
    ("missing parameter", lambda: Graph(X, (node("a", Dense(2), "x", kernel="k"),), {}),
     "node 'a' (dense): dense has the parameters ['bias', 'kernel'], given were ['kernel']"),
    ("needless parameter", lambda: Graph(X, (node("a", Relu(), "x", kernel="k"),), {}),
     "node 'a' (relu): relu has the parameters none, given were ['kernel']"),
    ("shared shapes", lambda: Graph(X, (dense("a", "x"), node("b", Dense(3, False), "a",
     kernel="a/k")), {}), "node 'b' (dense): its kernel is trained of shape (4, 3), "
     "but 'a/k' is shared and is trained of shape (4, 4)"),
    ("shared kinds", lambda: Graph(X, (node("a", BatchNormalization(), "x", gamma="g", beta="b",
     moving_mean="b", moving_variance="v"),), {}), "node 'a' (batch_normalization): its "
     "moving_mean is state of shape (4,), but 'b' is shared and is trained of shape (4,)"),
    ("parameter of an open size", lambda: Graph(IMAGE, (node("f", Flatten(), "x"),
     dense("a", "f")), {}), "node 'a' (dense): its kernel would have the open size 3*H*W; "
     "fix that size of the network's input"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), [pytest.param(m, t, id=n) for n, m, t in INVALID])
def test_an_invalid_graph_says_what_is_wrong(make: Callable[[], Graph], message: str) -> None:
    with pytest.raises(GraphError) as raised:
        make()
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_open_sizes_flow_through_a_graph() -> None:
    chain = Chain(x=Tensor(("N", "H", "W", 3)))
    padded = chain.add(ZeroPadding(((1, 1), (2, 0))), "x")
    flat = chain.add(Flatten(), padded)
    rows = chain.add(Reshape((-1, 3)), flat)
    graph = chain.graph(rows)
    assert graph.types[padded].shape == ("N", "H+2", "W+2", 3)
    assert graph.types[flat].shape == ("N", "6*H+3*H*W+6*W+12")
    assert infer(graph, {"N": 2, "H": 3, "W": 4})[rows].shape == (2, 5 * 6, 3)
    assert infer(graph, {"H": 3})[padded].shape == ("N", 5, "W+2", 3)


def test_a_node_may_have_several_outputs() -> None:
    nodes = (node("h", Halves(), "x", ""), node("s", Add(), "h", "h:1"))
    graph = Graph(X, nodes, {"sum": "s", "right": "h:1"})
    assert graph.values(nodes[0]) == ("h", "h:1")
    assert graph.types["h:1"].shape == ("N", 2)
    network = Network(graph, {})
    found = network.run({"x": [[1, 2, 3, 4]]}, ["sum", "right", "h"])
    assert {name: array.tolist() for name, array in found.items()} == {
        "sum": [[4, 6]],
        "right": [[3, 4]],
        "h": [[1, 2]],
    }


def test_parameters_may_be_shared() -> None:
    twice = (dense("a", "x"), node("b", Dense(4), "a", kernel="a/k", bias="a/b"))
    graph = Graph(X, twice, {"y": "b"})
    assert {name: spec.shape for name, spec in graph.parameters.items()} == {
        "a/k": (4, 4),
        "a/b": (4,),
    }


def test_one_operation_may_use_a_parameter_twice() -> None:
    params = {"gamma": "g", "beta": "g", "moving_mean": "m", "moving_variance": "m"}
    graph = Graph(X, (node("a", BatchNormalization(), "x", **params),), {"y": "a"})
    assert list(graph.parameters) == ["g", "m"]


def test_leading_to_keeps_what_a_value_needs() -> None:
    chain = Chain(x=Tensor(("N", 4)), z=Tensor(("N", 4)), unused=Tensor(("N", 1)))
    a = chain.add(Relu(), "x", name="a")
    both = chain.add(Add(), a, "z", name="both")
    chain.add(Dense(2), both, name="after")
    chain.add(Prelu(), a, name="beside")
    graph = chain.graph("after", "beside")
    part = graph.leading_to([both], {"found": both})
    assert list(part.inputs) == ["x", "z"]
    assert [n.name for n in part.nodes] == ["a", "both"]
    assert list(part.layers) == ["a", "both"]
    assert dict(part.outputs) == {"found": "both"}
    assert list(graph.leading_to(["x"], {"x": "x"}).nodes) == []
    assert list(graph.leading_to(["beside", "after"], {}).parameters) == [
        "after/kernel", "after/bias", "beside/alpha",
    ]  # fmt: skip


def test_leading_to_a_second_output_keeps_the_node() -> None:
    graph = Graph(X, (node("h", Halves(), "x"), node("r", Relu(), "h:1")), {"y": "r"})
    part = graph.leading_to(["h:1"], {"right": "h:1"})
    assert [n.name for n in part.nodes] == ["h"]


def test_an_operation_is_declared_once() -> None:
    with pytest.raises(ValueError, match="operation 'relu' is declared twice"):
        operation("relu")(Halves)


def rich() -> Graph:
    """With something of everything JSON has to carry."""
    chain = Chain(x=Tensor(("N", "T", 4)), ids=Tensor(("N", "T"), "int64"))
    table = chain.add(Embedding(5, 4), "ids", name="table")
    sum_ = chain.add(Add(), "x", table, name='a sum/with:odd "name" ä')
    turned = chain.add(Transpose((0, 2, 1)), sum_)
    chain.layers["conv"] = Layer(turned, "Conv1D", (0, 2, 1))
    shared = {"kernel": "k", "bias": "b"}
    one = chain.add(Dense(4), sum_, shares=shared)
    two = chain.add(Dense(4), one, shares=shared)
    last = chain.add(Relu(None, 0.1, -0.5), two)
    return chain.graph(last, turned)


@pytest.mark.parametrize("graph", [rich(), mlp(3, 4, 2), Graph(X, (), {"y": "x"})])
def test_json_brings_back_the_same_graph(graph: Graph) -> None:
    again = Graph.from_json(graph.to_json())
    assert again == graph
    assert again.types == graph.types
    assert again.parameters == graph.parameters
    assert again.to_json() == graph.to_json()


BAD_JSON = {
    "nothing": "",
    "no JSON": "{",
    "no object": "[1]",
    "a number": "3",
    "deep": "[" * 100_000,
    "no nodes": '{"inputs": {}, "outputs": {}, "layers": {}}',
    "newer format": mlp(2, 2).to_json().replace('"format": 1', '"format": 99'),
    "unknown operation": mlp(2, 2).to_json().replace('"dense"', '"dance"'),
    "no operation": mlp(2, 2).to_json().replace('"kind": "dense", ', ""),
    "operation of a wrong type": mlp(2, 2).to_json().replace('"dense"', "[]"),
    "attribute of a wrong type": mlp(2, 2).to_json().replace('"units": 2', '"units": "two"'),
    "unknown attribute": mlp(2, 2).to_json().replace('"units": 2', '"units": 2, "cells": 2'),
    "missing attribute": mlp(2, 2).to_json().replace('"units": 2, ', ""),
    "size of a wrong type": mlp(2, 2).to_json().replace('["N", 2]', '["N", 2.5]'),
    "outputs of a wrong type": json.dumps({**json.loads(mlp(2, 2).to_json()), "outputs": ["y"]}),
    "name of a wrong type": mlp(2, 2).to_json().replace('"name": "dense1"', '"name": 1'),
    "lone surrogate": mlp(2, 2).to_json().replace('"x"', '"\\ud800"'),
    "invalid graph": mlp(2, 2).to_json().replace('"inputs": ["x"]', '"inputs": ["z"]'),
}


@pytest.mark.parametrize("text", BAD_JSON.values(), ids=BAD_JSON)
def test_bad_json_is_a_graph_error(text: str) -> None:
    with pytest.raises(GraphError) as raised:
        Graph.from_json(text)
    assert "\n" not in str(raised.value)


GOOD = json.loads(rich().to_json())
scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
)


def paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    return [path, *(p for key in keys for p in paths(data[key], (*path, key)))]


@given(st.sampled_from(paths(GOOD)[1:]), values)
def test_any_part_of_the_json_replaced_is_a_graph_or_an_error(
    path: tuple[Any, ...], value: Any
) -> None:
    data = json.loads(json.dumps(GOOD))
    *way, last = path
    place = data
    for key in way:
        place = place[key]
    place[last] = value
    try:
        graph = Graph.from_json(json.dumps(data))
    except GraphError:
        return
    assert Graph.from_json(graph.to_json()) == graph


@given(st.text())
def test_any_text_is_a_graph_or_an_error(text: str) -> None:
    with pytest.raises(GraphError):
        Graph.from_json(text)


def test_networks_of_the_builders_are_valid() -> None:
    assert with_parameters(rich()).graph.outputs
