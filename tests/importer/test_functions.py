"""The vocabulary: each expression is what NumPy makes of it; what cannot be said is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from cortex.importer.deferred import Deferred
from cortex.importer.keras import build as build  # registers the converters
from cortex.importer.keras.arrays import Arrays
from cortex.importer.keras.builder import Builder, Value
from cortex.importer.keras.converters.expressions import Expression
from cortex.importer.keras.converters.functions import FUNCTIONS
from cortex.importer.keras.converters.functions.operand import Open, folded
from cortex.importer.keras.layer import Layer
from cortex.importer.keras.origin import Origin
from cortex.importer.keras.wiring import LayerFacts
from cortex.runtime import ops
from cortex.runtime.errors import CortexError
from cortex.runtime.ir import Graph
from cortex.runtime.network import Network
from cortex.runtime.tensor import Tensor

RNG = np.random.default_rng(0)
W = RNG.uniform(-1, 1, (4, 2)).astype(np.float32)
STORED = {"W": W, "gain": np.array([1.0, 2, 3, 4], np.float32)}
SERIES = RNG.uniform(-1, 1, (3, 5, 4)).astype(np.float32)


def layer_of(arrays: Mapping[str, Any] = STORED, config: Any = None) -> Layer:
    """A layer with stored arrays, in an empty graph."""

    def deferred(name: str, array: Any) -> Deferred:
        return Deferred(name, array.shape, array.dtype, lambda: array)

    stored = Arrays([((name,), deferred(name, array)) for name, array in arrays.items()])
    facts = LayerFacts("f", "Custom", {"rate": 0.5, "sizes": [1, 2], **(config or {})})
    return Layer(facts, "f", "f", lambda: stored, Builder(), Origin("2.9.0", "tensorflow", "2.9.0"))


def network(text: str, *shapes: tuple[Any, ...], dtype: str = "float") -> Network:
    """What an expression makes of inputs x0, x1, …."""
    layer = layer_of()
    inputs = [layer.builder.add_input(f"x{i}", Tensor(s, dtype)) for i, s in enumerate(shapes)]
    result = Expression.parse(text).apply(layer, inputs)
    parts = result if isinstance(result, tuple) else (result,)
    outputs = {f"y{i}": layer.plain(part) for i, part in enumerate(parts)}
    builder = layer.builder
    return Network(Graph(builder.inputs, tuple(builder.nodes), outputs), builder.parameters)  # pyright: ignore[reportArgumentType]


def kinds(text: str, *shapes: tuple[Any, ...]) -> list[Any]:
    return [node.op for node in network(text, *shapes).graph.nodes]


def softmax(x: Any, axis: int = -1) -> Any:
    e = np.exp(x)
    return e / e.sum(axis, keepdims=True)


OF_ONE: Mapping[str, Callable[[Any], Any]] = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "flatten": lambda x: x.reshape(len(x), -1),
}
OF_TWO: Mapping[str, Callable[[Any, Any], Any]] = {
    "l2_normalize": lambda x, axis: x / np.sqrt((x**2).sum(axis, keepdims=True)),
    "logsumexp": lambda x, axis: np.log(np.exp(x).sum(axis)),
    "cast": lambda x, dtype: x.astype(dtype),
    "one_hot": lambda x, depth: np.eye(depth)[x],
}
NUMPY: Mapping[str, Any] = {
    **{name: getattr(np, name) for name in dir(np) if name in FUNCTIONS},
    **OF_ONE,
    **OF_TWO,
    "max": np.max,
    "min": np.min,
    "sum": np.sum,
    "abs": np.abs,
    "softmax": softmax,
    "x": SERIES,
    "x0": SERIES,
    "W": W,
    "gain": STORED["gain"],
    "rate": 0.5,
    "sizes": [1, 2],
}

SAME_AS_NUMPY = """
    x * 2 - 1
    (1 - x) / 4
    2 / (x + 3)
    x ** 2 + x ** 3.0 - 2 ** x
    -x % 0.3 + x // 0.3
    x @ W
    x * gain + rate
    x[:, :, :2] @ transpose(W[2:]) + x[:, :, :2] @ W[:2]
    x @ reshape(W, (4, 2)) + x @ reshape(gain, (4, 1))
    (x > 0) & ~(x >= rate) | (x < -0.9)
    where(x != 0, x, -x)
    exp(x) / sum(exp(x), axis=1, keepdims=True)
    sum(x * softmax(x @ W[:, :1], axis=1), axis=1)
    clip(x, -0.5, 0.5) + maximum(x, 0) + minimum(0.1, x)
    relu6(x * 9) + sigmoid(x)
    l2_normalize(x, axis=-1)
    x[:, 0] + x[:, -1]
    x[:, 1:4:2, ::-1]
    x[..., None, 1:3]
    concatenate([x, 2 * x, x[:, :1] + 0 * x], axis=-1)
    stack([x, x], axis=1)
    reshape(x, (-1, 20))
    reshape(x, (-1, shape(x)[1] * 2, shape(x)[2] // 2))
    transpose(x, (0, 2, 1))
    swapaxes(x, 1, 2) * 2
    expand_dims(x, 1) + squeeze(x[:, :, :1], -1)[:, None, :, None]
    repeat(x, 2, axis=1)
    tile(x, (1, 2, 1))
    take(x, [2, 0], axis=1)
    mean(x, axis=(1, 2)) + max(x, axis=(1, 2)) - min(x, axis=(-1, 1))
    std(x, axis=1) + var(x, axis=1)
    logsumexp(x, axis=1)
    cumsum(x, axis=1)
    argmax(x, axis=-1)
    pad(x, ((0, 0), (1, 2), (0, 0)))
    roll(x, 2, axis=1)
    flip(x, axis=1)
    flatten(x * 2)
    one_hot(cast(x > 0, "int32"), 2)
    einsum("btc,bsc->bts", x, x)
    matmul(x, transpose(x, (0, 2, 1)))
    tensordot(x, W, 1)
    floor(x) + ceil(x) + round(x * 3) + sign(x) + square(x) + rsqrt(x + 2) + sqrt(x + 2)
    log1p(x + 1) + expm1(x) + sin(x) + cos(x) + tan(x) + arctan(x) + sinh(x)
    zeros_like(x) + ones_like(x) * 3 + full_like(x, 2.0)
    x[:, sizes[0]:sizes[1] + 1]
    prod(x, axis=1) + any(x > 0.9, axis=1) * all(x < 0.9, axis=1)
    moveaxis(x, 1, 2) + 0
    diff(x, axis=1)
    not_equal(x, 0) * 1.0
    logical_xor(x > 0, x > 0.5)
    broadcast_to(x[:, :, None], (3, 5, 2, 4)) + 0
""".strip().splitlines()


@pytest.mark.parametrize("text", SAME_AS_NUMPY)
def test_is_what_numpy_makes_of_it(text: str) -> None:
    text = text.strip()
    rows = 3 if "broadcast_to" in text else "N"
    made = network(text, (rows, 5, 4)).run({"x0": SERIES})["y0"]
    expected = np.asarray(eval(text, {"__builtins__": {}, **NUMPY}))
    assert made.shape == expected.shape
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))


OPEN = """
    x[:, 1:] - x[:, :-1]
    x[:, :shape(x)[1] - 1]
    x[:, ::-1]
    reshape(x, (shape(x)[0], shape(x)[1], 2, 2))
    reshape(reshape(x, (-1, 4)), (-1, shape(x)[1], 4))
    reshape(x, (-1, shape(x)[1] * 4))
    sum(x, axis=1)
    x @ W
    matmul(softmax(x @ transpose(x, (0, 2, 1))), x)
    concatenate([x, x], axis=1)
    repeat(x, 2, axis=1)
""".strip().splitlines()


@pytest.mark.parametrize("text", OPEN)
def test_with_an_open_size(text: str) -> None:
    made = network(text.strip(), ("N", "T", 4)).run({"x0": SERIES})["y0"]
    namespace = {"__builtins__": {}, **NUMPY}
    np.testing.assert_allclose(made, eval(text.strip(), namespace), rtol=0, atol=1e-5)


BECOMES: Mapping[str, list[Any]] = {
    "x * 2 + 1": [ops.Scale(2.0), ops.Scale(2.0, 1.0)],
    "x @ W": [ops.Dense(2, False)],
    "x ** 2": [ops.Square()],
    "1 / x": [ops.Reciprocal()],
    "x > 0.5": [ops.Greater(0.5)],
    "0.5 > x": [ops.Less(0.5)],
    "maximum(x, 0)": [ops.Clip(low=0.0)],
    "relu": [ops.Relu()],
    "relu()": [ops.Relu()],
    "softmax(axis=1)": [ops.Softmax(1)],
    "reshape(x, (-1, 20))": [ops.Reshape((20,))],
    "cast('float32')": [],
    "transpose(x, (0, 2, 1))": [ops.Transpose((0, 2, 1))],
}


@pytest.mark.parametrize("text", BECOMES)
def test_becomes(text: str) -> None:
    made = kinds(text, ("N", 5, 4))
    assert made == BECOMES[text]


def test_scales_are_one_where_nothing_else_needs_the_first() -> None:
    made = network("x * 2 + 1", ("N", 3))
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(made.run({"x0": x})["y0"], 3 * x)
    assert made.graph.nodes[-1].inputs == ("x0",)


def test_a_stored_matrix_is_a_kernel_that_can_be_trained() -> None:
    made = network("x @ W", ("N", 5, 4))
    assert made.graph.nodes[0].params == {"kernel": "f/W"}


def test_several_inputs_and_outputs() -> None:
    made = network("(x0 + x1, x1[:, :2])", ("N", 4), ("N", 4))
    a, b = np.ones((2, 4), np.float32), np.full((2, 4), 2, np.float32)
    outputs = made.run({"x0": a, "x1": b})
    np.testing.assert_array_equal(outputs["y0"], a + b)
    np.testing.assert_array_equal(outputs["y1"], b[:, :2])


WHOLE = """
    x + 1
    x * 2 - x
    x // 2
    x % 3
    -x
    abs(x - 3)
    maximum(x, 2)
    sum(x, axis=1)
    x == 2
    x * 0.5
    x / 2
""".strip().splitlines()


@pytest.mark.parametrize("text", WHOLE)
def test_of_whole_numbers(text: str) -> None:
    x = np.arange(6, dtype=np.int32).reshape(2, 3)
    made = network(text.strip(), ("N", 3), dtype="int32")
    expected = eval(text.strip(), {**NUMPY, "x": x})
    found = made.run({"x0": x})["y0"]
    np.testing.assert_allclose(found, expected)
    assert (found.dtype.kind == "f") == (expected.dtype.kind == "f")


REFUSED: Mapping[str, str] = {
    "y + 1": "there is no 'y' here",
    "x * rte": "there is no 'rte' here; close: rate",
    "sofmax(x)": "there is no function 'sofmax'; close: softmax",
    "x.shape": "Attribute has no place in an expression",
    "(lambda: x)()": "only functions can be called|Lambda has no place",
    "[a for a in x]": "ListComp has no place in an expression",
    "x if x else x": "IfExp has no place in an expression",
    "f'{x}'": "JoinedStr has no place in an expression",
    "x and x": "BoolOp has no place in an expression",
    "x := 1": "is no expression",
    "import os": "is no expression",
    "__import__('os')": "there is no function '__import__'",
    "relu(*x)": "Starred has no place|in a call",
    "relu(**x)": "in a call",
    "0 < x < 1": r"is written \(a < b\) & \(b < c\)",
    "x + " + "1 + " * 300 + "1": "is too large an expression",
    "-" * 200 + "x": "is too large an expression",
    "1" * 3000: "more than 2000 characters",
    "(" * 500 + "x" + ")" * 500: "is no expression|too large",
    "relu(x, slope=1)": "relu has no option 'slope'; it has negative_slope, max_value, threshold",
    "relu(x, 1, 2, 3, 4)": "relu",
    "b'x'": "b'x' has no place",
    "1j * x": "1j has no place",
    "sum(x, axis=9)": "axis 9 is not supported",
    "reshape(x, (7, 7))": "reshape of",
    "x[:, :, :, 0]": "indexing with",
    "x * tile(shape(x)[1:], 999999999)": "a constant of 1,999,999,998 elements",
    "x + arange(shape(x)[1] * 99999999)": "a constant of",
    "x + 9 ** 9 ** 9 ** 9": "negative integer powers",
    "x0 + x1": "there is no 'x1' here",
    "x + shape(x)[0]": "computing with the size",
    "x[:, shape(x)[0]:]": "slicing with",
    "2": "does not use the input 'x0'",
    "x[1:2:0]": "a step is 0",
    "cast(x, 'complex64')": "dtype 'complex64' is not supported",
    ":": "is no expression",
    "": "is no expression",
}


@pytest.mark.parametrize("text", REFUSED)
def test_is_refused(text: str) -> None:
    with pytest.raises((CortexError, ValueError), match=REFUSED[text]):
        network(text, ("N", 5, 4))


def test_sizes_that_are_open_are_reckoned_with() -> None:
    t = Open("T")
    assert str(2 * t + 1 - t) == "T+1"
    assert (t * 4) // 2 == Open("T") * 2
    assert t - t == 0
    assert str(np.array([t, 3], object) * 2) == str(np.array([Open("2*T"), 6], object))
    with pytest.raises(CortexError, match=r"an open size is computed with 0\.5"):
        _ = t * 0.5


def test_every_function_is_of_a_layer_and_operands() -> None:
    for name, compute in FUNCTIONS.items():
        assert name.isidentifier()
        assert compute.__doc__ or compute.__name__ == "apply"


def test_what_is_known_is_computed_at_once() -> None:
    layer = layer_of()
    assert folded(FUNCTIONS["add"](layer, 2, 3)) == 5
    assert list(FUNCTIONS["concatenate"](layer, [[1], [2, 3]], axis=0)) == [1, 2, 3]
    assert not layer.builder.nodes
    x = layer.builder.add_input("x", Tensor(("N", 4)))
    assert list(FUNCTIONS["shape"](layer, x)) == [Open("N"), 4]
    assert isinstance(FUNCTIONS["identity"](layer, x), Value)
