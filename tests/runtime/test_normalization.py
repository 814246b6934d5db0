"""Normalization of rows by their own statistics: against its definition and real Keras."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from cortex.runtime.ir import Graph, Node
from cortex.runtime.network import Network
from cortex.runtime.op import Operation
from cortex.runtime.ops import (
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from cortex.runtime.tensor import Size, Tensor

from .networks import Array, drawn


def computed(op: Operation, x: Array, **arrays: Array) -> Array:
    tensor = Tensor(("N", *x.shape[1:]))
    node = Node("y", op, ("x",), {name: name for name in op.params(tensor)})
    graph = Graph({"x": tensor}, (node,), {"y": "y"})
    return Network(graph, arrays).run({"x": x}, dtype=np.float64)["y"]


def test_the_statistics_are_a_rows_own() -> None:
    x = drawn((4, 6, 5), dtype=np.float64) * 3 + 7
    whole = computed(LayerNormalization((1, 2), 1e-9, center=False, scale=False), x)
    np.testing.assert_allclose(whole.mean((1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(whole.var((1, 2)), 1, rtol=1e-8)
    groups = computed(GroupNormalization(2, 1, 1e-9, center=False, scale=False), x)
    np.testing.assert_allclose(groups.reshape(4, 2, 15).mean(2), 0, atol=1e-12)
    np.testing.assert_allclose(groups.reshape(4, 2, 15).var(2), 1, rtol=1e-8)
    roots = computed(RMSNormalization((2,), 1e-9, scale=False), x)
    np.testing.assert_allclose((roots**2).mean(2), 1, rtol=1e-8)
    units = computed(UnitNormalization((1,)), x)
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1)


def test_a_short_vector_is_divided_by_epsilon() -> None:
    x = np.array([[0, 0], [3e-7, 4e-7], [3e-6, 4e-6]])
    found = computed(UnitNormalization(epsilon=1e-6), x)
    np.testing.assert_allclose(found, [[0, 0], [0.3, 0.4], [0.6, 0.8]])


Shape = tuple[Size, ...]

REFUSED: list[tuple[Operation, Shape, str]] = [
    (LayerNormalization((2,)), ("N", 3), "has no axis 2"),
    (LayerNormalization(()), ("N", 3), "axes () must name one axis or more, each once"),
    (LayerNormalization((-1, 1)), ("N", 3), "axes (-1, 1) must name one axis or more, each once"),
    (UnitNormalization((0,)), ("N", 3), "axis 0 is the batch"),
    (LayerNormalization(rms_scaling=True), ("N", 3), "rms_scaling has no beta"),
    (RMSNormalization((1,)), ("N", 3, 4), "its gamma of (3,) does not fit the last axes"),
    (GroupNormalization(2, 2), ("N", 4), "has no axis 2"),
    (GroupNormalization(2, -2), ("N", 4), "axis 0 is the batch"),
    (GroupNormalization(3), ("N", 4), "4 channels cannot be parted into 3 groups"),
    (GroupNormalization(0), ("N", 4), "4 channels cannot be parted into 0 groups"),
    (GroupNormalization(2), ("N", 4, "C"), "C channels cannot be parted into 2 groups"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "shape", "message"), REFUSED)
def test_what_does_not_fit_is_refused(op: Operation, shape: Shape, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        op.infer(Tensor(shape))


@pytest.fixture(scope="module")
def layers() -> Any:
    import os

    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras").layers


def matches(layer: Any, op: Operation, x: Array) -> None:
    layer.build(x.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])
    specs = op.params(Tensor(x.shape))
    arrays: dict[str, Array] = {}
    for weight in layer.weights:
        name = "gamma" if weight.name == "scale" else weight.name
        arrays[name] = np.asarray(weight).reshape(Tensor(specs[name].shape).sizes)
    found = computed(op, x, **arrays)
    np.testing.assert_allclose(found, layer(x), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("axes", [(-1,), (1,), (1, 3), (-1, 1), (3, 1, 2)])
def test_layer_normalization_is_that_of_keras(layers: Any, axes: tuple[int, ...]) -> None:
    x = drawn((2, 3, 4, 5))
    matches(layers.LayerNormalization(axis=list(axes)), LayerNormalization(axes), x)


@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`")
def test_rms_scaling_is_that_of_keras(layers: Any) -> None:
    op = LayerNormalization((1,), center=False, rms_scaling=True)
    matches(layers.LayerNormalization(axis=1, rms_scaling=True), op, drawn((2, 3, 4)) + 2)


@pytest.mark.parametrize("axes", [(-1,), (2, 3), (2,)])
def test_rms_normalization_is_that_of_keras(layers: Any, axes: tuple[int, ...]) -> None:
    matches(layers.RMSNormalization(list(axes)), RMSNormalization(axes), drawn((2, 3, 4, 4)))


@pytest.mark.parametrize(("groups", "axis"), [(2, -1), (3, 1), (-1, 2), (1, -1)])
def test_group_normalization_is_that_of_keras(layers: Any, groups: int, axis: int) -> None:
    op = GroupNormalization(groups, axis)
    matches(layers.GroupNormalization(groups, axis), op, drawn((2, 6, 5, 4)))


@pytest.mark.parametrize("axes", [(-1,), (1, 2)])
def test_unit_normalization_is_that_of_keras(layers: Any, axes: tuple[int, ...]) -> None:
    x = drawn((3, 4, 5)) * np.array([1, 1e-6, 0], np.float32).reshape(3, 1, 1)
    matches(layers.UnitNormalization(list(axes)), UnitNormalization(axes), x)
