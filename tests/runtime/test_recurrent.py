"""Recurrent layers against plain loops, onnxruntime, themselves differentiated, and real Keras."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from cortex.runtime.errors import GraphError
from cortex.runtime.export import export, select
from cortex.runtime.frame import Frame, Scratch
from cortex.runtime.ir import Graph, Layer, Node
from cortex.runtime.kernels import sequences
from cortex.runtime.losses import Inner, Term
from cortex.runtime.network import Network
from cortex.runtime.op import Operation
from cortex.runtime.ops import CELL_ACTIVATIONS, GRU, LSTM, ConvLSTM, SimpleRNN
from cortex.runtime.parameters import Parameters
from cortex.runtime.plan import Plan
from cortex.runtime.tensor import Tensor
from cortex.runtime.weights import WeightsFile

from .networks import drawn

Array = NDArray[Any]

MASK = np.array(
    [
        [1, 1, 1, 1, 1],
        [1, 1, 1, 0, 0],
        [0, 0, 1, 1, 1],
        [1, 0, 0, 1, 0],
        [0, 1, 0, 1, 1],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [1, 0, 0, 0, 0],
    ],
    bool,
)
ROWS, STEPS = MASK.shape
INPUTS, UNITS = 3, 4


# The definitions, as plain loops.


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


FUNCTIONS: Mapping[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * sigmoid(x),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_sigmoid_0.2": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
}
Apply = Callable[[Array, Array], Array]


def simple_step(op: Any, z: Array, states: Any, p: Mapping[str, Array], apply: Apply) -> Any:
    return [FUNCTIONS[op.activation](z + apply(states[0], p["recurrent_kernel"]))]


def lstm_step(op: Any, z: Array, states: Any, p: Mapping[str, Array], apply: Apply) -> Any:
    act, gate = FUNCTIONS[op.activation], FUNCTIONS[op.recurrent_activation]
    h, c = states
    i, f, g, o = np.split(z + apply(h, p["recurrent_kernel"]), 4, -1)
    c = gate(f) * c + gate(i) * act(g)
    return [gate(o) * act(c), c]


def gru_step(op: Any, z: Array, states: Any, p: Mapping[str, Array], apply: Apply) -> Any:
    act, gate = FUNCTIONS[op.activation], FUNCTIONS[op.recurrent_activation]
    (h,) = states
    kernels = np.split(p["recurrent_kernel"], 3, -1)
    bias = p["bias"][1] if op.reset_after and op.use_bias else np.zeros(z.shape[-1])
    biases = np.split(bias, 3)
    zu, zr, zh = np.split(z, 3, -1)
    u = gate(zu + h @ kernels[0] + biases[0])
    r = gate(zr + h @ kernels[1] + biases[1])
    given = r * (h @ kernels[2] + biases[2]) if op.reset_after else (r * h) @ kernels[2]
    return [u * h + (1 - u) * act(zh + given)]


STEP: Mapping[type, Any] = {SimpleRNN: simple_step, LSTM: lstm_step, GRU: gru_step}


def looped(
    op: Any, p: Mapping[str, Array], x: Array, mask: Array | None, states: Sequence[Array]
) -> list[Array]:
    """Sequences and last states."""
    bias = p.get("bias", np.zeros(1))
    z = x @ p["kernel"] + (bias[0] if bias.ndim == 2 else bias)
    return loop(op, STEP[type(op)], np.matmul, p, z, mask, states)


def loop(
    op: Any,
    step: Any,
    apply: Apply,
    p: Mapping[str, Array],
    z: Array,
    mask: Array | None,
    states: Sequence[Array],
) -> list[Array]:
    states = [state.astype(float) for state in states]
    output = np.zeros_like(states[0])
    y = np.zeros((*z.shape[:2], *output.shape[1:]))
    for t in reversed(range(z.shape[1])) if op.reverse else range(z.shape[1]):
        new = step(op, z[:, t], states, p, apply)
        for row in range(len(z)):
            if mask is None or mask[row, t]:
                output[row] = new[0][row]
                for state, after in zip(states, new, strict=True):
                    state[row] = after[row]
        y[:, t] = output
    return [y, *states]


# Networks of one layer.


def network_of(op: Operation, given: Mapping[str, Array]) -> Network:
    """Inputs called x, mask, h, c; one that is not given is left out."""
    types: dict[str, Tensor] = {}
    for name, array in given.items():
        second = "T" if name in ("x", "mask") else array.shape[1]
        dtype = "bool" if array.dtype == bool else "float"
        types[name] = Tensor(("N", second, *array.shape[2:]), dtype)
    names = ["x", "mask", "h", "c"][: 4 if "c" in given else 3]
    inputs = tuple(name if name in given else "" for name in names)
    node = Node("y", op, inputs, {name: name for name in op.params(types["x"])})
    states = 1 if isinstance(op, SimpleRNN | GRU) else 2
    outputs = {"y": "y", **{f"last {k}": f"y:{k}" for k in range(1, states + 1)}}
    graph = Graph(types, (node,), outputs, {"the layer": Layer("y", "RNN")})
    rng = np.random.default_rng(1)
    shapes = {name: Tensor(param.shape).sizes for name, param in graph.parameters.items()}
    return Network(graph, {name: rng.normal(size=shape) for name, shape in shapes.items()})


def session_of(
    network: Network, folder: Path, layers: Sequence[str] = ()
) -> onnxruntime.InferenceSession:
    single = {name: array.astype(np.float32) for name, array in network.parameters.items()}
    Network(network.graph, single).save(folder / "weights.safetensors")
    model = export(network, WeightsFile.open(folder / "weights.safetensors"))
    if layers:
        model = select(model, layers)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


def single(given: Mapping[str, Array]) -> dict[str, Array]:
    return {n: a if a.dtype == bool else a.astype(np.float32) for n, a in given.items()}


def given_for(op: Operation, mask: bool, states: bool, steps: int = STEPS) -> dict[str, Array]:
    names = ["h", "c"] if isinstance(op, LSTM | ConvLSTM) else ["h"]
    found = {"x": drawn((ROWS, steps, INPUTS), 2, np.float64)}
    if mask:
        found["mask"] = MASK[:, :steps]
    if states:
        found |= {n: drawn((ROWS, UNITS), 3 + k, np.float64) for k, n in enumerate(names)}
    return found


def wanted_of(op: Any, network: Network, given: Mapping[str, Array]) -> list[Array]:
    names = ["h", "c"] if isinstance(op, LSTM) else ["h"]
    zeros = np.zeros((len(given["x"]), op.units))
    states = [given.get(name, zeros) for name in names]
    return looped(op, network.parameters, given["x"], given.get("mask"), states)


LAYERS = [
    *(SimpleRNN(UNITS, name, reverse=r) for name in ("tanh", "silu") for r in (False, True)),
    *(
        LSTM(UNITS, act, gate, bias, r)
        for act, gate, bias in [
            ("tanh", "sigmoid", True),
            ("relu", "hard_sigmoid", False),
            ("silu", "softmax", True),
        ]
        for r in (False, True)
    ),
    *(
        GRU(UNITS, act, gate, after, bias, r)
        for act, gate, bias in [
            ("tanh", "sigmoid", True),
            ("relu", "hard_sigmoid_0.2", False),
            ("silu", "softmax", True),
        ]
        for after in (False, True)
        for r in (False, True)
    ),
]
every_layer = pytest.mark.parametrize("op", LAYERS, ids=repr)


@pytest.mark.parametrize("states", [False, True], ids=["zeros", "states"])
@pytest.mark.parametrize("mask", [False, True], ids=["all", "mask"])
@every_layer
def test_a_layer_is_its_loop(op: Any, mask: bool, states: bool, tmp_path: Path) -> None:
    given = given_for(op, mask, states)
    network = network_of(op, given)
    wanted = wanted_of(op, network, given)
    ours = network.run(given, dtype=np.float64)
    theirs = session_of(network, tmp_path).run(list(network.graph.outputs), single(given))
    for mine, other, array in zip(ours.values(), theirs, wanted, strict=True):
        np.testing.assert_allclose(mine, array, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(np.asarray(other), array, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("counts", [False, True])
@every_layer
def test_one_step_that_counts_for_all_or_for_none(op: Any, counts: bool, tmp_path: Path) -> None:
    given = given_for(op, False, True, steps=1) | {"mask": np.full((ROWS, 1), counts)}
    network = network_of(op, given)
    ours = network.run(given, dtype=np.float64)
    theirs = session_of(network, tmp_path).run(list(network.graph.outputs), single(given))
    wanted = wanted_of(op, network, given)
    for mine, other, array in zip(ours.values(), theirs, wanted, strict=True):
        np.testing.assert_allclose(mine, array, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(np.asarray(other), array, rtol=2e-5, atol=2e-5)


def slopes_agree(op: Operation, given: Mapping[str, Array]) -> None:
    """Along one random direction through all inputs and parameters, at once."""
    network = network_of(op, given)
    floats = [name for name, array in given.items() if array.dtype != bool]
    sizes = {"N": len(given["x"]), "T": given["x"].shape[1]}
    parameters = Parameters(network.graph, network.parameters, np.float64)
    terms = [Term(Inner(), value, f"target {value}") for value in network.graph.outputs.values()]
    plan = Plan(network.graph, parameters, sizes, training=True, terms=terms, wrt=floats)
    rng = np.random.default_rng(4)
    for term in terms:
        plan.v[term.target][...] = rng.normal(size=plan.v[term.target].shape)
    for name, array in given.items():
        plan.v[name][...] = array
    plan.run()
    weights: Any = parameters.flat
    pairs: list[tuple[Array, Array]] = [(plan.v[name], plan.g[name].copy()) for name in floats]
    pairs.append((weights, np.array(plan.grad)))
    along = [rng.normal(size=array.shape) for array, _ in pairs]
    slope = sum(float((g * d).sum()) for (_, g), d in zip(pairs, along, strict=True))
    before, losses, step = [array.copy() for array, _ in pairs], list[float](), 1e-6
    for sign in (1, -1):
        for (array, _), start, d in zip(pairs, before, along, strict=True):
            array[...] = start + sign * step * d
        plan.run()
        losses.append(float(plan.losses.sum()))
    assert slope == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("states", [False, True], ids=["zeros", "states"])
@every_layer
def test_gradients_through_masked_steps(op: Any, states: bool) -> None:
    slopes_agree(op, given_for(op, True, states))


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("op", [LSTM(UNITS), GRU(UNITS), GRU(UNITS, reset_after=False)], ids=repr)
def test_gradients_are_summed_over_blocks_of_steps(
    op: Any, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequences, "CACHED", 1)
    monkeypatch.setattr(sequences, "LEAST_ROWS", steps * ROWS)
    for mask in (False, True):
        slopes_agree(op, given_for(op, mask, True))


@pytest.mark.parametrize("op", [SimpleRNN(8), LSTM(8), GRU(8), GRU(8, reset_after=False)], ids=repr)
def test_long_sequences(op: Any, tmp_path: Path) -> None:
    lengths = np.array([400, 250, 0, 1])
    mask = np.arange(400) < lengths[:, None]
    mask[0, 100:200] = False
    given = {"x": drawn((4, 400, INPUTS), 2, np.float64), "mask": mask}
    network = network_of(op, given)
    network = Network(network.graph, {n: a / 3 for n, a in network.parameters.items()})
    wanted = wanted_of(op, network, given)
    found = network.run(given, dtype=np.float64)
    theirs = session_of(network, tmp_path).run(list(network.graph.outputs), single(given))
    for mine, other, array in zip(found.values(), theirs, wanted, strict=True):
        np.testing.assert_allclose(mine, array, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(np.asarray(other), array, rtol=1e-4, atol=1e-4)


def test_a_layer_read_out_of_a_scan(tmp_path: Path) -> None:
    op = LSTM(UNITS, "silu")
    given = given_for(op, True, True)
    network = network_of(op, given)
    (found,) = session_of(network, tmp_path, ["the layer"]).run(None, single(given))
    wanted = wanted_of(op, network, given)[0]
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("op", "mask", "operator"),
    [
        (LSTM(2), False, "LSTM"),
        (LSTM(2), True, "LSTM"),
        (GRU(2, "linear", "hard_sigmoid"), True, "GRU"),
        (SimpleRNN(2, "softsign"), False, "RNN"),
        (SimpleRNN(2, "gelu"), False, "Scan"),
        (GRU(2, recurrent_activation="silu"), True, "Scan"),
    ],
    ids=str,
)
def test_which_onnx_operator_it_becomes(op: Any, mask: bool, operator: str, tmp_path: Path) -> None:
    network = network_of(op, given_for(op, mask, False))
    network.save(tmp_path / "w.safetensors")
    model = export(network, WeightsFile.open(tmp_path / "w.safetensors"))
    kinds = {node.op_type for node in model.graph.node}
    assert kinds & {"RNN", "LSTM", "GRU", "Scan"} == {operator}


def test_an_activation_may_lie_over_its_input() -> None:
    rng = np.random.default_rng(0)
    for name, activation in CELL_ACTIVATIONS.items():
        x, dy = rng.normal(size=(2, 3, 4)) * 3, rng.normal(size=(2, 3, 4))
        y, dx, over, again = np.empty_like(x), np.empty_like(x), x.copy(), np.empty_like(x)
        at = frame()
        activation.forward(at, x, y)()
        activation.backward(at, x, y, dy, dx)()
        activation.forward(at, over, over)()
        np.testing.assert_array_equal(over, y, err_msg=name)
        if activation.from_output:
            activation.backward(at, over, over, dy, again)()
            np.testing.assert_allclose(again, dx, rtol=1e-13, err_msg=name)


def frame() -> Frame:
    empty: Any = ()
    return Frame(
        xp=np,
        dtype=np.dtype(np.float64),
        x=empty,
        y=empty,
        dx=empty,
        dy=empty,
        p={},
        dp={},
        training=True,
        frozen=False,
        grads=True,
        name="",
        scratch_memory=Scratch(np),
        draw=lambda shape, row: lambda: None,
        draw_words=lambda shape, row: lambda: None,
    )


X, VECTOR = Tensor(("N", 5, 3)), Tensor(("N", 4))


@pytest.mark.parametrize(
    ("op", "inputs", "message"),
    [
        (LSTM(4, "cube"), [X], "no cell knows the activation 'cube'"),
        (GRU(4, recurrent_activation="Tanh"), [X], "no cell knows the activation 'Tanh'"),
        (LSTM(0), [X], "0 units are none"),
        (GRU(2, projected=True), [X], "needs what a kernel gave, vectors of 6, not of 3"),
        (LSTM(4), [VECTOR], "needs a batch of sequences of vectors"),
        (LSTM(4), [Tensor(("N", 5, 3), "int32")], "needs floats, but its input is int32"),
        (LSTM(4), [X, Tensor(("N", 5))], "needs a mask of bools, but it is float"),
        (LSTM(4), [X, Tensor(("N", 6), "bool")], r"needs a mask of shape \('N', 5\)"),
        (LSTM(3), [X, None, VECTOR], r"needs a state of shape \('N', 3\), but it is \('N', 4\)"),
        (LSTM(4), [X, None, None, Tensor(("N", 4), "int64")], "needs states of floats"),
        (GRU(4), [X, None, VECTOR, VECTOR], "takes from 2 to 4"),
        (ConvLSTM(2, (3,)), [X], "needs a batch of sequences of images"),
        (ConvLSTM(0, (1,)), [Tensor(("N", 2, 3, 1))], "0 filters are none"),
        (ConvLSTM(2, (3, 3)), [Tensor(("N", 2, 3, 1))], "needs 2 spatial axes"),
        (ConvLSTM(2, (4,)), [Tensor(("N", 2, 3, 1))], "a window of 4 does not fit an axis of 3"),
        (ConvLSTM(2, (1,), activation="x"), [Tensor(("N", 2, 3, 1))], "activation 'x'"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(op: Any, inputs: Any, message: str) -> None:
    names = [f"x{i}" if tensor else "" for i, tensor in enumerate(inputs)]
    types = {name: tensor for name, tensor in zip(names, inputs, strict=True) if tensor}
    with pytest.raises(GraphError, match=message):
        Graph(types, (Node("y", op, tuple(names)),), {"y": "y"})


PROJECTED = [
    SimpleRNN(UNITS, reverse=True),
    LSTM(UNITS),
    LSTM(UNITS, "silu", use_bias=False),
    GRU(UNITS),
    GRU(UNITS, reset_after=False),
]


@pytest.mark.parametrize("op", PROJECTED, ids=repr)
def test_a_projected_layer_is_one_whose_product_came_before(op: Any) -> None:
    rng = np.random.default_rng(2)
    x, mask = rng.normal(size=(3, 5, 4)), rng.random((3, 5)) < 0.7
    whole = network_of(op, {"x": x, "mask": mask})
    p = {name: np.asarray(array) for name, array in whole.parameters.items()}
    kernel = p.pop("kernel")
    given = {"x": x @ kernel, "mask": mask}
    graph = network_of(replace(op, projected=True), given).graph
    found, wanted = Network(graph, p).run(given), whole.run({"x": x, "mask": mask})
    assert graph.parameters.keys() == p.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=1e-5)


# Convolutional LSTMs.


def convolved(x: Array, kernel: Array, stride: Any, dilation: Any, pads: Any) -> Array:
    """A convolution as a sum over the elements of its window."""
    rank = kernel.ndim - 2
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    extents = [(k - 1) * d + 1 for k, d in zip(kernel.shape[:rank], dilation, strict=True)]
    axes = zip(x.shape[1:-1], extents, stride, strict=True)
    counts = [(n - e) // s + 1 for n, e, s in axes]
    y = np.zeros((len(x), *counts, kernel.shape[-1]))
    for k in np.ndindex(*kernel.shape[:rank]):
        starts = [i * d for i, d in zip(k, dilation, strict=True)]
        cuts = [
            slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, counts, stride, strict=True)
        ]
        y += x[(slice(None), *cuts)] @ kernel[k]
    return y


def same(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> list[Any]:
    totals = [
        max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel, stride, strict=True)
    ]
    return [(total // 2, total - total // 2) for total in totals]


CONVOLUTIONS = [
    # input, operation
    ((6, 2), ConvLSTM(3, (3,), padding="same")),
    ((7, 2), ConvLSTM(2, (4,), (2,), "same", reverse=True)),
    ((7, 2), ConvLSTM(2, (3,), dilation=(2,), use_bias=False)),
    ((5, 4, 2), ConvLSTM(2, (3, 3), padding="same")),
    ((5, 4, 2), ConvLSTM(2, (2, 3), (2, 1), "valid", (), "relu", "hard_sigmoid", reverse=True)),
    ((3, 4, 3, 1), ConvLSTM(2, (2, 3, 2), (1, 2, 1), "same")),
]


@pytest.mark.parametrize("states", [False, True], ids=["zeros", "states"])
@pytest.mark.parametrize("mask", [False, True], ids=["all", "mask"])
@pytest.mark.parametrize(("size", "op"), CONVOLUTIONS, ids=repr)
def test_a_convolutional_lstm_is_its_loop(
    size: Any, op: ConvLSTM, mask: bool, states: bool, tmp_path: Path
) -> None:
    ones = (1,) * len(op.kernel_size)
    stride, dilation = op.strides or ones, op.dilation or ones
    pads: Any = [(0, 0)] * len(ones)
    if op.padding == "same":
        pads = same(size[:-1], op.kernel_size, stride)
    given = {"x": drawn((ROWS, STEPS, *size), 2, np.float64)}
    (_, _, *places, _) = given["x"].shape
    state = op.infer(Tensor(given["x"].shape))[1].sizes
    if mask:
        given["mask"] = MASK
    if states:
        given |= {n: drawn(state, 3 + k, np.float64) for k, n in enumerate(("h", "c"))}
    network = network_of(op, given)
    p = network.parameters
    images = given["x"].reshape(-1, *places, size[-1])
    z = convolved(images, p["kernel"], stride, dilation, pads) + p.get("bias", 0)
    z = z.reshape(ROWS, STEPS, *z.shape[1:])

    def apply(h: Array, kernel: Array) -> Array:
        return convolved(h, kernel, ones, ones, same(state[1:-1], op.kernel_size, ones))

    first = [given.get(name, np.zeros(state)) for name in ("h", "c")]
    wanted = loop(op, lstm_step, apply, p, z, given.get("mask"), first)
    ours = network.run(given, dtype=np.float64)
    theirs = session_of(network, tmp_path).run(list(network.graph.outputs), single(given))
    for mine, other, array in zip(ours.values(), theirs, wanted, strict=True):
        np.testing.assert_allclose(mine, array, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(np.asarray(other), array, rtol=5e-5, atol=5e-5)
    if mask:
        slopes_agree(op, given)


# Real Keras.


@pytest.fixture(scope="module")
def keras() -> Any:
    import os

    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


def agrees(layer: Any, op: Any, given: Mapping[str, Array]) -> None:
    """Keras gives sequences in the order of computation, we in that of time."""
    given = single(given)
    states = [given[name] for name in ("h", "c") if name in given]
    options = {"initial_state": states} if states else {}
    wanted = layer(given["x"], mask=given.get("mask"), **options)
    arrays = {v.name: np.asarray(v) for v in layer.weights}
    network = Network(network_of(op, given).graph, arrays)
    found = [*network.run(given, dtype=np.float64).values()]
    if op.reverse:
        found[0] = found[0][:, ::-1]
    for mine, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, np.asarray(other), rtol=1e-5, atol=1e-5, err_msg=repr(op))


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
def test_recurrent_layers_are_those_of_keras(keras: Any, reverse: bool) -> None:
    common = {"return_sequences": True, "return_state": True, "go_backwards": reverse}
    names = ["tanh", "hard_sigmoid", "leaky_relu", "gelu", "silu", "hard_silu", "selu"]
    for act, gate in [("tanh", "sigmoid"), *itertools.pairwise(names)]:
        both = {"activation": act, "recurrent_activation": gate}
        pairs = [
            (SimpleRNN(UNITS, act, reverse=reverse), keras.layers.SimpleRNN, {"activation": act}),
            (LSTM(UNITS, act, gate, reverse=reverse), keras.layers.LSTM, both),
            (GRU(UNITS, act, gate, reverse=reverse), keras.layers.GRU, both),
            (
                GRU(UNITS, act, gate, reset_after=False, reverse=reverse),
                keras.layers.GRU,
                {**both, "reset_after": False},
            ),
        ]
        for (op, layer, more), mask, states in itertools.product(
            pairs, (False, True), (False, True)
        ):
            if states and act != "tanh":
                continue
            # Its loop starts a masked output at the initial state; unrolled, at zeros, as we do.
            made = layer(UNITS, unroll=mask and states, bias_initializer="normal", **more, **common)
            agrees(made, op, given_for(op, mask, states))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "op"), CONVOLUTIONS, ids=repr)
def test_convolutional_lstms_are_those_of_keras(keras: Any, size: Any, op: ConvLSTM) -> None:
    ones = (1,) * len(op.kernel_size)
    layer = getattr(keras.layers, f"ConvLSTM{len(ones)}D")(
        op.filters,
        op.kernel_size,
        op.strides or ones,
        op.padding,
        dilation_rate=op.dilation or ones,
        activation=op.activation,
        recurrent_activation=op.recurrent_activation,
        use_bias=op.use_bias,
        go_backwards=op.reverse,
        return_sequences=True,
        return_state=True,
        bias_initializer="normal",
    )
    agrees(layer, op, {"x": drawn((ROWS, STEPS, *size), 2)})
