"""What a plan can be asked, what it keeps in memory, and what it refuses."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from cortex.runtime.errors import GraphError
from cortex.runtime.ir import Graph
from cortex.runtime.losses import CrossEntropy, Inner, MeanSquaredError, Term
from cortex.runtime.network import Network
from cortex.runtime.ops import (
    Add,
    Dense,
    GaussianNoise,
    Relu,
    Sigmoid,
    Softmax,
    Transpose,
)
from cortex.runtime.parameters import Parameters, Weights
from cortex.runtime.plan import ALL, Plan
from cortex.runtime.tensor import Tensor

from .networks import Array, Chain, convnet, deep, drawn, mlp, with_parameters
from .straightforward import Evaluation, slope_of
from .strict import Strict


def test_a_parameter_no_loss_depends_on_has_no_gradient() -> None:
    chain = Chain(x=Tensor(("N", 4)))
    used = chain.add(Dense(2), "x", name="used")
    unused = chain.add(Dense(2), "x", name="unused")
    graph = chain.graph(used, unused)
    parameters = Parameters(graph, with_parameters(graph).parameters)
    shared = parameters.gradient()
    plans = [
        Plan(graph, parameters, {"N": 3}, terms=[Term(Inner(), on)], wrt=["x", used], grad=shared)
        for on in (unused, used)
    ]
    for plan in plans:
        plan.v["x"][...], plan.v["target"][...] = 1, 1
        plan.run()
    gradients = parameters.views(shared)
    assert not gradients["unused/kernel"].any()
    assert not gradients["unused/bias"].any()
    assert gradients["used/kernel"].all()
    assert not plans[0].g[used].any()
    assert plans[0].g["x"].any()


@pytest.mark.parametrize("training", [False, True])
def test_weights_do_not_learn(training: bool) -> None:
    graph = deep()
    arrays = dict(with_parameters(graph).parameters)
    for array in arrays.values():
        array.flags.writeable = False
    plan = Plan(
        graph,
        Weights(graph, arrays),
        {"N": 3},
        training=training,
        terms=[Term(CrossEntropy(), "probabilities")],
        wrt=["x"],
    )
    plan.v["x"][...], plan.v["target"][...] = drawn((3, 12)), 0.25
    plan.run()
    assert plan.grad is None
    assert plan.g["x"].any()


def test_a_loss_fuses_only_with_a_softmax_over_the_last_axis() -> None:
    for axis in (-1, 2, 1):
        chain = Chain(x=Tensor(("N", 3, 4)))
        graph = chain.graph(chain.add(Softmax(axis), "x", name="y"))
        plan = Plan(
            graph,
            Parameters(graph, {}, np.float64),
            {"N": 2},
            terms=[Term(CrossEntropy(), "y")],
            wrt=["x"],
        )
        x, target = drawn((2, 3, 4), 0, np.float64), drawn((2, 3, 4), 1, np.float64) ** 2
        plan.v["x"][...], plan.v["target"][...] = x, target
        plan.run()

        def loss(h: float, graph: Graph = graph, x: Array = x, target: Array = target) -> float:
            bump = np.zeros_like(x)
            bump[1, 2, 3] = h
            evaluation = Evaluation(graph, {}, bumps={"x": bump})
            evaluation.run({"x": x})
            return evaluation.loss([Term(CrossEntropy(), "y")], {"target": target})

        assert plan.g["x"][1, 2, 3] == pytest.approx(slope_of(loss)[0], rel=1e-5)


def test_a_gradient_that_only_passes_a_node_still_reaches_a_value_with_other_users() -> None:
    chain = Chain(x=Tensor(("N", 3)))
    noisy = chain.add(GaussianNoise(0.1), "x", name="noisy")
    beside = chain.add(Relu(), "x", name="beside")
    graph = chain.graph(noisy, beside)
    terms = [Term(Inner(), noisy, "one"), Term(Inner(), beside, "other")]
    plan = Plan(graph, Parameters(graph, {}), {"N": 2}, training=True, terms=terms, wrt=["x"])
    plan.v["x"][...], plan.v["one"][...], plan.v["other"][...] = 1, 1, 1
    plan.run()
    assert plan.g["x"].tolist() == [[1, 1, 1], [1, 1, 1]]


def test_the_target_of_an_autoencoder_is_its_input() -> None:
    graph = mlp(4, 2, 4, softmax=False)
    network = with_parameters(graph)
    plan = Plan(
        graph,
        Parameters(graph, network.parameters),
        {"N": 3},
        terms=[Term(MeanSquaredError(), "dense2", "x")],
    )
    plan.v["x"][...] = drawn((3, 4))
    plan.run()
    found = network.run({"x": plan.v["x"]})["dense2"]
    assert plan.losses[0] == pytest.approx(np.mean((found - plan.v["x"]) ** 2), rel=1e-5)


def test_a_node_frozen_or_an_inner_value_kept_does_not_change_the_rest() -> None:
    graph = mlp(4, 5, 3)
    network = with_parameters(graph, dtype=np.float64)

    def gradients(**options: Any) -> tuple[Plan, Mapping[str, Any]]:
        parameters = Parameters(graph, network.parameters, np.float64)
        terms = [Term(CrossEntropy(), "probabilities")]
        plan = Plan(graph, parameters, {"N": 2}, terms=terms, **options)
        plan.v["x"][...], plan.v["target"][...] = drawn((2, 4)), np.eye(3)[:2]
        plan.run()
        return plan, parameters.views(plan.grad)

    _, all_of_them = gradients()
    frozen, found = gradients(frozen=["dense2"], keep=["relu1"], wrt=["dense1"])
    assert not found["dense2/kernel"].any()
    assert np.array_equal(found["dense1/kernel"], all_of_them["dense1/kernel"])
    assert np.array_equal(frozen.g["dense1"].sum(axis=0), found["dense1/bias"])
    assert (frozen.v["relu1"] >= 0).all()


def test_reuse_takes_less_memory() -> None:
    graph = mlp(64, *[64] * 20, softmax=False)
    weights = Weights(graph, with_parameters(graph).parameters)

    def kept(**options: Any) -> int:
        gc.collect()
        tracemalloc.start()
        plan = Plan(graph, weights, {"N": 100}, **options)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert plan.v
        return size

    assert kept() < kept(keep=ALL) / 4


def test_a_plan_leaves_its_memory_when_it_goes() -> None:
    """At once: not when a garbage collector comes by."""
    graph = deep()
    parameters = Parameters(graph, with_parameters(graph).parameters)
    terms = [Term(CrossEntropy(), "probabilities")]
    tracemalloc.start()
    gc.disable()
    try:
        before, _ = tracemalloc.get_traced_memory()
        plan = Plan(graph, parameters, {"N": 500}, training=True, terms=terms)
        during, _ = tracemalloc.get_traced_memory()
        del plan
        after, _ = tracemalloc.get_traced_memory()
    finally:
        gc.enable()
        tracemalloc.stop()
    assert after - before < (during - before) / 20


def training_plan(graph: Graph, rows: int, xp: Any = np, dtype: Any = np.float32) -> Plan:
    parameters = Parameters(graph, with_parameters(graph).parameters, dtype, xp)
    terms = [Term(CrossEntropy(), "probabilities")]
    plan = Plan(graph, parameters, {"N": rows}, training=True, terms=terms, xp=xp)
    plan.v["x"][...] = drawn(plan.v["x"].shape)
    plan.v["target"][...] = np.eye(plan.v["target"].shape[1])[np.zeros(rows, int)]
    return plan


NETWORKS = {"mlp": lambda: mlp(64, 128, 128, 10), "deep": deep, "convnet": convnet}


@pytest.mark.parametrize("rows", [1, 32, 128])
@pytest.mark.parametrize("network", NETWORKS)
def test_steps_do_not_grow(network: str, rows: int) -> None:
    plan = training_plan(NETWORKS[network](), rows)
    tracemalloc.start()
    try:
        for _ in range(10):  # till the interpreter's own free lists are full
            plan.run()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(10):
            plan.run()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1024


@pytest.mark.parametrize("network", NETWORKS)
def test_a_step_of_a_network_makes_no_fresh_array(network: str) -> None:
    strict = Strict()
    plan = training_plan(NETWORKS[network](), 3, strict)
    with strict.armed():
        plan.run()
        plan.run()


BAD: Mapping[str, tuple[dict[str, Any], str]] = {
    "no number": ({"sizes": {}}, "'x': its size 'N' has no number"),
    "no rows": ({"sizes": {"N": 0}}, "input 'x': 0 is neither a size nor a name for one"),
    "kept": ({"keep": ["relu9"]}, "no value is called 'relu9'"),
    "wrt": ({"wrt": ["relu9"]}, "no value is called 'relu9'"),
    "frozen": ({"frozen": ["relu9"]}, "no node is called 'relu9'"),
    "loss": ({"terms": [Term(Inner(), "y")]}, "a loss is on 'y', but no value is called that"),
    "computed target": (
        {"terms": [Term(Inner(), "dense1", "relu1")]},
        "the target 'relu1' is a value that the graph computes",
    ),
    "target of two shapes": (
        {"terms": [Term(Inner(), "dense1"), Term(Inner(), "dense2")]},
        "the target 'target' has the shape (2, 5), but the loss on 'dense2' needs (2, 3)",
    ),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_what_a_plan_is_asked_must_make_sense(options: dict[str, Any], message: str) -> None:
    graph = mlp(4, 5, 3)
    asked: dict[str, Any] = {"sizes": {"N": 2}, **options}
    with pytest.raises(GraphError) as raised:
        Plan(graph, Parameters(graph, with_parameters(graph).parameters), **asked)
    assert str(raised.value) == message


def test_a_plan_is_the_proof_of_open_sizes() -> None:
    """A graph takes two names for one size; numbers that differ are found out."""
    x, z = Tensor(("N", "T", 4)), Tensor(("N", "S", 4))
    chain = Chain(x=x, z=z)
    graph = chain.graph(chain.add(Add(), "x", "z", name="sum"))
    weights = Weights(graph, {})
    assert Plan(graph, weights, {"N": 1, "T": 3, "S": 3}).v["sum"].shape == (1, 3, 4)
    with pytest.raises(GraphError, match=r"layer 'sum': .* sizes \[3, 5\] do not match"):
        Plan(graph, weights, {"N": 1, "T": 3, "S": 5})


def test_parameters_are_made_for_the_sizes_they_have() -> None:
    chain = Chain(x=Tensor(("N", "T", 4)))
    turned = chain.add(Transpose((0, 2, 1)), chain.add(Sigmoid(), "x"))
    chain.add(Dense(2), turned)
    with pytest.raises(GraphError, match="its kernel would have the open size T"):
        chain.graph()


def test_parameters_of_another_dtype_are_cast_as_the_plan_runs() -> None:
    graph = mlp(4, 5, 3)
    network = with_parameters(graph)
    x = drawn((2, 4))
    exact = Network(graph, {n: a.astype(np.float64) for n, a in network.parameters.items()})
    wanted = exact.run({"x": x}, dtype=np.float64)["probabilities"]
    assert np.array_equal(network.run({"x": x}, dtype=np.float64)["probabilities"], wanted)
    plan = Plan(
        graph,
        Weights(graph, network.parameters, np.float64),
        {"N": 2},
        terms=[Term(CrossEntropy(), "probabilities")],
        wrt=["x"],
    )
    plan.v["x"][...], plan.v["target"][...] = x, np.eye(3)[:2]
    plan.run()
    other = Plan(
        graph,
        Parameters(graph, network.parameters, np.float64),
        {"N": 2},
        terms=[Term(CrossEntropy(), "probabilities")],
        wrt=["x"],
    )
    other.v["x"][...], other.v["target"][...] = x, np.eye(3)[:2]
    other.run()
    assert np.array_equal(plan.g["x"], other.g["x"])


def test_flat_parameters_are_trainable_first() -> None:
    graph = deep()
    network = with_parameters(graph)
    parameters = Parameters(graph, network.parameters)
    trainable = [name for name, spec in graph.parameters.items() if spec.trainable]
    assert list(parameters.views(parameters.gradient())) == trainable
    assert list(parameters.of)[: len(trainable)] == trainable
    assert parameters.size == sum(array.size for array in network.parameters.values())
    for name, array in network.parameters.items():
        assert np.array_equal(parameters.of[name], array)
        assert np.shares_memory(parameters.of[name], parameters.flat)


@pytest.mark.parametrize("make", [Parameters, Weights])
def test_arrays_must_be_those_of_the_graph(make: Any) -> None:
    graph = mlp(4, 3)
    arrays = dict(with_parameters(graph).parameters)
    with pytest.raises(GraphError, match="parameter 'dense1/kernel': its shape is"):
        make(graph, {**arrays, "dense1/kernel": np.zeros((3, 4))})
    del arrays["dense1/bias"]
    with pytest.raises(GraphError, match="parameter 'dense1/bias': no array of that name"):
        make(graph, arrays)
