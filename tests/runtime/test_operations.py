"""What every operation must hold, tried on its examples: a new one is tested by being declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest

from cortex.runtime import ops
from cortex.runtime.device import array_module, to_numpy
from cortex.runtime.export import export
from cortex.runtime.ir import Graph, Node
from cortex.runtime.losses import Inner, Term
from cortex.runtime.network import Network
from cortex.runtime.op import OPERATIONS, Operation
from cortex.runtime.parameters import Parameters
from cortex.runtime.plan import Plan
from cortex.runtime.tensor import STRING, Tensor
from cortex.runtime.weights import WeightsFile

from .networks import evaluated
from .strict import Strict

ROWS = 3
TEXTS = ("", "a", " \t", "a b\na!", "A^b-C]", "Été, É\u00a0a", "\U0001f600 ba", "!a^b-c]d\\e,f!")
assert ops.__doc__


def cases() -> Iterator[Any]:
    for kind, cls in sorted(OPERATIONS.items()):
        for i, (op, inputs) in enumerate(cls.examples()):
            yield pytest.param(op, inputs, id=f"{kind}-{i}")


every_example = pytest.mark.parametrize(("op", "inputs"), list(cases()))


def graph_of(op: Operation, inputs: Sequence[Tensor | None]) -> Graph:
    names = [f"x{i}" if tensor else "" for i, tensor in enumerate(inputs)]
    local = op.params(*inputs)
    node = Node("y", op, tuple(names), {name: f"y/{name}" for name in local}, "the layer")
    given = {name: tensor for name, tensor in zip(names, inputs, strict=True) if tensor}
    inferred = op.infer(*inputs)
    count = len(inferred) if isinstance(inferred, tuple) else 1
    values = ["y", *(f"y:{i}" for i in range(1, count))]
    return Graph(given, (node,), {value: value for value in values})


def draw(
    tensor: Tensor,
    rng: np.random.Generator,
    rows: int = ROWS,
    domain: tuple[float, float] | None = None,
) -> np.ndarray[Any, Any]:
    shape = [rows if n == "N" else 5 if isinstance(n, str) else n for n in tensor.shape]
    if tensor.dtype == "bool":
        return rng.random(shape) < 0.7
    if tensor.dtype == STRING:
        return rng.choice(np.array(TEXTS, object), shape)
    if tensor.dtype != "float":
        return rng.integers(0 if domain is None else 1, 3, shape).astype(tensor.dtype)
    return rng.uniform(*domain, shape) if domain else rng.normal(size=shape)


def assert_close(found: Any, wanted: Any, rtol: float, atol: float, name: str) -> None:
    """Numbers agree to rounding, strings altogether."""
    if wanted.dtype == object:
        np.testing.assert_array_equal(found, wanted, err_msg=name)
    else:
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=atol, err_msg=name)


def network_of(op: Operation, inputs: Sequence[Tensor | None]) -> Network:
    graph, rng = graph_of(op, inputs), np.random.default_rng(7)
    parameters: dict[str, Any] = {}
    for name, param in graph.parameters.items():
        sign = rng.choice([-1, 1]) if param.trainable else 1  # a variance is positive
        parameters[name] = rng.uniform(0.2, 1.5, Tensor(param.shape).sizes) * sign
    return Network(graph, parameters)


def values_of(network: Network, rows: int = ROWS) -> dict[str, np.ndarray[Any, Any]]:
    rng, domain = np.random.default_rng(3), network.graph.nodes[0].op.domain
    return {name: draw(tensor, rng, rows, domain) for name, tensor in network.graph.inputs.items()}


def sizes_of(network: Network) -> dict[str, int]:
    names = {n for t in network.graph.inputs.values() for n in t.shape if isinstance(n, str)}
    return {name: ROWS if name == "N" else 5 for name in names}


def test_every_operation_has_examples() -> None:
    assert [kind for kind, cls in OPERATIONS.items() if not cls.examples()] == []


@every_example
def test_the_inferred_shape_is_the_real_one(op: Operation, inputs: Sequence[Tensor | None]) -> None:
    network = network_of(op, inputs)
    found = network.run(values_of(network), dtype=np.float64)
    sizes = sizes_of(network)
    for name in network.graph.outputs:
        shape = network.graph.types[name].shape
        assert found[name].shape == tuple(evaluated(n, **sizes) for n in shape)
        assert found[name].dtype == object or np.isfinite(found[name]).all()


@every_example
def test_json_round_trip(op: Operation, inputs: Sequence[Tensor | None]) -> None:
    graph = graph_of(op, inputs)
    again = Graph.from_json(graph.to_json())
    assert again == graph
    assert again.types == graph.types


@every_example
def test_onnxruntime_computes_the_same(
    op: Operation, inputs: Sequence[Tensor | None], tmp_path: Any
) -> None:
    network = network_of(op, inputs)
    single = {name: array.astype(np.float32) for name, array in network.parameters.items()}
    Network(network.graph, single).save(tmp_path / "weights.safetensors")
    model = export(network, WeightsFile.open(tmp_path / "weights.safetensors"))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    given = {
        name: array.astype(np.float32) if array.dtype == np.float64 else array
        for name, array in values_of(network).items()
    }
    wanted = network.run(given, dtype=np.float64)
    found = session.run(list(network.graph.outputs), given)
    for name, array in zip(network.graph.outputs, found, strict=True):
        assert isinstance(array, np.ndarray)
        assert_close(array, wanted[name], 2e-5, 2e-5, name)


def differentiable(network: Network) -> list[str]:
    return [name for name, tensor in network.graph.inputs.items() if tensor.dtype == "float"]


def plan_of(network: Network, training: bool, frozen: bool, **options: Any) -> Plan:
    """A plan whose loss is the inner product of every output with a fixed random target."""
    graph = network.graph
    terms = [
        Term(Inner(), value, f"target {value}")
        for value in graph.outputs
        if graph.types[value].dtype == "float"
    ]
    plan = Plan(
        graph,
        Parameters(graph, network.parameters, np.float64, options.get("xp", np)),
        sizes_of(network),
        training=training,
        terms=terms,
        wrt=differentiable(network),
        frozen=["y"] if frozen else [],
        **options,
    )
    rng = np.random.default_rng(11)
    for name, array in values_of(network).items():
        plan.v[name][...] = array
    for term in terms:
        plan.v[term.target][...] = rng.normal(size=plan.v[term.target].shape)
    return plan


def central_difference(array: Any, i: int, loss: Callable[[], float], h: float = 1e-6) -> float:
    flat = array.reshape(-1)
    before = flat[i]
    flat[i] = before + h
    above = loss()
    flat[i] = before - h
    below = loss()
    flat[i] = before
    return (above - below) / (2 * h)


@pytest.mark.parametrize("frozen", [False, True], ids=["learning", "frozen"])
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@every_example
def test_gradients_are_central_differences(
    op: Operation, inputs: Sequence[Tensor | None], training: bool, frozen: bool
) -> None:
    plan = plan_of(network_of(op, inputs), training, frozen)
    if op.detached or not plan.terms:
        return  # its outputs count as constants, or none is a float
    parameters: Any = plan.parameters
    vector: Any = plan.grad
    state = parameters.flat.copy()

    def loss() -> float:
        trained = parameters.flat[: parameters.trainable].copy()
        for step in plan.forward:
            step()
        parameters.flat[:] = state  # moving averages move
        parameters.flat[: parameters.trainable] = trained
        return float(plan.losses.sum())

    loss()
    vector.fill(np.nan)
    plan.run()
    parameters.flat[:] = state
    pairs: dict[str, tuple[Any, Any]] = {
        name: (plan.v[name], plan.g[name].copy()) for name in plan.g
    }
    if frozen:
        assert not vector.any()
    else:
        grads = parameters.views(vector.copy())
        pairs |= {name: (parameters.of[name], grads[name]) for name in grads}
    for name, (array, gradient) in pairs.items():
        rng = np.random.default_rng(5)
        for i in rng.permutation(array.size)[:12]:
            slope = central_difference(array, int(i), loss)
            assert gradient.reshape(-1)[i] == pytest.approx(slope, rel=2e-6, abs=2e-7), (name, i)


@every_example
def test_a_step_makes_no_fresh_array(op: Operation, inputs: Sequence[Tensor | None]) -> None:
    strict = Strict()
    plan = plan_of(network_of(op, inputs), True, False, xp=strict)
    with strict.armed():
        plan.run()
        plan.run()


@pytest.mark.parametrize("shards", [2, 3])
@every_example
def test_shards_agree_with_the_whole(
    op: Operation, inputs: Sequence[Tensor | None], shards: int
) -> None:
    from .sharded import gradients

    network = network_of(op, inputs)
    if any(tensor.shape[:1] != ("N",) for tensor in network.graph.types.values()):
        return  # a value that does not hold the batch's rows: such a network runs in one shard
    given = values_of(network, rows=7)
    whole, parts = gradients(network, given, 1), gradients(network, given, shards)
    for name, value in whole.items():
        assert_close(parts[name], value, 1e-10, 1e-12, name)


@pytest.mark.gpu
@every_example
def test_cupy_computes_the_same(op: Operation, inputs: Sequence[Tensor | None]) -> None:
    cupy = array_module("cuda")
    network = network_of(op, inputs)
    host, device = plan_of(network, True, False), plan_of(network, True, False, xp=cupy)
    host.run()
    device.run()
    for name in network.graph.outputs:
        assert_close(to_numpy(device.v[name]), host.v[name], 1e-9, 1e-12, name)
    for name, gradient in host.g.items():
        np.testing.assert_allclose(to_numpy(device.g[name]), gradient, rtol=1e-9, atol=1e-12)
    gradient: Any = device.grad
    np.testing.assert_allclose(to_numpy(gradient), host.grad, rtol=1e-9, atol=1e-12)
