"""Resampling against its definition, known values and real Keras."""

from __future__ import annotations

import re
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from cortex.runtime.ir import Graph, Node
from cortex.runtime.kernels import blocks, separable
from cortex.runtime.network import Network
from cortex.runtime.ops import Resample
from cortex.runtime.ops.interpolation import SMOOTHING, Method, matrix, nearest
from cortex.runtime.tape import Tape, Value
from cortex.runtime.tensor import Tensor

from .networks import drawn

Array = NDArray[Any]
METHODS: tuple[Method, ...] = get_args(Method)


def computed(op: Resample, x: Array) -> Array:
    graph = Graph({"x": Tensor(("N", *x.shape[1:]))}, (Node("y", op, ("x",)),), {"y": "y"})
    return Network(graph, {}).run({"x": x}, dtype=np.float64)["y"]


def line(op: Resample, *row: float) -> list[float]:
    """What becomes of one row of pixels."""
    return computed(op, np.reshape(np.array(row, np.float64), (1, -1, 1)))[0, :, 0].tolist()


@pytest.mark.parametrize(
    ("op", "row", "wanted"),
    [
        (Resample(factors=(3,)), [1, 2], [1, 1, 1, 2, 2, 2]),
        (Resample((2,)), [1, 2, 3, 4], [2, 4]),  # two are equally near: the later
        (Resample((3,)), [1, 2, 3, 4, 5], [1, 3, 5]),
        (Resample(factors=(2,), method="bilinear"), [0, 1], [0, 0.25, 0.75, 1]),
        (Resample(factors=(2,), method="corner_bilinear"), [0, 1], [0, 0.5, 1, 1]),
        (Resample((2,), method="bilinear"), [0, 1, 5, 7], [0.5, 6]),
        (Resample((2,), method="bilinear", antialias=True), [0, 8, 16, 24], [40 / 7, 128 / 7]),
        (Resample((2,), method="area"), [3, 6, 9], [4, 8]),
        (Resample((3,), method="area"), [2, 4], [2, 3, 4]),
        (Resample((4,), method="bicubic"), [0, 0, 1, 0], [0, 0, 1, 0]),
    ],
)
def test_known_rows(op: Resample, row: list[float], wanted: list[float]) -> None:
    assert line(op, *row) == pytest.approx(wanted, abs=1e-15)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_weights_of_a_pixel_add_up_to_one(method: Method, antialias: bool) -> None:
    for size, count in [(1, 3), (2, 7), (5, 3), (9, 9), (30, 4), (4, 100)]:
        weights = matrix(method, size, count, antialias)
        assert weights.shape == (count, size)
        np.testing.assert_allclose(weights.sum(1), 1)
        if size == count and method not in SMOOTHING:
            np.testing.assert_allclose(weights, np.eye(size), atol=1e-15)


def test_a_straight_line_stays_one() -> None:
    for method in ("bilinear", "bicubic"):
        inner = line(Resample(factors=(2,), method=method), *range(8))[4:-4]
        assert inner == pytest.approx(np.arange(1.75, 5.5, 0.5))


def test_a_table_of_the_kernel_is_nearly_the_kernel() -> None:
    for size, count, near in [(5, 10, 1e-15), (5, 15, 2e-3), (7, 30, 2e-3)]:
        difference = matrix("bicubic", size, count) - matrix("tabulated_bicubic", size, count)
        assert abs(difference).max() <= near
        assert near < 1e-3 or abs(difference).max() > 1e-5


def test_the_nearest_pixel_of_a_factor_is_the_repeated_one() -> None:
    for size in (1, 3, 49, 100):
        for factor in (1, 2, 3, 7, 10, 49):
            assert nearest(size, size * factor) == [i // factor for i in range(size * factor)]


@pytest.mark.parametrize("block", [1, 100, blocks.BLOCK])
@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize("size", [(3, 4, 2), (9, 2, 5), (4, 6, 3), (5, 4, 3)])
def test_bands_and_blocks_are_the_whole_product(
    size: tuple[int, ...], rows: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(separable, "ROWS", rows)
    monkeypatch.setattr(blocks, "BLOCK", block)
    x = drawn((3, 5, 4, 3, 2), 1, np.float64)
    for method in ("bilinear", "nearest", "lanczos3"):
        each = [matrix(method, n, m) for n, m in zip(x.shape[1:-1], size, strict=True)]
        wanted = np.einsum("nabcd,ia,jb,kc->nijkd", x, *each)
        found = computed(Resample(size, method=method), x)
        np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("op", "shape", "message"),
    [
        (Resample(), (4, 5, 2), "either a size or factors, not () and ()"),
        (Resample((4, 4), (2, 2)), (4, 5, 2), "either a size or factors, not (4, 4) and (2, 2)"),
        (Resample((4,)), (4, 5, 2), "(4,) is not a positive number for each of 2 axes"),
        (Resample(factors=(2, 0)), (4, 5, 2), "(2, 0) is not a positive number for each of 2 axes"),
    ],
)
def test_what_does_not_fit_is_refused(op: Resample, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        op.infer(Tensor(("N", *shape)))


def emitted(op: Resample, *shape: int | str) -> list[str]:
    """The kinds of the ONNX nodes but for transpositions."""
    tape = Tape()
    tape.types = [Tensor(("N", *shape))]
    op.onnx(tape, {}, Value("x", len(shape) + 1))
    return [node.op_type for node in tape.nodes if node.op_type != "Transpose"]


def test_onnx_resizes_where_it_computes_the_same() -> None:
    assert emitted(Resample(factors=(2, 2)), "H", "W", 3) == ["Resize"]
    assert emitted(Resample(factors=(2, 2), method="bicubic"), "H", "W", 3) == ["Resize"]
    assert emitted(Resample((6, 6), method="bilinear"), "H", "W", 3)[-1] == "Resize"
    assert emitted(Resample((6, 6), method="bicubic"), 9, 9, 3) == ["MatMul", "MatMul"]
    assert emitted(Resample((6, 9), method="area"), 9, 9, 3) == ["MatMul"]
    assert emitted(Resample((9, 6)), 9, 9, 3) == ["Gather"]
    for op in (Resample((6, 6)), Resample(factors=(2, 2), method="lanczos3")):
        assert op.infer(Tensor(("N", "H", "W", 3)))
        with pytest.raises(ValueError, match="must be numbers"):
            emitted(op, "H", "W", 3)


SIZES = [((5, 7), (10, 21)), ((9, 13), (4, 5)), ((17, 11), (23, 7)), ((3, 4), (64, 60)),
         ((60, 50), (7, 9)), ((2, 1), (5, 6)), ((8, 6), (8, 3))]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"])
def test_resampling_is_that_of_keras(
    method: Method, antialias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    for before, after in SIZES:
        x = drawn((2, *before, 3))
        layer = keras.layers.Resizing(*after, interpolation=method, antialias=antialias)
        found = computed(Resample(after, method=method, antialias=antialias), x)
        np.testing.assert_allclose(found, np.asarray(layer(x)), atol=3e-5)
    for factors in [(2, 2), (3, 1), (1, 4)]:
        x = drawn((2, 4, 5, 3))
        layer = keras.layers.UpSampling2D(factors, interpolation=method)
        found = computed(Resample(factors=factors, method=method), x)
        np.testing.assert_allclose(found, np.asarray(layer(x)), atol=1e-5)
