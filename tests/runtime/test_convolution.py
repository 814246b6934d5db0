"""Convolutions against their definition, each other, and real Keras."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cortex.runtime.frame import Frame, Scratch
from cortex.runtime.ir import Graph, Node
from cortex.runtime.kernels import blocks, columns, convolution, scatter, winograd
from cortex.runtime.kernels.convolution import (
    COLUMNS,
    PRODUCT,
    STRIPS,
    WINOGRAD,
    Algorithm,
    choose,
)
from cortex.runtime.kernels.windows import Windows
from cortex.runtime.losses import Inner, Term
from cortex.runtime.network import Network
from cortex.runtime.op import Operation
from cortex.runtime.ops import Convolution, DepthwiseConvolution, TransposedConvolution
from cortex.runtime.parameters import Parameters
from cortex.runtime.plan import Plan
from cortex.runtime.tape import Tape, Value
from cortex.runtime.tensor import Tensor

from .networks import drawn

Array = NDArray[Any]
Pairs = Sequence[tuple[int, int]]


def graph_of(op: Operation, *shape: int | str) -> Graph:
    x = Tensor(("N", *shape))
    node = Node("y", op, ("x",), {name: name for name in op.params(x)})
    return Graph({"x": x}, (node,), {"y": "y"})


def parameters_of(graph: Graph) -> dict[str, Array]:
    return {
        name: drawn([int(n) for n in param.shape], seed, np.float64)
        for seed, (name, param) in enumerate(graph.parameters.items(), 1)
    }


def computed(op: Operation, x: Array, **parameters: Array) -> Array:
    graph = graph_of(op, *x.shape[1:])
    return Network(graph, parameters).run({"x": x}, dtype=np.float64)["y"]


# The definitions, element by element.


def windows(
    size: Any, kernel: Any, stride: Any = (), padding: Any = "valid", dilation: Any = ()
) -> Windows:
    ones = (1,) * len(size)
    stride, dilation = stride or ones, dilation or ones
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads = [(0, 0)] * len(size) if padding == "valid" else padding
    if padding == "causal":
        pads = [(extent - 1, 0) for extent in extents]
    elif padding == "same":
        counts = [(n + s - 1) // s for n, s in zip(size, stride, strict=True)]
        axes = zip(size, counts, stride, extents, strict=True)
        totals = [max((count - 1) * s + extent - n, 0) for n, count, s, extent in axes]
        pads = [(total // 2, total - total // 2) for total in totals]
    axes = zip(size, extents, stride, pads, strict=True)
    count = tuple((n + a + b - extent) // s + 1 for n, extent, s, (a, b) in axes)
    return Windows(size, count, kernel, stride, dilation, tuple(before for before, _ in pads))


def defined(x: Array, kernel: Array, w: Windows, groups: int = 1) -> Array:
    """A convolution as a loop over windows, elements and filters."""
    channels, filters = kernel.shape[-2:]
    y = np.zeros((len(x), *w.count, filters))
    for t, k in itertools.product(np.ndindex(*w.count), np.ndindex(*w.kernel)):
        at = tuple(
            i * s - before + j * d
            for i, j, s, before, d in zip(t, k, w.stride, w.before, w.dilation, strict=True)
        )
        if not all(0 <= i < n for i, n in zip(at, w.size, strict=True)):
            continue
        for f in range(filters):
            first = f // (filters // groups) * channels
            part = x[(slice(None), *at)][:, first : first + channels]
            y[(slice(None), *t, f)] += part @ kernel[(*k, slice(None), f)]
    return y


CONVOLUTIONS = [
    # input, filters, kernel, strides, padding, dilation, groups
    ((9, 3), 4, (3,), (), "valid", (), 1),
    ((9, 3), 4, (4,), (2,), "same", (), 1),
    ((9, 3), 2, (3,), (), "causal", (3,), 1),
    ((9, 4), 2, (2,), (3,), ((4, 5),), (2,), 2),
    ((40, 1), 2, (5,), (4,), "valid", (), 1),
    ((6, 5, 3), 4, (1, 1), (), "same", (), 1),
    ((6, 5, 3), 4, (1, 1), (2, 3), "same", (), 1),
    ((6, 5, 3), 2, (2, 2), (), "same", (), 1),
    ((6, 5, 3), 2, (3, 4), (2, 1), "same", (), 1),
    ((7, 8, 3), 2, (5, 2), (3, 2), "same", (), 1),
    ((7, 8, 3), 2, (2, 3), (), "same", (3, 2), 1),
    ((7, 8, 2), 2, (3, 3), (1, 2), ((0, 3), (2, 0)), (2, 1), 1),
    ((7, 8, 2), 2, (1, 1), (), ((1, 0), (0, 2)), (), 1),
    ((5, 6, 6), 6, (3, 2), (), "same", (), 3),
    ((5, 6, 6), 12, (2, 2), (2, 2), "valid", (), 6),
    ((5, 6, 50), 3, (3, 3), (), "valid", (), 1),
    ((5, 6, 34), 33, (3, 3), (), "same", (), 1),
    ((3, 4, 5, 2), 3, (2, 3, 2), (1, 2, 1), "same", (1, 1, 2), 1),
    ((3, 4, 5, 4), 6, (2, 3, 2), (), "valid", (2, 1, 1), 2),
]


@pytest.mark.parametrize(
    ("size", "filters", "kernel", "strides", "padding", "dilation", "groups"), CONVOLUTIONS
)
def test_a_convolution_is_its_definition(
    size: Any, filters: int, kernel: Any, strides: Any, padding: Any, dilation: Any, groups: int
) -> None:
    x = drawn((2, *size), 1, np.float64)
    weights = drawn((*kernel, size[-1] // groups, filters), 2, np.float64)
    bias = drawn((filters,), 3, np.float64)
    op = Convolution(filters, kernel, strides, padding, dilation, groups)
    wanted = (
        defined(x, weights, windows(size[:-1], kernel, strides, padding, dilation), groups) + bias
    )
    np.testing.assert_allclose(computed(op, x, kernel=weights, bias=bias), wanted, atol=1e-10)


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize(
    ("size", "kernel", "strides", "padding", "dilation"),
    [
        ((9, 2), (3,), (), "causal", (2,)),
        ((9, 2), (2,), (2,), "same", ()),
        ((6, 5, 3), (3, 3), (), "same", ()),
        ((6, 5, 3), (2, 4), (2, 2), "same", ()),
        ((6, 5, 1), (3, 2), (1, 3), ((4, 0), (1, 2)), (2, 1)),
        ((6, 5, 3), (6, 5), (), "valid", ()),
        ((3, 4, 3, 2), (2, 2, 2), (), "same", (1, 2, 1)),
    ],
)
def test_a_depthwise_convolution_is_its_definition(
    size: Any, kernel: Any, strides: Any, padding: Any, dilation: Any, multiplier: int
) -> None:
    x, channels = drawn((2, *size), 1, np.float64), size[-1]
    weights = drawn((*kernel, channels, multiplier), 2, np.float64)
    op = DepthwiseConvolution(kernel, strides, padding, dilation, multiplier, use_bias=False)
    grouped = weights.reshape(*kernel, 1, channels * multiplier)
    w = windows(size[:-1], kernel, strides, padding, dilation)
    wanted = defined(x, grouped, w, channels)
    np.testing.assert_allclose(computed(op, x, kernel=weights), wanted, atol=1e-10)


def transposed(x: Array, kernel: Array, strides: Any, dilation: Any, crops: Pairs) -> Array:
    """Every element of x adds its window to y; (before, after) is cropped, or added if negative."""
    rank = kernel.ndim - 2
    extents = [(kernel.shape[i] - 1) * dilation[i] + 1 for i in range(rank)]
    spans = [(x.shape[i + 1] - 1) * strides[i] + extents[i] for i in range(rank)]
    more = [max(-after, 0) for _, after in crops]
    y = np.zeros((len(x), *(s + m for s, m in zip(spans, more, strict=True)), kernel.shape[-2]))
    for t in np.ndindex(*x.shape[1:-1]):
        for k in np.ndindex(*kernel.shape[:rank]):
            at = tuple(t[i] * strides[i] + k[i] * dilation[i] for i in range(rank))
            y[(slice(None), *at)] += x[(slice(None), *t)] @ kernel[k].T
    ends = [y.shape[i + 1] - max(crops[i][1], 0) for i in range(rank)]
    return y[(slice(None), *(slice(crops[i][0], ends[i]) for i in range(rank)))]


@pytest.mark.parametrize(
    ("op", "size", "crops"),
    [
        (TransposedConvolution(2, (3,), (2,)), (4, 3), [(0, 0)]),
        (TransposedConvolution(2, (2,), (3,)), (4, 3), [(0, -1)]),
        (TransposedConvolution(2, (3,), (2,), "same"), (4, 3), [(0, 1)]),
        (TransposedConvolution(2, (4,), (1,), "same"), (4, 3), [(1, 2)]),
        (TransposedConvolution(2, (2,), (3,), "same"), (4, 3), [(0, -1)]),
        (TransposedConvolution(2, (3,), (2,), "same", (0,)), (4, 3), [(1, 1)]),
        (TransposedConvolution(2, (3,), (2,), "same", (1,)), (4, 3), [(0, 1)]),
        (TransposedConvolution(2, (4,), (3,), "valid", (2,)), (4, 3), [(0, -2)]),
        (TransposedConvolution(2, (3,), (2,), ((1, 1),), (1,)), (4, 3), [(1, 0)]),
        (TransposedConvolution(2, (3,), dilation=(2,)), (4, 3), [(0, 0)]),
        (TransposedConvolution(5, (3, 2), (2, 1), ((1, 2), (0, 1))), (3, 4, 2), [(1, 2), (0, 1)]),
        (TransposedConvolution(40, (3, 3), (2, 2), "same"), (3, 4, 2), [(0, 1), (0, 1)]),
        (TransposedConvolution(2, (2, 2, 3), (2, 1, 1)), (2, 3, 2, 2), [(0, 0), (0, 0), (0, 0)]),
        (
            TransposedConvolution(2, (3, 2, 3), (2, 1, 1), "same", (1, 0, 0)),
            (2, 3, 2, 2),
            [(0, 1), (1, 1), (1, 1)],
        ),
    ],
)
def test_a_transposed_convolution_is_its_definition(
    op: TransposedConvolution, size: Any, crops: Pairs
) -> None:
    x, rank = drawn((2, *size), 1, np.float64), len(op.kernel_size)
    kernel = drawn((*op.kernel_size, op.filters, size[-1]), 2, np.float64)
    bias = drawn((op.filters,), 3, np.float64)
    strides, dilation = op.strides or (1,) * rank, op.dilation or (1,) * rank
    wanted = transposed(x, kernel, strides, dilation, crops) + bias
    np.testing.assert_allclose(computed(op, x, kernel=kernel, bias=bias), wanted, atol=1e-10)


# The algorithms against each other.


def frame() -> Frame:
    nothing: Any = ()
    return Frame(
        xp=np, dtype=np.dtype("float64"), x=nothing, y=nothing, dx=nothing, dy=nothing, p={}, dp={},
        training=False, frozen=False, grads=True, name="y", scratch_memory=Scratch(np),
        draw=lambda shape, row: lambda: None,
        draw_words=lambda shape, row: lambda: None,
    )  # fmt: skip


LAYERS = [
    windows((7, 8), (3, 3)),
    windows((6, 9), (3, 3), padding="same"),
    windows((6, 9), (3, 3), padding=((2, 0), (0, 1))),
    windows((6, 9), (2, 5), padding=((1, 0), (2, 2))),
    windows((7, 8), (3, 2), (2, 3), ((1, 1), (0, 1))),
    windows((7, 8), (3, 2), (1, 2), ((0, 0), (1, 1)), (1, 3)),
    windows((7, 8), (1, 4), (2, 1), ((0, 0), (1, 1)), (2, 1)),
]


def forms(w: Windows) -> dict[str, Algorithm]:
    found = {"columns": COLUMNS}
    if 1 in (w.dilation[0], w.kernel[0]):
        found["strips"] = STRIPS
    if w.kernel == (3, 3):
        found["winograd"] = WINOGRAD
    return found


@pytest.mark.parametrize("block", [1, 300, blocks.BLOCK])
@pytest.mark.parametrize("w", LAYERS)
def test_all_algorithms_agree(w: Windows, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    monkeypatch.setattr(columns, "FEWEST", 1)
    monkeypatch.setattr(winograd, "TILES", 1)
    x, kernel = drawn((3, *w.size, 5), 1, np.float64), drawn((*w.kernel, 5, 4), 2, np.float64)
    dy = drawn((3, *w.count, 4), 3, np.float64)
    wanted = defined(x, kernel, w)
    found: dict[str, tuple[Array, Array]] = {}
    for name, algorithm in forms(w).items():
        y, dkernel = np.full_like(dy, np.nan), np.full_like(kernel, np.nan)
        algorithm.forward(frame(), w, x, kernel, y)()
        algorithm.kernel_gradient(frame(), w, x, dy, dkernel)()
        found[name] = y, dkernel
    for y, dkernel in found.values():
        np.testing.assert_allclose(y, wanted, atol=1e-10)
        np.testing.assert_allclose(dkernel, found["columns"][1], atol=1e-10)


@pytest.mark.parametrize("channels", [3, 40])
@pytest.mark.parametrize("block", [1, 300, blocks.BLOCK])
@pytest.mark.parametrize("w", LAYERS)
def test_both_ways_to_the_gradient_of_the_input_agree(
    w: Windows, block: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    kernel, dy = drawn((*w.kernel, channels, 4)), drawn((3, *w.count, 4))
    kernel, dy = kernel.astype(np.float64), dy.astype(np.float64)
    scattered, chosen = (np.full((3, *w.size, channels), np.nan) for _ in range(2))
    scatter.input_gradient(frame(), w, dy, kernel, scattered)()
    convolution.input_gradient(frame(), w, dy, kernel, chosen)()
    np.testing.assert_allclose(chosen, scattered, atol=1e-10)


@pytest.mark.parametrize(
    ("w", "images", "channels", "filters", "groups", "algorithm"),
    [
        (windows((28, 28), (1, 1)), 8, 256, 64, 1, PRODUCT),
        (windows((28, 28), (1, 1), (2, 2)), 8, 256, 64, 1, COLUMNS),
        (windows((224, 224), (3, 3), padding="same"), 1, 3, 64, 1, STRIPS),
        (windows((224, 224), (7, 7), (2, 2), ((3, 3), (3, 3))), 1, 3, 64, 1, STRIPS),
        (windows((28, 28), (5, 5)), 64, 1, 20, 1, STRIPS),
        (windows((12, 12), (5, 5)), 64, 20, 50, 1, COLUMNS),
        (windows((56, 56), (3, 3), padding="same"), 1, 64, 64, 1, WINOGRAD),
        (windows((7, 7), (3, 3), padding="same"), 1, 512, 512, 1, COLUMNS),
        (windows((56, 56), (3, 3), (2, 2)), 8, 64, 64, 1, COLUMNS),
        (windows((56, 56), (3, 3), dilation=(2, 2)), 8, 3, 64, 1, COLUMNS),
        (windows((56, 56), (3, 3)), 8, 64, 64, 2, COLUMNS),
    ],
)
def test_the_choice_depends_on_sizes(
    w: Windows, images: int, channels: int, filters: int, groups: int, algorithm: Algorithm
) -> None:
    assert choose(w, images, channels, filters, groups) is algorithm


def test_winograd_is_as_exact_as_columns() -> None:
    w = windows((16, 16), (3, 3))
    x, kernel = drawn((8, 16, 16, 64)), drawn((3, 3, 64, 64))
    exact, at = np.empty((8, 14, 14, 64)), frame()
    COLUMNS.forward(at, w, x.astype(np.float64), kernel.astype(np.float64), exact)()
    errors: dict[str, float] = {}
    for name, algorithm in forms(w).items():
        at, y = frame(), np.empty_like(exact, np.float32)
        at.dtype = np.dtype("float32")
        algorithm.forward(at, w, x, kernel, y)()
        errors[name] = float(abs(y - exact).max() / abs(exact).max())
    assert errors["columns"] < 1e-6
    assert errors["winograd"] < 1e-6


@pytest.mark.parametrize(
    "algorithm", [COLUMNS, STRIPS, WINOGRAD], ids=["columns", "strips", "winograd"]
)
def test_a_large_layer_takes_little_memory(algorithm: Algorithm) -> None:
    w = windows((224, 224), (3, 3), padding="same")  # VGG16's second: 3.7 GB of columns
    at, taken = frame(), 0
    at.dtype = np.dtype("float32")
    take = at.scratch_memory.take

    def counted(shape: tuple[int, ...], dtype: Any) -> Any:
        nonlocal taken
        array = take(shape, dtype)
        taken += array.nbytes
        return array

    at.scratch_memory.take = counted
    # Memory that nothing writes to is never really there.
    x, y = (np.empty((32, 224, 224, 64), np.float32) for _ in range(2))
    kernel = np.empty((3, 3, 64, 64), np.float32)
    algorithm.forward(at, w, x, kernel, y)
    algorithm.kernel_gradient(at, w, x, y, kernel)
    convolution.input_gradient(at, w, y, kernel, x)
    assert taken < 20e6


# What is asked of an operation, and what it refuses.


def gradients(op: Operation, wrt: Sequence[str], frozen: Sequence[str], *shape: int) -> Plan:
    graph = graph_of(op, *shape)
    plan = Plan(
        graph,
        Parameters(graph, parameters_of(graph), np.float64),
        {"N": 2},
        terms=[Term(Inner(), "y", "target")],
        wrt=wrt,
        frozen=frozen,
    )
    plan.v["x"][...] = drawn(plan.v["x"].shape, 5)
    plan.v["target"][...] = drawn(plan.v["target"].shape, 6)
    plan.run()
    return plan


@pytest.mark.parametrize(
    "op",
    [
        Convolution(3, (3, 3)),
        Convolution(4, (2, 2), groups=2),
        DepthwiseConvolution((3, 3)),
        TransposedConvolution(3, (3, 3)),
    ],
)
def test_only_what_is_asked_for_is_computed(op: Operation) -> None:
    both = gradients(op, ["x"], [], 5, 6, 2)
    learning, looking = gradients(op, [], [], 5, 6, 2), gradients(op, ["x"], ["y"], 5, 6, 2)
    assert both.grad is not None
    assert learning.grad is not None
    np.testing.assert_array_equal(learning.grad, both.grad)
    np.testing.assert_array_equal(looking.g["x"], both.g["x"])


IMAGE, SEQUENCE = (6, 5, 4), (6, 4)
REFUSED: list[tuple[Operation, tuple[int | str, ...], str]] = [
    (Convolution(2, (3, 3)), SEQUENCE, "needs 2 spatial axes, but the input has 1"),
    (Convolution(2, (3, 3), (2,)), IMAGE, "stride (2,) is not a positive number for each"),
    (Convolution(2, (3, 3), (0, 1)), IMAGE, "stride (0, 1) is not a positive number"),
    (Convolution(2, ()), IMAGE, "kernel () is not a positive number"),
    (Convolution(2, (3, 3), dilation=(1,)), IMAGE, "dilation (1,) is not a positive number"),
    (Convolution(2, (3, 3), padding="causal"), IMAGE, "causal padding is for sequences"),
    (Convolution(2, (3, 3), padding=((1, 1),)), IMAGE, "padding ((1, 1),) is not two numbers"),
    (Convolution(2, (3,), padding=((-1, 1),)), SEQUENCE, "padding ((-1, 1),) is not two numbers"),
    (Convolution(2, (3, 7)), IMAGE, "a window of 7 does not fit an axis of 5"),
    (Convolution(2, (4,), dilation=(2,)), SEQUENCE, "a window of 7 does not fit an axis of 6"),
    (Convolution(3, (3, 3), groups=3), IMAGE, "4 channels cannot be parted into 3 groups"),
    (Convolution(3, (3, 3), groups=2), IMAGE, "3 filters cannot be parted into 2 groups"),
    (Convolution(3, (3, 3), groups=0), IMAGE, "4 channels cannot be parted into 0 groups"),
    (Convolution(4, (3, 3), groups=2), (6, 5, "C"), "C channels cannot be parted"),
    (DepthwiseConvolution((3,)), IMAGE, "needs 1 spatial axes, but the input has 2"),
    (DepthwiseConvolution((9, 1)), IMAGE, "a window of 9 does not fit an axis of 6"),
    (TransposedConvolution(2, (3,)), IMAGE, "needs 1 spatial axes, but the input has 2"),
    (
        TransposedConvolution(2, (3,), (2,), "same", (2,)),
        SEQUENCE,
        "output padding (2,) is not below the stride (2,)",
    ),
    (TransposedConvolution(2, (1,), padding=((3, 3),)), SEQUENCE, "crops an axis to 0"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "shape", "message"), REFUSED)
def test_what_does_not_fit_is_refused(
    op: Operation, shape: tuple[int | str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        op.infer(Tensor(("N", *shape)))


def emitted(op: Operation, *shape: int | str) -> dict[str, Any]:
    """The attributes of the last ONNX node."""
    tape, x = Tape(), Tensor(("N", *shape))
    tape.types = [x]
    parameters = {name: Value(name, len(p.shape)) for name, p in op.params(x).items()}
    op.onnx(tape, parameters, Value("x", x.rank))
    node = tape.nodes[-1]
    assert node.op_type in ("Conv", "ConvTranspose")
    return {
        attribute.name: list(attribute.ints) or attribute.s.decode() for attribute in node.attribute
    }


def test_onnx_is_told_the_padding_wherever_it_is_known() -> None:
    strided = Convolution(2, (3, 2), (2, 2), "same")
    assert emitted(strided, 5, 6, 3)["pads"] == [1, 0, 1, 0]
    assert emitted(Convolution(2, (3, 2), padding="same"), "H", "W", 3)["pads"] == [1, 0, 1, 1]
    assert emitted(Convolution(2, (3,), padding="causal"), "T", 3)["pads"] == [2, 0]
    still_open = emitted(strided, "H", 6, 3)
    assert still_open["auto_pad"] == "SAME_UPPER"
    assert "pads" not in still_open
    assert emitted(Convolution(2, (3,)), 9, 3)["kernel_shape"] == [3]
    with pytest.raises(ValueError, match="open size"):
        emitted(Convolution(2, (3,), (2,), "same", (2,)), "T", 3)


# Real Keras.


@pytest.fixture(scope="module")
def keras() -> Any:
    import os

    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


def matches(layer: Any, op: Operation, x: Array) -> None:
    wanted = np.asarray(layer(x))
    if wanted.size == 0:  # Keras has empty images
        with pytest.raises(ValueError, match="crops an axis to"):
            op.infer(Tensor(x.shape))
        return
    found = computed(
        op, x, **{v.name.replace("depthwise_", ""): np.asarray(v) for v in layer.weights}
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4, err_msg=repr(op))


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_transposed_convolution_is_that_of_keras(keras: Any, kernel: int, padding: Any) -> None:
    for stride, dilation in [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (4, 1)]:
        for more, size in itertools.product([None, *range(stride)], [1, 2, 5]):
            layer = keras.layers.Conv1DTranspose(
                2, kernel, stride, padding, output_padding=more, dilation_rate=dilation
            )
            op = TransposedConvolution(
                2, (kernel,), (stride,), padding, None if more is None else (more,), (dilation,)
            )
            matches(layer, op, drawn((2, size, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel", [(3, 2), (2, 4), (1, 5)])
def test_transposed_convolution_of_images_is_that_of_keras(
    keras: Any, kernel: tuple[int, int], padding: Any
) -> None:
    for strides in [(1, 1), (2, 3), (3, 1)]:
        for more in [None, (0, 0), (strides[0] - 1, strides[1] - 1)]:
            layer = keras.layers.Conv2DTranspose(3, kernel, strides, padding, output_padding=more)
            op = TransposedConvolution(3, kernel, strides, padding, more)
            matches(layer, op, drawn((2, 4, 5, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2), (2, 4), (5, 3)])
def test_convolution_is_that_of_keras(keras: Any, kernel: tuple[int, int], padding: Any) -> None:
    x = drawn((2, 9, 10, 4))
    for strides, dilation in [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 1), (2, 2))]:
        for groups in (1, 2, 4):
            layer = keras.layers.Conv2D(
                4, kernel, strides, padding, dilation_rate=dilation, groups=groups
            )
            matches(layer, Convolution(4, kernel, strides, padding, dilation, groups), x)
        if strides[0] == strides[1]:
            layer = keras.layers.DepthwiseConv2D(
                kernel, strides, padding, depth_multiplier=2, dilation_rate=dilation
            )
            matches(layer, DepthwiseConvolution(kernel, strides, padding, dilation, 2), x)


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_convolution_of_volumes_is_that_of_keras(keras: Any, padding: Any) -> None:
    x, kernel = drawn((2, 5, 6, 4, 4)), (3, 1, 2)
    for strides, dilation in [
        ((1, 1, 1), (1, 1, 1)),
        ((2, 3, 1), (1, 1, 1)),
        ((1,) * 3, (2, 1, 2)),
    ]:
        for groups in (1, 2):
            layer = keras.layers.Conv3D(
                4, kernel, strides, padding, dilation_rate=dilation, groups=groups
            )
            matches(layer, Convolution(4, kernel, strides, padding, dilation, groups), x)


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
def test_convolution_of_sequences_is_that_of_keras(keras: Any, padding: Any) -> None:
    for kernel, stride, dilation in [(3, 1, 1), (2, 1, 3), (4, 3, 1), (5, 2, 1)]:
        layer = keras.layers.Conv1D(3, kernel, stride, padding, dilation_rate=dilation)
        op = Convolution(3, (kernel,), (stride,), padding, (dilation,))
        matches(layer, op, drawn((2, 14, 4)))
