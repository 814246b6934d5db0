"""Running networks: what can be asked for, in which layout, and what is refused."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.runtime import network as network_module
from cortex.runtime import weights
from cortex.runtime.errors import GraphError, UnreadableFile, UnwritableFile, UsageError
from cortex.runtime.ir import Graph, Layer
from cortex.runtime.network import GRAPH, PLANS_KEPT, Network
from cortex.runtime.ops import (
    Add,
    Concatenate,
    Convolution,
    Dense,
    Embedding,
    Flatten,
    Relu,
    Softmax,
    Transpose,
)
from cortex.runtime.plan import Plan
from cortex.runtime.tensor import Tensor

from .networks import Array, Chain, convnet, deep, drawn, mlp, with_parameters
from .straightforward import Evaluation


def pictures() -> Graph:
    """Of a source that has channels first: its layers' axes say so."""
    chain = Chain(x=Tensor(("N", "H", "W", 3)))
    conv = chain.add(Convolution(4, (3, 3), padding="same"), "x", name="conv")
    last = chain.add(Relu(), conv, name="relu")
    chain.layers["conv"] = Layer(conv, "Convolution2D", (0, 3, 1, 2))
    chain.layers["input"] = Layer("x", "Input", (0, 3, 1, 2))
    return Graph(chain.inputs, tuple(chain.nodes), {"features": last}, chain.layers)


def words() -> Graph:
    """Of integers and floats, of an open length."""
    chain = Chain(ids=Tensor(("N", "T"), "int32"), x=Tensor(("N", "T", 2)))
    table = chain.add(Embedding(9, 3), "ids")
    both = chain.add(Concatenate(), table, "x")
    return chain.graph(chain.add(Dense(2), both, name="scores"))


def test_the_outputs_are_those_of_the_graph_unless_asked_otherwise() -> None:
    network = with_parameters(mlp(4, 5, 3))
    found = network.run({"x": drawn((2, 4))})
    assert list(found) == ["probabilities"]
    assert found["probabilities"].dtype == np.float32
    assert found["probabilities"].sum(-1) == pytest.approx(1)


def test_any_output_layer_or_value_can_be_asked_for() -> None:
    graph = pictures()
    network = with_parameters(graph)
    x = drawn((2, 5, 6, 3))
    wanted = ["conv", "features", "relu", "input", "x"]
    found = network.run({"x": x}, wanted)
    assert list(found) == wanted
    assert found["conv"].shape == (2, 4, 5, 6)
    assert np.array_equal(np.maximum(found["conv"].transpose(0, 2, 3, 1), 0), found["relu"])
    assert np.array_equal(found["features"], found["relu"])
    assert np.array_equal(found["input"], x.transpose(0, 3, 1, 2))
    assert np.array_equal(found["x"], x)


def test_only_what_leads_there_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    network = with_parameters(mlp(4, 5, 3))

    def refuse(*_: object) -> None:
        raise AssertionError("the softmax is not needed")

    monkeypatch.setattr(Softmax, "bind", refuse)
    network.run({"x": drawn((2, 4))}, ["dense2"])
    with pytest.raises(AssertionError, match="not needed"):
        network.run({"x": drawn((2, 4))})


def test_the_arrays_are_the_callers() -> None:
    network = with_parameters(mlp(4, 3))
    x = drawn((2, 4))
    first = network.run({"x": x}, ["dense1", "x"])
    kept = {name: array.copy() for name, array in first.items()}
    network.run({"x": x + 1}, ["dense1", "x"])
    assert all(np.array_equal(first[name], kept[name]) for name in kept)
    first["x"][...] = 0
    assert x.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, "float64", None])
def test_floats_are_computed_in_the_dtype_asked_for(dtype: Any) -> None:
    graph = mlp(4, 8, 3)
    network = with_parameters(graph, dtype=np.float64)
    x = drawn((5, 4), dtype=np.float64)
    exact = Evaluation(graph, network.parameters).run({"x": x})["probabilities"]
    found = network.run({"x": x}, dtype=dtype)["probabilities"]
    assert found.dtype == np.dtype(dtype or np.float32)
    tolerance = 1e-14 if found.dtype == np.float64 else 1e-6
    np.testing.assert_allclose(found, exact, rtol=tolerance, atol=tolerance)


def test_open_sizes_may_change_from_run_to_run() -> None:
    network = with_parameters(pictures())
    for height, width, rows in [(5, 6, 1), (8, 3, 2), (5, 6, 3)]:
        found = network.run({"x": np.ones((rows, height, width, 3))})
        assert found["features"].shape == (rows, height, width, 4)


def test_inputs_may_be_of_any_kind_that_loses_nothing() -> None:
    network = with_parameters(words())
    x = np.ones((2, 3, 2), bool)
    wanted = network.run({"ids": [[1, 2, 3], [4, 5, 6]], "x": x.tolist()})["scores"]
    for dtype in (np.uint8, np.int64, np.float32):
        ids = np.arange(1, 7).reshape(2, 3).astype(dtype)
        assert np.array_equal(network.run({"ids": ids, "x": x})["scores"], wanted)


X = np.zeros((2, 3, 2))
IDS = np.zeros((2, 3), int)
BAD_INPUTS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "missing": ({"x": X}, "the inputs are ['ids', 'x'], given were ['x']"),
    "unknown": (
        {"x": X, "ids": IDS, "y": X},
        "the inputs are ['ids', 'x'], given were ['ids', 'x', 'y']",
    ),
    "rank": ({"x": X[0], "ids": IDS}, "input 'x': its shape is (3, 2), expected ('N', 'T', 2)"),
    "size": (
        {"x": X[..., :1], "ids": IDS},
        "input 'x': its shape is (2, 3, 1), expected ('N', 'T', 2)",
    ),
    "rows that differ": (
        {"x": X[:1], "ids": IDS},
        "input 'x': its shape is (1, 3, 2), expected ('N', 'T', 2)",
    ),
    "no rows": ({"x": X[:0], "ids": IDS[:0]}, "input 'ids': its shape is (0, 3): it holds nothing"),
    "text": (
        {"x": X, "ids": [["a", "b", "c"]] * 2},
        "input 'ids': its elements are <U1, expected numbers",
    ),
    "complex": ({"x": X * 1j, "ids": IDS}, "input 'x': its elements are complex128"),
    "objects": ({"x": X.astype(object), "ids": IDS}, "input 'x': its elements are object"),
    "fractions": ({"x": X, "ids": IDS + 0.5}, "input 'ids': not all of its elements are of type"),
    "not numbers": ({"x": X, "ids": IDS + np.nan}, "input 'ids': not all of its elements are of"),
    "too large": ({"x": X, "ids": IDS + 2**40}, "input 'ids': not all of its elements are of type"),
}


@pytest.mark.parametrize(("inputs", "message"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_inputs_that_do_not_fit_are_refused(inputs: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        with_parameters(words()).run(inputs)
    assert str(raised.value).startswith(message)


def test_an_unknown_output_is_refused_with_those_there_are() -> None:
    network = with_parameters(mlp(4, 3))
    with pytest.raises(UsageError) as raised:
        network.run({"x": drawn((1, 4))}, ["dense9"])
    assert str(raised.value) == (
        "output 'dense9': the network has no output or layer of that name; "
        "it has probabilities, dense1"
    )


@pytest.mark.parametrize("dtype", ["int32", bool, complex])
def test_a_dtype_that_is_none_of_floats_is_refused(dtype: Any) -> None:
    with pytest.raises(UsageError, match="use a type of floats"):
        with_parameters(mlp(4, 3)).run({"x": drawn((1, 4))}, dtype=dtype)


def share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three shards, however small the step and the machine."""

    def worth_sharing(graph: Graph, sizes: Mapping[str, int]) -> bool:
        return True

    monkeypatch.setattr(network_module, "worth_sharing", worth_sharing)
    monkeypatch.setattr(network_module.os, "cpu_count", lambda: 3)


@pytest.mark.parametrize("graph", [mlp(4, 64, 3), deep(), convnet()], ids=["mlp", "deep", "conv"])
def test_shards_compute_what_the_whole_does(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = graph.inputs["x"].shape[1:]
    x = drawn((7, *[int(n) for n in shape]), dtype=np.float64)
    wanted = with_parameters(graph).run({"x": x}, dtype=np.float64)
    share(monkeypatch)
    found = with_parameters(graph).run({"x": x}, dtype=np.float64)
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12, atol=1e-14)


def test_rows_that_meet_are_not_parted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A softmax over the batch: what shards would compute is something else."""
    share(monkeypatch)
    chain = Chain(x=Tensor(("N", 4)))
    turned = chain.add(Transpose((1, 0)), "x")
    graph = chain.graph(chain.add(Transpose((1, 0)), chain.add(Softmax(), turned), name="y"))
    found = Network(graph, {}).run({"x": drawn((6, 4))})["y"]
    assert found.sum(axis=0) == pytest.approx(1)


def test_several_threads_may_run_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    run, inside = Plan.run, list[Plan]()

    def alone(plan: Plan) -> None:
        assert not inside
        inside.append(plan)
        run(plan)
        time.sleep(0.0002)  # another thread's chance
        inside.remove(plan)

    monkeypatch.setattr(Plan, "run", alone)
    network = with_parameters(deep())
    inputs = [drawn((n, 12), n) for n in (3, 4, 5, 6)]
    wanted = [network.run({"x": x})["probabilities"] for x in inputs]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(10):
            found = network.run({"x": inputs[number]})["probabilities"]
            if not np.array_equal(found, wanted[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_few_plans_are_kept_and_those_used_last(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    class Counted(network_module.Runner):
        def __init__(self, *arguments: Any) -> None:
            made.append(arguments[2]["N"])
            super().__init__(*arguments)

    monkeypatch.setattr(network_module, "Runner", Counted)
    network = with_parameters(mlp(4, 3))
    for rows in [1, 2, 3, 4]:
        network.run({"x": drawn((rows, 4))})
    assert PLANS_KEPT == 4
    network.run({"x": drawn((1, 4))})
    network.run({"x": drawn((5, 4))})  # drops 2, which was not used for the longest time
    network.run({"x": drawn((1, 4))})
    network.run({"x": drawn((2, 4))})
    assert made == [1, 2, 3, 4, 5, 2]


def test_a_network_needs_an_array_for_every_parameter() -> None:
    graph = mlp(4, 3)
    with pytest.raises(GraphError, match="parameter 'dense1/kernel': no array of that name"):
        Network(graph, {})
    arrays = {"dense1/kernel": np.zeros((4, 3)), "dense1/bias": np.zeros(4)}
    with pytest.raises(GraphError, match=r"'dense1/bias': its shape is \(4,\), .* needs \(3,\)"):
        Network(graph, arrays)


def test_a_network_comes_back_from_its_file(tmp_path: Path) -> None:
    graph = pictures()
    network = with_parameters(graph)
    file = tmp_path / "weights.safetensors"
    network.save(file)
    again = Network.load(file)
    assert again.graph == graph
    for name, array in network.parameters.items():
        assert np.array_equal(again.parameters[name], array)
        assert again.parameters[name].dtype == array.dtype
        assert not again.parameters[name].flags.owndata  # mapped
        assert not again.parameters[name].flags.writeable
    x = drawn((2, 4, 4, 3))
    assert np.array_equal(again.run({"x": x})["features"], network.run({"x": x})["features"])


def test_a_network_replaces_the_file_that_it_is_mapped_from(tmp_path: Path) -> None:
    network, file = with_parameters(mlp(4, 3)), str(tmp_path / "w")
    network.save(file)
    Network.load(file).save(file)
    for name, array in Network.load(file).parameters.items():
        assert np.array_equal(array, network.parameters[name])


def test_a_network_that_cannot_be_saved_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "w"
    with_parameters(mlp(4, 3)).save(file)
    before = file.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(weights, "write", full)
    with pytest.raises(UnwritableFile, match="No space left on device"):
        with_parameters(mlp(4, 3)).save(file)
    assert [*tmp_path.iterdir()] == [file]
    assert file.read_bytes() == before


def test_only_the_parameters_of_the_graph_are_saved(tmp_path: Path) -> None:
    graph = mlp(4, 3)
    arrays = {**with_parameters(graph).parameters, "left over": np.zeros(1000)}
    Network(graph, arrays).save(tmp_path / "w")
    assert set(Network.load(tmp_path / "w").parameters) == set(graph.parameters)


def broken(graph: str, arrays: Mapping[str, Array], path: Path) -> Path:
    weights.write(path, arrays, {GRAPH: graph} if graph else {})
    return path


def test_a_file_without_a_network_is_unreadable(tmp_path: Path) -> None:
    network = with_parameters(mlp(4, 3))
    text, arrays = network.graph.to_json(), dict(network.parameters)
    for name, file, message in [
        ("none", broken("", arrays, tmp_path / "a"), "its header holds no graph"),
        ("damaged", broken("{", arrays, tmp_path / "b"), "not the JSON of a graph"),
        ("without arrays", broken(text, {}, tmp_path / "c"), "no array of that name"),
    ]:
        with pytest.raises(UnreadableFile, match=message) as raised:
            Network.load(file)
        assert str(raised.value).startswith(str(file)), name


def test_several_inputs_and_several_outputs() -> None:
    chain = Chain(a=Tensor(("N", 3)), b=Tensor(("N", 3)))
    total = chain.add(Add(), "a", "b", name="total")
    flat = chain.add(Flatten(), total, name="flat")
    found = Network(chain.graph(total, flat, "a"), {}).run({"a": [[1, 2, 3]], "b": [[1, 1, 1]]})
    assert {name: array.tolist() for name, array in found.items()} == {
        "total": [[2, 3, 4]],
        "flat": [[2, 3, 4]],
        "a": [[1, 2, 3]],
    }
