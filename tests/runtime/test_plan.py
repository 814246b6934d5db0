"""What plans compute: values, gradients and state are those of the straightforward evaluation."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from cortex.runtime.errors import GraphError
from cortex.runtime.ir import Graph
from cortex.runtime.losses import CrossEntropy, Inner, MeanSquaredError, Term
from cortex.runtime.network import Network
from cortex.runtime.ops import (
    Add,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Relu,
    Sigmoid,
    Softmax,
    Transpose,
)
from cortex.runtime.parameters import Parameters, Weights
from cortex.runtime.plan import ALL, Plan
from cortex.runtime.shard import split
from cortex.runtime.team import Team
from cortex.runtime.tensor import Tensor

from .networks import Array, Chain, drawn, mlp, with_parameters
from .random_graphs import Case, random_case
from .straightforward import Evaluation
from .strict import Strict

ROWS = 5
every_case = pytest.mark.parametrize("seed", range(400))


class Training:
    """A case with numbers: its network, inputs and targets, and plans for it."""

    def __init__(self, case: Case, rows: int = ROWS) -> None:
        self.case, self.rows = case, rows
        self.network = with_parameters(case.graph, 1, np.float64)
        types = Plan(case.graph, Weights(case.graph, self.network.parameters), {"N": rows}).types
        self.inputs = {
            name: drawn(types[name].sizes, i, np.float64)
            for i, name in enumerate(case.graph.inputs)
        }
        self.targets = {
            term.target: np.abs(drawn(types[term.on].sizes, 10 + i, np.float64))
            for i, term in enumerate(case.terms)
        }

    def plans(self, shards: int = 1, meet: Any = None, xp: Any = np) -> list[Plan]:
        """A plan per shard, over parameters of their own, with its rows in it."""
        parameters = Parameters(self.case.graph, self.network.parameters, np.float64, xp)
        plans: list[Plan] = []
        for shard, rows in split(self.rows, shards, meet):
            plan = Plan(
                self.case.graph,
                parameters,
                {"N": rows},
                training=self.case.training,
                terms=self.case.terms,
                wrt=self.case.wrt,
                frozen=self.case.frozen,
                shard=shard,
                xp=xp,
            )
            for name, array in {**self.inputs, **self.targets}.items():
                plan.v[name][...] = array[shard.first_row : shard.first_row + rows]
            plans.append(plan)
        return plans

    def loss(self, parameters: Mapping[str, Array], bumps: Mapping[str, Array]) -> float:
        """The straightforward loss of other parameters or moved values."""
        evaluation = Evaluation(
            self.case.graph,
            parameters,
            self.case.training,
            self.case.frozen,
            bumps,
            self.network.parameters,
        )
        evaluation.run(self.inputs)
        return evaluation.loss(self.case.terms, self.targets)


def views(plan: Plan, vector: Any) -> Mapping[str, Any]:
    assert isinstance(plan.parameters, Parameters)
    return plan.parameters.views(vector)


def flat(plan: Plan) -> Any:
    assert isinstance(plan.parameters, Parameters)
    return plan.parameters.flat


def assert_same(found: Any, wanted: Any, what: object = "", tolerance: float = 1e-10) -> None:
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    np.testing.assert_allclose(
        found, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=str(what)
    )


@every_case
def test_inference_with_and_without_reuse_is_the_straightforward_evaluation(seed: int) -> None:
    graph = random_case(seed).graph
    network = with_parameters(graph, seed, np.float64)
    inputs = {"x": drawn((ROWS, 4), seed, np.float64), "z": drawn((ROWS, 2, 4), 1, np.float64)}
    wanted = Evaluation(graph, network.parameters).run(inputs)
    weights = Weights(graph, network.parameters, np.float64)
    for keep in ((), list(graph.types)[:4], ALL):
        plan = Plan(graph, weights, {"N": ROWS}, keep=keep)
        for _ in range(2):  # the second time over memory that has been used
            for name, array in inputs.items():
                plan.v[name][...] = array
            plan.run()
            expected = wanted if keep is ALL else {*graph.outputs.values(), *keep}
            for name in expected:
                assert_same(plan.v[name], wanted[name], name)
            assert_same(plan.v["x"], inputs["x"], "the input")
    for name, array in Plan(graph, weights, {"N": ROWS}).walk():
        if name in inputs:
            array[...] = inputs[name]
        assert_same(array, wanted[name], name)


@every_case
def test_a_step_computes_losses_gradients_and_state(seed: int) -> None:
    training = Training(random_case(seed))
    (plan,) = training.plans()
    before = flat(plan).copy()
    plan.grad.fill(np.nan)
    plan.run()
    first = [plan.grad.copy(), plan.losses.copy(), *(g.copy() for g in plan.g.values())]
    evaluation = Evaluation(
        plan.graph, training.network.parameters, plan.training, plan.frozen, {},
        training.network.parameters,
    )  # fmt: skip
    evaluation.run(training.inputs)
    assert_same(plan.losses.sum(), evaluation.loss(plan.terms, training.targets), "loss")
    for name, array in views(plan, flat(plan)).items():
        wanted = evaluation.state.get(name, training.network.parameters[name])
        assert_same(array, wanted, name)
    check_gradients(training, views(plan, plan.grad), plan.g)
    flat(plan)[:] = before
    plan.run()  # the same again, over memory that has been used
    again = [plan.grad, plan.losses, *plan.g.values()]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def check_gradients(
    training: Training, of_parameters: Mapping[str, Array], of_values: Mapping[str, Array]
) -> None:
    """Against central differences, some elements of each array."""
    rng = np.random.default_rng(0)
    known = training.network.parameters
    for name, gradient in {**of_parameters, **of_values}.items():
        is_value = name in of_values
        for i in rng.permutation(gradient.size)[:4]:

            def moved(
                h: float, name: str = name, i: int = int(i), is_value: bool = is_value
            ) -> float:
                shape = of_values[name].shape if is_value else known[name].shape
                bump = np.zeros(shape)
                bump.flat[i] = h
                if is_value:
                    return training.loss(known, {name: bump})
                return training.loss({**known, name: known[name] + bump}, {})

            slope, kink = slope_of(moved)
            if not kink:
                bound = 2e-6 * max(1.0, abs(slope), float(np.abs(gradient).max()))
                assert abs(gradient.flat[i] - slope) < bound, (name, i, gradient.flat[i], slope)


def slope_of(loss: Callable[[float], float], h: float = 1e-6) -> tuple[float, bool]:
    """The slope at 0, and whether the function has a kink there."""
    below, here, above = loss(-h), loss(0), loss(h)
    slope = (above - below) / (2 * h)
    return slope, abs(above - 2 * here + below) / h > 1e-2 * abs(slope) + 1e-6


def run_threads(plans: Sequence[Plan], team: Team) -> None:
    team.run(lambda index: plans[index].run())


def run_lockstep(plans: Sequence[Plan], team: Team) -> None:
    """All shards in one thread, from one meeting to the next."""
    for parts in zip(*(plan.segments() for plan in plans), strict=True):
        for steps in parts:
            for step in steps:
                step()


def results(plans: Sequence[Plan]) -> dict[str, Array]:
    """What shards compute together."""
    found: dict[str, Array] = {
        "losses": np.sum([plan.losses for plan in plans], axis=0),
        "gradient": np.sum([plan.grad for plan in plans], axis=0),
        "parameters": flat(plans[0]).copy(),
    }
    found |= {f"value {v}": np.concatenate([p.v[v] for p in plans]) for v in plans[0].v}
    return found | {f"slope {v}": np.concatenate([p.g[v] for p in plans]) for v in plans[0].g}


@pytest.mark.parametrize("shards", [2, 3])
@pytest.mark.parametrize("seed", range(60))
def test_shards_agree_with_the_whole_and_lockstep_with_threads(seed: int, shards: int) -> None:
    training, team = Training(random_case(seed), rows=7), Team.of(shards)
    (whole,) = training.plans()
    whole.run()
    threads, lockstep = (training.plans(shards, team.meet) for _ in range(2))
    run_threads(threads, team)
    run_lockstep(lockstep, team)
    for name, value in results([whole]).items():
        assert_same(results(threads)[name], value, name, tolerance=1e-8)
    again = results(lockstep)
    for name, value in results(threads).items():
        assert np.array_equal(again[name], value), name


def deep() -> Graph:
    """A network that trains by everything there is: batch statistics, dropout, residuals."""
    chain = Chain(x=Tensor(("N", 12)))
    value = "x"
    for i in range(3):
        inner = chain.add(Dense(12), value, name=f"dense{i}")
        normal = chain.add(BatchNormalization(), inner)
        active = chain.add(Relu(), normal)
        kept = chain.add(Dropout(0.3), active)
        value = chain.add(Add(), value, kept)
    return chain.graph(chain.add(Softmax(), chain.add(Dense(4), value), name="probabilities"))


def steps_of(graph: Graph, shards: int, rows: Sequence[int], dtype: Any) -> list[Array]:
    """Parameters after each of some steps of gradient descent, on batches of so many rows."""
    network, team = with_parameters(graph, 3), Team.of(shards)
    parameters = Parameters(graph, network.parameters, dtype)
    found: list[Array] = []
    for step, n in enumerate(rows):
        plans = [
            Plan(
                graph,
                parameters,
                {"N": here},
                training=True,
                terms=[Term(CrossEntropy(), "probabilities")],
                shard=shard,
                seed=5,
            )
            for shard, here in split(n, shards, team.meet)
        ]
        x = drawn((n, 12), step)
        target = np.eye(4)[np.arange(n) % 4]
        for plan in plans:
            here = slice(plan.shard.first_row, plan.shard.first_row + len(plan.v["x"]))
            plan.v["x"][...], plan.v["target"][...] = x[here], target[here]
            plan.step = step
        run_threads(plans, team)
        gradient = np.sum([plan.grad for plan in plans], axis=0)
        parameters.flat[: parameters.trainable] -= 0.1 * gradient
        found.append(parameters.flat.copy())
    return found


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_the_same_number_of_shards_gives_the_same_bits(shards: int) -> None:
    rows = [16, 16, 7]
    first, again = (steps_of(deep(), shards, rows, np.float32) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    whole = steps_of(deep(), 1, rows, np.float64)
    assert_same(steps_of(deep(), shards, rows, np.float64)[-1], whole[-1], tolerance=1e-12)


def test_every_step_draws_other_numbers() -> None:
    graph = deep()
    plan = Plan(graph, Weights(graph, with_parameters(graph).parameters), {"N": 9}, training=True)
    plan.v["x"][...] = drawn((9, 12))
    outputs: list[Array] = []
    for step in (0, 1, 0):
        plan.step = step
        plan.run()
        outputs.append(plan.v["probabilities"].copy())
    assert not np.array_equal(outputs[0], outputs[1])
    assert np.array_equal(outputs[0], outputs[2])


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


def convnet() -> Graph:
    """A small network of convolutions, pooling and batch statistics."""
    from cortex.runtime.ops import Convolution, MaxPooling

    chain = Chain(x=Tensor(("N", 12, 12, 1)))
    value = "x"
    for filters in (8, 16):
        value = chain.add(Convolution(filters, (3, 3), padding="same"), value)
        value = chain.add(BatchNormalization(), value)
        value = chain.add(Relu(), value)
        value = chain.add(MaxPooling((2, 2)), value)
    value = chain.add(Dense(10), chain.add(Flatten(), value))
    return chain.graph(chain.add(Softmax(), value, name="probabilities"))


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
