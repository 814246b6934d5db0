"""Operations of Keras 3 as layers: as real Keras writes and computes them, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.importer import load
from cortex.runtime import ops
from cortex.runtime.errors import CortexError
from cortex.runtime.op import Operation

from .keras_files import functional, given, write
from .keras_op_cases import CASES, file_name
from .recorded import check_agrees, written


def tensor(name: str, *shape: int | None) -> dict[str, Any]:
    """A tensor as the arguments of a call have it."""
    config = {"shape": [None, *shape], "dtype": "float32", "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


def array(value: Any) -> dict[str, Any]:
    """A constant array."""
    return {"class_name": "__numpy__", "config": {"value": value, "dtype": "float32"}}


def operation(kind: str, *args: Any, module: str = "numpy", **config: Any) -> dict[str, Any]:
    """An operation as a layer."""
    return {
        "module": f"keras.src.ops.{module}",
        "class_name": kind,
        "registered_name": kind,
        "name": "op",
        "config": {"name": "op", **config},
        "inbound_nodes": [{"args": list(args), "kwargs": {}}],
    }


def network(path: Path, layer: Any, *shape: int | None) -> Any:
    model = functional(given("x", *shape), layer)
    return load(write(path / "model.h5", model, version="3.5.0")).network


X = tensor("x", 6)
BECOMES: dict[str, tuple[Any, list[Operation]]] = {
    "number": (operation("Multiply", X, 2), [ops.Scale(2.0)]),
    "number first": (operation("Subtract", 1.0, X), [ops.Scale(-1.0, 1.0)]),
    "both the same": (operation("Add", X, X), [ops.Add()]),
    "reduction": (operation("Sum", X, axis=[1], keepdims=True), [ops.ReduceSum((1,), True)]),
    "reduction of all": (operation("Mean", X, axis=None), [ops.ReduceMean()]),
    "shape with None": (operation("Reshape", X, newshape=[None, 2, 3]), [ops.Reshape((2, 3))]),
    "matrix": (operation("Matmul", X, array([[1.0]] * 6)), [ops.Dense(1, False)]),
    "items": (
        operation(
            "GetItem",
            X,
            [{"class_name": "__ellipsis__", "config": {}}, 0],
        ),
        [ops.StridedSlice((None, 0), (None, 1), (None, None)), ops.Squeeze((1,))],
    ),
    "synchronized": (
        operation("Softmax", X, module="nn", axis=-1),
        [ops.Softmax(1)],
    ),
}


@pytest.mark.parametrize("case", BECOMES)
def test_becomes(case: str, tmp_path: Path) -> None:
    layer, expected = BECOMES[case]
    assert [node.op for node in network(tmp_path, layer, 6).graph.nodes] == expected


def test_a_constant_is_the_kernel(tmp_path: Path) -> None:
    kernel = [[float(i), 1.0] for i in range(6)]
    made = network(tmp_path, operation("Matmul", X, array(kernel)), 6)
    (stored,) = made.parameters.values()
    np.testing.assert_array_equal(stored, np.array(kernel, np.float32))


REFUSED: dict[str, tuple[Any, str]] = {
    "unknown": (operation("Median", X, axis=1), r"ops\.Median \('op'\)"),
    "option": (
        operation("Mean", X, axis=1, where=[True]),
        r"Keras Mean 'op': it sets where=\[True\], which would be lost",
    ),
    "computed kernel": (
        operation("Conv", X, X, module="nn", strides=1, padding="same"),
        "a kernel 'that is computed' is not supported",
    ),
    "shapes": (operation("Add", X, array([1.0, 2.0])), r"sizes \[2, 6\] do not match"),
    "missing operand": (operation("Add", X), "its options make no sense"),
    "axis": (operation("Sum", X, axis=5), "axis 5 is not supported"),
    "reshape": (operation("Reshape", X, newshape=[-1, 4]), r"reshape of '\(N, 6\) to \(-1, 4\)'"),
    "aspect ratio": (
        operation("Resize", tensor("x", 6), module="image", size=[3, 3], crop_to_aspect_ratio=True),
        "it sets crop_to_aspect_ratio=True, which would be lost",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused(case: str, tmp_path: Path) -> None:
    layer, message = REFUSED[case]
    with pytest.raises(CortexError, match=message):
        network(tmp_path, layer, 6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case, written by real Keras in a process of its own."""
    made = tmp_path_factory.mktemp("operations")
    return written("tests.importer.keras_op_cases", made, sys.executable)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_keras(case: str, folder: Path) -> None:
    check_agrees(folder / f"{file_name(case)}.keras")
