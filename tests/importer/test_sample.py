"""The input a model is checked with where nobody gives one."""

from __future__ import annotations

import numpy as np
import pytest

from cortex.importer.sample import sample_inputs
from cortex.runtime import ops
from cortex.runtime.errors import Unsupported
from cortex.runtime.ir import Graph, Node
from cortex.runtime.op import Operation
from cortex.runtime.tensor import Tensor


def graph(op: Operation, tensor: Tensor) -> Graph:
    params = {name: f"y/{name}" for name in op.params(tensor)}
    return Graph({"x": tensor}, (Node("y", op, ("x",), params),), {"y": "y"})


def test_floats_are_uniform_and_always_the_same() -> None:
    dense = graph(ops.Dense(2), Tensor(("N", 500)))
    x = sample_inputs(dense)["x"]
    assert (x.shape, x.dtype) == ((2, 500), np.float32)
    assert -1 <= x.min() < -0.9
    assert 0.9 < x.max() < 1
    np.testing.assert_array_equal(x, sample_inputs(dense)["x"])


@pytest.mark.parametrize("dtype", ["float", "int32", "int64"])
def test_ids_lie_within_the_vocabulary_they_feed(dtype: str) -> None:
    x = sample_inputs(graph(ops.Embedding(7, 2), Tensor(("N", 300), dtype)))["x"]
    assert set(np.unique(x)) == set(range(7))


def test_numbers_that_feed_no_table_are_bits() -> None:
    x = sample_inputs(graph(ops.Flatten(), Tensor(("N", 50, 2), "int32")))["x"]
    assert set(np.unique(x)) == {0, 1}


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        (("N", "T", 4), (2, 16, 4)),
        (("N", "H", "W", 3), (2, 64, 64, 3)),
        (("N", 9, "W", 3), (2, 9, 64, 3)),
    ],
)
def test_open_axes_get_sizes(shape: tuple[int | str, ...], found: tuple[int, ...]) -> None:
    assert sample_inputs(graph(ops.Relu(), Tensor(shape)))["x"].shape == found


def test_an_open_image_is_as_large_as_the_network_needs() -> None:
    wide = graph(ops.MaxPooling((100, 100)), Tensor(("N", "H", "W", 3)))
    assert sample_inputs(wide)["x"].shape == (2, 128, 128, 3)


def test_a_network_that_nothing_fits() -> None:
    huge = graph(ops.MaxPooling((600, 600)), Tensor(("N", "H", "W", 3)))
    with pytest.raises(
        Unsupported, match=r"no size of the open axes .* fits .* give one by --input"
    ):
        sample_inputs(huge)


def test_an_input_that_only_wants_memory() -> None:
    with pytest.raises(Unsupported, match=r"'x' of shape \(100000, 100000\) is too large"):
        sample_inputs(graph(ops.Relu(), Tensor(("N", 100_000, 100_000))))
