"""Operations on arrays: edges that drawn numbers miss, held against NumPy or numbers from Keras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.runtime import ops
from cortex.runtime.errors import GraphError
from cortex.runtime.ir import Graph, Node
from cortex.runtime.losses import Inner, Term
from cortex.runtime.network import Network
from cortex.runtime.op import Operation
from cortex.runtime.parameters import Parameters
from cortex.runtime.plan import Plan
from cortex.runtime.tensor import Size, Tensor

from .networks import Array, Chain, drawn, with_parameters
from .test_export import answers, exported

INF = float("inf")
T, F = True, False


def both(network: Network, given: dict[str, Any], folder: Path) -> Array:
    """What NumPy in float64 computes; onnxruntime agrees."""
    (name,) = network.graph.outputs
    wanted = network.run(given, dtype=np.float64)[name]
    (found,) = answers(exported(network, folder), folder, given)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)
    return wanted


def applied(op: Operation, *arrays: Any, folder: Path) -> Array:
    """The operation of these arrays by both engines."""
    given = {f"x{i}": np.asarray(array) for i, array in enumerate(arrays)}
    given = {k: a.astype(np.float32) if a.dtype.kind == "f" else a for k, a in given.items()}
    inputs = {
        name: Tensor(("N", *a.shape[1:]), "float" if a.dtype.kind == "f" else a.dtype.name)
        for name, a in given.items()
    }
    return both(
        Network(Graph(inputs, (Node("y", op, tuple(inputs)),), {"y": "y"}), {}), given, folder
    )


def int64(*numbers: int) -> Array:
    return np.array(numbers, "int64")


SEVENS = [7.5, -7.5, 7.5, -7.5, 6.0, -6.0]
TWOS = [2.0, 2.0, -2.0, -2.0, -2.0, 2.0]
WHOLES = int64(7, -7, 7, -7, 6, -6), int64(2, 2, -2, -2, -2, 2)


@pytest.mark.parametrize(
    ("op", "arrays", "wanted"),
    [
        (ops.Mod(), (SEVENS, TWOS), [1.5, 0.5, -0.5, -1.5, 0, 0]),
        (ops.Mod(), WHOLES, [1, 1, -1, -1, 0, 0]),
        (ops.FloorDivide(), (SEVENS, TWOS), [3, -4, -4, 3, -3, -3]),
        (ops.FloorDivide(), WHOLES, [3, -4, -4, 3, -3, -3]),
        (ops.Round(), ([0.5, 1.5, 2.5, -0.5, -1.5],), [0, 2, 2, 0, -2]),
        (ops.Clip(low=0.0), ([-1.0, 0.0, 9.0],), [0, 0, 9]),
        (ops.Threshold(0.5, -1.0), ([0.4, 0.5, 0.6],), [-1, -1, 0.6]),
        (ops.SparsePlus(), ([-2.0, -1, 0, 1, 2],), [0, 0, 0.25, 1, 2]),
        (ops.Cast("int32"), ([-1.7, 1.7, -0.2],), [-1, 1, 0]),
        (ops.Cast("bool"), ([-0.3, 0.0, 2.0],), [T, F, T]),
        (ops.NotEqual(0.1), ([0.1, 0.2],), [F, T]),
        (ops.Equal(0), (int64(0, 3, 0),), [T, F, T]),
        (ops.LessEqual(0.1), ([0.1, 0.2],), [T, F]),
        (ops.Fill(-INF), ([1.0, 2.0], [T, F]), [-INF, 2]),
        (ops.Fill(0, False), ([1.0, 2.0], [T, F]), [1, 0]),
        (ops.ReduceProd(), ([2.0, 0.0, 3.0],), 0),
        (ops.ReduceMean(), ([2.0, 0.0, 4.0],), 2),
        (ops.LogSumExp((1,)), ([[500.0, 500.0]],), [500 + np.log(2)]),
        (ops.ArgMax(), ([[1.0, 3.0, 3.0]],), [1]),
        (ops.OneHot(2), (int64(0, 1, 2, -1),), [[1, 0], [0, 1], [0, 0], [0, 0]]),
        (ops.OneHot(2), ([0.0, 1.9, 5.0],), [[1, 0], [0, 1], [0, 0]]),
        (ops.TakeAlongAxis(), ([[1.0, 2.0, 3.0]], [int64(-1, -9, 9)]), [[3, 1, 3]]),
        (ops.UnitNormalization(), ([[3.0, 4.0], [0.0, 0.0]],), [[0.6, 0.8], [0, 0]]),
        # Keras 3.15, all of its backends.
        (ops.Sparsemax(), ([[1.0, 0.9, -3], [0.1, 0.2, 0.3]],), [[0.05, 0, 0], [0, 1 / 15, 1 / 6]]),
        (ops.Glu(), ([[1.0, 2.0, 0.0, 0.0]],), [[0.5, 1.0]]),
    ],
    ids=lambda value: value.kind if isinstance(value, Operation) else "",
)
def test_values(op: Operation, arrays: Sequence[Any], wanted: Any, tmp_path: Path) -> None:
    np.testing.assert_allclose(applied(op, *arrays, folder=tmp_path), wanted, rtol=1e-6, atol=1e-7)


def test_a_float64_number_is_compared_as_float32_too() -> None:
    node = Node("y", ops.NotEqual(0.1), ("x",))
    network = Network(Graph({"x": Tensor(("N",))}, (node,), {"y": "y"}), {})
    for dtype in (np.float32, np.float64):
        assert not network.run({"x": np.array([0.1], dtype)}, dtype=np.float64)["y"]


def slope(op: Operation, x: Any) -> Array:
    """The gradient of the sum of y."""
    x = np.asarray(x, float)
    graph = Graph({"x": Tensor(("N", *x.shape[1:]))}, (Node("y", op, ("x",)),), {"y": "y"})
    terms = [Term(Inner(), "y", "ones", len(x))]
    plan = Plan(graph, Parameters(graph, {}, float), {"N": len(x)}, terms=terms, wrt=["x"])
    plan.v["x"][...], plan.v["ones"][...] = x, 1
    plan.run()
    return plan.g["x"]


@pytest.mark.parametrize(
    ("op", "x", "wanted"),
    [
        (
            ops.ReduceProd((1,)),
            [[2, 3, 4], [0, 3, 4], [0, 0, 4]],
            [[12, 8, 6], [12, 0, 0], [0] * 3],
        ),
        (ops.ReduceMax((1,)), [[1, 3, 3], [1, 2, 3]], [[0, 0.5, 0.5], [0, 0, 1]]),
        (ops.Abs(), [[-2, 0, 2]], [[-1, 0, 1]]),
        (ops.UnitNormalization(epsilon=1.0), [[0.0, 0.0]], [[1, 1]]),
        (ops.Clip(-1, 1), [[-2, -1, 0, 1, 2]], [[0, 1, 1, 1, 0]]),
    ],
    ids=lambda value: value.kind if isinstance(value, Operation) else "",
)
def test_slopes_at_corners(op: Operation, x: Any, wanted: Any) -> None:
    np.testing.assert_allclose(slope(op, x), wanted)


def test_slices_are_those_of_numpy() -> None:
    """Over a fixed and an open axis; the latter, where its bounds do not say how many there are."""
    rng, x = np.random.default_rng(0), drawn((2, 7, 3))
    bounds = [None, *range(-6, 7)]
    refused = 0
    for _ in range(200):
        begin, end = (bounds[i] for i in rng.integers(0, len(bounds), 2))
        step = int(rng.choice([-3, -2, -1, 1, 2, 3]))
        wanted = x[:, begin:end:step]
        if not wanted.size:
            continue
        op = ops.StridedSlice((None, begin), (None, end), (None, step))
        assert op.infer(Tensor(("N", 7, 3))).shape == ("N", *wanted.shape[1:])
        try:
            size = op.infer(Tensor(("N", "T", 3))).shape[1]
        except ValueError:
            refused += 1
            continue
        graph = Graph({"x": Tensor(("N", "T", 3))}, (Node("y", op, ("x",)),), {"y": "y"})
        np.testing.assert_array_equal(Network(graph, {}).run({"x": x})["y"], wanted)
        assert isinstance(size, str) or size == wanted.shape[1]
    assert 0 < refused < 100


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric"])
def test_padding_is_that_of_numpy(mode: Any, tmp_path: Path) -> None:
    x, paddings = drawn((2, 4, 5)), ((0, 0), (3, 2), (0, 4))
    found = applied(ops.Pad(paddings, mode), x, folder=tmp_path)
    np.testing.assert_array_equal(found, np.pad(x.astype(float), paddings, mode))


def time_distributed() -> Graph:
    """The rows of a sequence through layers that know no time, lengths open."""
    chain = Chain(x=Tensor(("N", "T", 4)))
    rows = chain.add(ops.MergeAxes(), "x")
    rows = chain.add(ops.Tanh(), chain.add(ops.Dense(3), rows))
    return chain.graph(chain.add(ops.SplitBatch(), rows, "x", name="y"))


def test_the_batch_and_time_merge_and_part(tmp_path: Path) -> None:
    graph = time_distributed()
    assert graph.types["y"].shape == ("N", "T", 3)
    network = with_parameters(graph)
    x = drawn((300, 7, 4))
    found = both(network, {"x": x}, tmp_path)
    chain = Chain(x=Tensor(("N", "T", 4)))
    chain.add(ops.Tanh(), chain.add(ops.Dense(3), "x", name="dense1"), name="y")
    plain = Network(chain.graph("y"), network.parameters)
    np.testing.assert_allclose(found, plain.run({"x": x}, dtype=float)["y"], atol=1e-12)


def test_a_gradient_goes_through_merged_axes() -> None:
    graph = time_distributed()
    parameters = Parameters(graph, with_parameters(graph).parameters, float)
    terms = [Term(Inner(), "y", "target")]
    plan = Plan(graph, parameters, {"N": 2, "T": 3}, terms=terms, wrt=["x"], training=True)
    x, target = drawn((2, 3, 4), dtype=float), drawn((2, 3, 3), 1, float)
    plan.v["x"][...], plan.v["target"][...] = x, target
    plan.run()
    kernel, bias = parameters.of["dense1/kernel"], parameters.of["dense1/bias"]
    inner = (1 - np.tanh(x @ kernel + bias) ** 2) * target / 2
    np.testing.assert_allclose(plan.g["x"], inner @ kernel.T, rtol=1e-12)
    gradient = parameters.views(plan.grad)["dense1/kernel"]
    np.testing.assert_allclose(gradient, np.einsum("ntk,ntu->ku", x, inner), rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (4,), (3, 1), (2, 3, 4)])
def test_a_constant_meets_a_batch(shape: tuple[int, ...], tmp_path: Path) -> None:
    chain = Chain(x=Tensor(("N", 2, 3, 4)))
    constant = chain.add(ops.Constant(shape))
    y = chain.add(ops.Add(), constant, chain.add(ops.Multiply(), "x", constant))
    network, x = with_parameters(chain.graph(y)), drawn((500, 2, 3, 4))
    network.save(tmp_path / "saved.safetensors")
    value = network.parameters[f"{constant}/value"]
    found = both(Network.load(tmp_path / "saved.safetensors"), {"x": x}, tmp_path)
    np.testing.assert_allclose(found, x * value.astype(float) + value, rtol=1e-6)


def test_a_mask_is_made_and_used(tmp_path: Path) -> None:
    """Steps that hold nothing but the mask's value, averaged over the others."""
    chain = Chain(x=Tensor(("N", "T", 3)))
    mask = chain.add(ops.ReduceAny((-1,)), chain.add(ops.NotEqual(-999.9), "x"))
    column = chain.add(ops.ExpandDims((-1,)), mask)
    kept = chain.add(ops.Fill(0, False), "x", column)
    total = chain.add(ops.ReduceSum((1,)), kept)
    count = chain.add(ops.ReduceSum((1,)), chain.add(ops.Cast("float"), column))
    network = Network(chain.graph(chain.add(ops.Divide(), total, count)), {})
    x = drawn((2, 4, 3))
    x[1, 2:] = -999.9
    found = both(network, {"x": x}, tmp_path)
    np.testing.assert_allclose(found, [x[0].mean(0), x[1, :2].mean(0)], rtol=1e-5)


OF_AN_IMAGE: Sequence[tuple[Operation, str]] = [
    (ops.StridedSlice((None, 1, None, -1), (None, 3, None, None), (1, 1, -1, -1)), "image"),
    (ops.Take((2, 0), -1), "image"),
    (ops.Take((2, 0), 1), "image"),
    (ops.Repeat(2, 1), "image"),
    (ops.Repeat(3, -1), "image"),
    (ops.Pad(((0, 0), (1, 0), (0, 2), (0, 1))), "image"),
    (ops.Pad(((0, 0), (1, 0), (0, 2), (0, 1)), "reflect"), "image"),
    (ops.Pad(((0, 0), (1, 0), (0, 2), (0, 1)), "symmetric"), "image"),
    (ops.ReduceMax((1, -1)), "image"),
    (ops.ReduceMean((-1,), True), "image"),
    (ops.CumSum(1), "image"),
    (ops.UnitNormalization(), "image"),
    (ops.Glu(), "image"),
    (ops.Sparsemax(), "image"),
    (ops.ArgMax(), "image"),
    (ops.Tile((1, 2, 1, 1)), "image"),
    (ops.BroadcastTo((2, -1, -1, -1, -1)), "image"),
    (ops.MergeAxes(1, 2), "image"),
    (ops.ExpandDims((1,)), "image"),
    (ops.OneHot(3), "image"),
    (ops.Mod(), "image image"),
    (ops.TakeAlongAxis(1), "image image"),
    (ops.Where(), "mask image image"),
    (ops.Fill(9.0), "image mask"),
    (ops.LogicalXor(), "mask mask"),
    (ops.ReduceAny((1, 2)), "mask"),
]


@pytest.mark.parametrize(("op", "inputs"), OF_AN_IMAGE, ids=[op.kind for op, _ in OF_AN_IMAGE])
@pytest.mark.parametrize("sizes", [(6, 5), ("H", "W")], ids=["fixed", "open"])
def test_after_a_convolution(
    op: Operation, inputs: str, sizes: tuple[Size, ...], tmp_path: Path
) -> None:
    """Where ONNX has the channels first."""
    chain = Chain(x=Tensor(("N", *sizes, 2)))
    convolved = chain.add(ops.Convolution(4, (3, 3), padding="same"), "x")
    chain.add(ops.Tanh(), convolved, name="image")
    chain.add(ops.Greater(0.1), "image", name="mask")
    network = with_parameters(chain.graph(chain.add(op, *inputs.split())))
    both(network, {"x": drawn((2, 6, 5, 2))}, tmp_path)


@pytest.mark.parametrize(
    ("op", "inputs", "message"),
    [
        (ops.CumSum(0), [("N", 3)], "axis 0 is the batch"),
        (ops.StridedSlice((None,), (None,), (-1,)), [("N", 3)], "cannot be reversed"),
        (ops.StridedSlice((None, -2), (None, 5), (None, 1)), [("N", "T")], "the open size T"),
        (ops.StridedSlice((None, 3), (None, 3), (None, 1)), [("N", 4)], "nothing is left"),
        (ops.StridedSlice((None,), (None,), (0,)), [("N", 3)], "a step is 0"),
        (ops.Gather(1), [("N", 3), ("N", 2)], "each row would meet every other"),
        (ops.Take((3,), 1), [("N", 3)], "has no element 3"),
        (ops.TakeAlongAxis(1), [("N", 3, 2), ("N", 3, 3)], "not on axis 1 alone"),
        (ops.ReduceSum((1, -1)), [("N", 3)], "each once"),
        (ops.ReduceSum((2,)), [("N", 3)], "has no axis 2"),
        (ops.ReduceAny(), [("N", 3)], "takes bool, not float"),
        (ops.LogicalAnd(), [("N", 3), ("N", 3)], "needs booleans, not float"),
        (ops.Less(), [("N", 3)], "needs 2 inputs, not 1"),
        (ops.Squeeze((1,)), [("N", 3)], "has the size 3, not 1"),
        (ops.MergeAxes(1, 2), [("N", 3)], "has no 2 axes from 1"),
        (ops.SplitBatch(), [(7, 3), (2, 3)], "has not the 6 elements"),
        (ops.Pad(((0, 0), (3, 0)), "reflect"), [("N", 3)], "no 3 elements to mirror"),
        (ops.Pad(((0, 0), (1, 0)), "wrap"), [("N", 3)], "'wrap' is none of"),
        (ops.BroadcastTo((-1, 4)), [("N", 3)], "do not match"),
        (ops.Cast("float16"), [("N", 3)], "'float16' is none of"),
        (ops.Literal((1, 2), (3,)), [], "2 values for 3 elements"),
        (ops.Literal((300,), (1,), "bool"), [], "300 is no bool"),
        (ops.Literal((1,), (99, 99)), [], "4096 at most"),
        (ops.Glu(), [("N", 3)], "has no halves"),
    ],
    ids=lambda value: value.kind if isinstance(value, Operation) else "",
)
def test_what_does_not_fit(op: Operation, inputs: Sequence[tuple[Size, ...]], message: str) -> None:
    given = {f"x{i}": Tensor(shape) for i, shape in enumerate(inputs)}
    with pytest.raises(GraphError, match=message):
        Graph(given, (Node("y", op, tuple(given)),), {"y": "y"})


def test_dtypes_do_not_mix() -> None:
    given = {"a": Tensor(("N", 3)), "b": Tensor(("N", 3), "int32")}
    for op in (ops.Add(), ops.Equal(), ops.Concatenate()):
        with pytest.raises(GraphError, match="different dtypes: float, int32"):
            Graph(given, (Node("y", op, ("a", "b")),), {"y": "y"})


def test_a_graph_keeps_numbers_without_end() -> None:
    graph = Graph(
        {"x": Tensor(("N",)), "m": Tensor(("N",), "bool")},
        (Node("y", ops.Fill(-INF), ("x", "m")),),
        {"y": "y"},
    )
    assert Graph.from_json(graph.to_json()) == graph
