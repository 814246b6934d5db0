"""Pooling against its definition and real Keras."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cortex.runtime.ir import Graph, Node
from cortex.runtime.kernels import blocks
from cortex.runtime.losses import Inner, Term
from cortex.runtime.network import Network
from cortex.runtime.op import Operation
from cortex.runtime.ops import (
    AdaptiveAveragePooling,
    AdaptiveMaxPooling,
    AveragePooling,
    GlobalAveragePooling,
    GlobalMaxPooling,
    MaxPooling,
)
from cortex.runtime.parameters import Parameters
from cortex.runtime.plan import Plan
from cortex.runtime.tensor import Tensor

from .networks import drawn

Array = NDArray[Any]


def graph_of(op: Operation, *shape: int) -> Graph:
    return Graph({"x": Tensor(("N", *shape))}, (Node("y", op, ("x",)),), {"y": "y"})


def computed(op: Operation, x: Array) -> Array:
    return Network(graph_of(op, *x.shape[1:]), {}).run({"x": x}, dtype=np.float64)["y"]


def defined(op: MaxPooling | AveragePooling, x: Array) -> Array:
    """A loop over windows."""
    size, pool = x.shape[1:-1], op.pool_size
    strides = op.strides or pool
    pads: Any = op.padding if isinstance(op.padding, tuple) else [(0, 0)] * len(pool)
    if op.padding == "same":
        counts = [-(-n // s) for n, s in zip(size, strides, strict=True)]
        axes = zip(size, counts, strides, pool, strict=True)
        totals = [max((count - 1) * s + k - n, 0) for n, count, s, k in axes]
        pads = [(total // 2, total - total // 2) for total in totals]
    elif op.padding == "causal":
        pads = [(pool[0] - 1, 0)]
    padded = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=np.nan)
    axes = zip(padded.shape[1:-1], pool, strides, strict=True)
    y = np.zeros((len(x), *((n - k) // s + 1 for n, k, s in axes), x.shape[-1]))
    spatial = tuple(range(1, x.ndim - 1))
    for t in np.ndindex(y.shape[1:-1]):
        starts = [i * s for i, s in zip(t, strides, strict=True)]
        cut = tuple(slice(a, a + k) for a, k in zip(starts, pool, strict=True))
        window = padded[(slice(None), *cut)]
        if isinstance(op, MaxPooling):
            y[(slice(None), *t)] = np.nanmax(window, axis=spatial)
        elif op.count_padding:
            y[(slice(None), *t)] = np.nan_to_num(window).mean(axis=spatial)
        else:
            y[(slice(None), *t)] = np.nanmean(window, axis=spatial)
    return y


WINDOWS: list[tuple[tuple[int, ...], Any]] = [
    # input, (pool size, strides, padding)
    ((7, 3), ((2,),)),
    ((7, 3), ((3,), (2,), "same")),
    ((7, 3), ((2,), (3,), "same")),
    ((7, 3), ((3,), (1,), "causal")),
    ((6, 5, 3), ((2, 2),)),
    ((6, 5, 3), ((3, 2), (2, 1))),
    ((6, 5, 3), ((3, 3), (2, 2), "same")),
    ((6, 5, 3), ((2, 4), (1, 1), "same")),
    ((6, 5, 3), ((3, 2), (2, 3), ((2, 1), (0, 1)))),
    ((6, 5, 3), ((6, 5),)),
    ((6, 5, 3), ((1, 2), (2, 1))),
    ((3, 4, 5, 2), ((2, 2, 3), (1, 2, 2), "same")),
]


@pytest.mark.parametrize("block", [1, 40, blocks.BLOCK])
@pytest.mark.parametrize(("size", "options"), WINDOWS)
def test_pooling_is_its_definition(
    size: Any, options: Any, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    x = drawn((3, *size), 1, np.float64) - 5  # no zero that is padded in is ever smaller
    counting = AveragePooling(*options, count_padding=True)
    for op in (MaxPooling(*options), AveragePooling(*options), counting):
        np.testing.assert_allclose(computed(op, x), defined(op, x), atol=1e-12)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("size", [(4, 3), (3, 4, 2), (2, 3, 2, 2)])
def test_global_pooling_is_its_definition(size: Any, keepdims: bool) -> None:
    x = drawn((3, *size), 1, np.float64)
    axes = tuple(range(1, x.ndim - 1))
    largest, mean = x.max(axes, keepdims=keepdims), x.mean(axes, keepdims=keepdims)
    np.testing.assert_array_equal(computed(GlobalMaxPooling(keepdims), x), largest)
    np.testing.assert_allclose(computed(GlobalAveragePooling(keepdims), x), mean, atol=1e-12)


ADAPTIVE = [((7, 3), (3,)), ((3, 2), (7,)), ((6, 4, 2), (2, 4)), ((6, 5, 2), (4, 1)),
            ((3, 5, 4, 2), (2, 3, 2))]  # fmt: skip


@pytest.mark.parametrize(("size", "output"), ADAPTIVE)
def test_adaptive_pooling_is_its_definition(size: Any, output: tuple[int, ...]) -> None:
    x = drawn((3, *size), 1, np.float64)
    largest, mean = np.zeros((2, 3, *output, size[-1]))
    axes = tuple(range(1, x.ndim - 1))
    for t in np.ndindex(*output):
        ends = zip(t, size, output, strict=False)
        box = (slice(i * n // m, -(-(i + 1) * n // m)) for i, n, m in ends)
        window, place = x[(slice(None), *box)], (slice(None), *t)
        largest[place], mean[place] = window.max(axes), window.mean(axes)
    np.testing.assert_array_equal(computed(AdaptiveMaxPooling(output), x), largest)
    np.testing.assert_allclose(computed(AdaptiveAveragePooling(output), x), mean, atol=1e-12)


def slopes(op: Operation, x: Array) -> Array:
    """The gradient of the sum of all outputs."""
    graph = graph_of(op, *x.shape[1:])
    plan = Plan(
        graph,
        Parameters(graph, {}, np.float64),
        {"N": len(x)},
        terms=[Term(Inner(), "y", "ones")],
        wrt=["x"],
    )
    plan.v["x"][...] = x
    plan.v["ones"].fill(len(x))  # a loss is the mean over the batch
    plan.run()
    return plan.g["x"]


def test_of_equal_elements_the_first_has_the_slope() -> None:
    x = np.array([[1, 2, 2], [2, 0, 2], [3, 3, 3.0]]).reshape(1, 3, 3, 1)
    overlapping = slopes(MaxPooling((2, 2), (1, 1)), x)
    assert overlapping.reshape(3, 3).tolist() == [[0, 2, 0], [0, 0, 0], [1, 1, 0]]
    apart = slopes(MaxPooling((2, 2), (2, 2), "same"), x)
    assert apart.reshape(3, 3).tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 1]]
    whole = slopes(GlobalMaxPooling(), x)
    assert whole.reshape(3, 3).tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]
    adaptive = slopes(AdaptiveMaxPooling((2, 2)), x)
    assert adaptive.reshape(3, 3).tolist() == [[0, 2, 0], [0, 0, 0], [1, 1, 0]]


def test_elements_under_no_window_have_no_slope() -> None:
    x = drawn((1, 5, 5, 1), 1, np.float64)
    for op in (MaxPooling((2, 2)), MaxPooling((1, 1), (2, 3)), AveragePooling((2, 2))):
        found, wanted = slopes(op, x), float(computed(op, x).size)
        assert found.sum() == pytest.approx(wanted)
        assert not found[:, 4].any() or op.pool_size == (1, 1)


REFUSED: list[tuple[Operation, tuple[int | str, ...], str]] = [
    (MaxPooling((2, 2)), (6, 3), "needs 2 spatial axes, but the input has 1"),
    (MaxPooling((7,)), (6, 3), "a window of 7 does not fit an axis of 6"),
    (MaxPooling((2,), (0,)), (6, 3), "stride (0,) is not a positive number"),
    (AveragePooling((2,), (1, 1)), (6, 3), "stride (1, 1) is not a positive number for each"),
    (AveragePooling((2, 2), padding="causal"), (6, 6, 3), "causal padding is for sequences"),
    (MaxPooling((2,), padding=((2, 0),)), (6, 3), "padding ((2, 0),) would fill windows of (2,)"),
    (AdaptiveMaxPooling((2,)), (6, 5, 3), "output size (2,) is not a positive number for each"),
    (AdaptiveAveragePooling((0,)), (6, 3), "output size (0,) is not a positive number for each"),
    (AdaptiveMaxPooling((2, 2)), ("H", 6, 3), "the sizes ('H', 6) must be numbers"),
    (GlobalMaxPooling(), (3,), "the rank is 2"),
    (GlobalAveragePooling(), (3,), "the rank is 2"),
]


@pytest.mark.parametrize(("op", "shape", "message"), REFUSED)
def test_what_does_not_fit_is_refused(
    op: Operation, shape: tuple[int | str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        op.infer(Tensor(("N", *shape)))


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_pooling_is_that_of_keras(padding: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    layers = pytest.importorskip("keras").layers
    x, sequence = drawn((2, 7, 8, 3)), drawn((2, 9, 3))
    for pool, strides in [((2, 2), None), ((3, 3), (2, 2)), ((3, 2), (1, 3)), ((2, 5), (3, 1))]:
        pairs = [(layers.MaxPooling2D, MaxPooling), (layers.AveragePooling2D, AveragePooling)]
        for layer, kind in pairs:
            wanted = np.asarray(layer(pool, strides, padding)(x))
            found = computed(kind(pool, strides or (), padding), x)
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    for pool, stride in [(2, None), (3, 2), (4, 1), (2, 3)]:
        pairs = [(layers.MaxPooling1D, MaxPooling), (layers.AveragePooling1D, AveragePooling)]
        for layer, kind in pairs:
            wanted = np.asarray(layer(pool, stride, padding)(sequence))
            found = computed(kind((pool,), (stride,) if stride else (), padding), sequence)
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_pooling_of_volumes_and_to_a_size_is_that_of_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    layers = pytest.importorskip("keras").layers
    pairs: list[tuple[Any, Operation]] = [
        (layers.MaxPooling3D(2), MaxPooling((2, 2, 2))),
        (layers.AveragePooling3D((3, 2, 1), (1, 2, 2), "same"),
         AveragePooling((3, 2, 1), (1, 2, 2), "same")),
        (layers.GlobalMaxPooling3D(), GlobalMaxPooling()),
    ]  # fmt: skip
    if hasattr(layers, "AdaptiveMaxPooling3D"):  # 3.13
        size = (2, 3, 7)
        pairs.append((layers.AdaptiveMaxPooling3D(size), AdaptiveMaxPooling(size)))
        pairs.append((layers.AdaptiveAveragePooling3D(size), AdaptiveAveragePooling(size)))
    x = drawn((2, 5, 6, 4, 2))
    for layer, op in pairs:
        np.testing.assert_allclose(computed(op, x), np.asarray(layer(x)), rtol=1e-5, atol=1e-5)
