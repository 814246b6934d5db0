"""What a Keras layer with its options becomes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.importer import load
from cortex.importer.keras import layer as keras_layer
from cortex.importer.keras.converters.activations import ACTIVATIONS
from cortex.runtime import ops
from cortex.runtime.errors import CortexError, UnreadableFile, Unsupported
from cortex.runtime.op import Operation

from .keras_files import entry, functional, given, link, write

VECTOR, SERIES, IMAGE = (6,), (7, 4), (8, 7, 4)


def network(
    path: Path,
    kind: str,
    shape: tuple[int | None, ...],
    arrays: dict[str, tuple[int, ...]] | None = None,
    version: str = "2.4.0",
    backend: str = "tensorflow",
    **options: Any,
) -> Any:
    stored = {
        name: np.arange(np.prod(size), dtype=np.float32).reshape(size)
        for name, size in (arrays or {}).items()
    }
    model = functional(given("x", *shape), entry(kind, "layer", link("x"), **options))
    return load(write(path / "model.h5", model, {"layer": stored}, version, backend)).network


BECOMES: dict[str, tuple[str, tuple[int, ...], dict[str, Any], list[Operation]]] = {
    "policy of Keras 2": (
        "Flatten",
        IMAGE,
        {"dtype": {"class_name": "Policy", "config": {"name": "float32"}}},
        [ops.Flatten()],
    ),
    "strange initializers": (
        "Flatten",
        IMAGE,
        {"kernel_initializer": {"module": "builtins", "config": "f"}, "bias_constraint": "X"},
        [ops.Flatten()],
    ),
    "dropout of Keras 1": ("Dropout", VECTOR, {"rate": 0.25}, [ops.Dropout(0.25)]),
    "noise shape": (
        "Dropout",
        IMAGE,
        {"rate": 0.5, "noise_shape": [None, 1, 1, 4]},
        [ops.Dropout(0.5, (1, 2))],
    ),
    "leaky of Keras 2": ("LeakyReLU", VECTOR, {"alpha": 0.1}, [ops.Relu(negative_slope=0.1)]),
    "leaky of Keras 3": (
        "LeakyReLU",
        VECTOR,
        {"negative_slope": 0.1},
        [ops.Relu(negative_slope=0.1)],
    ),
    "number in an array": (
        "LeakyReLU",
        VECTOR,
        {"alpha": {"type": "ndarray", "value": 0.1}},
        [ops.Relu(negative_slope=0.1)],
    ),
    "identity": ("Activation", VECTOR, {"activation": "linear"}, []),
    "regularization": ("ActivityRegularization", VECTOR, {"l1": 1.0, "l2": 2.0}, []),
    "pool without strides": (
        "MaxPooling2D",
        IMAGE,
        {"pool_size": [2, 2], "strides": None, "padding": "same"},
        [ops.MaxPooling((2, 2), (2, 2), "same")],
    ),
    "one number for all axes": (
        "AveragePooling2D",
        IMAGE,
        {"pool_size": 2, "strides": 1},
        [ops.AveragePooling((2, 2), (1, 1), "valid")],
    ),
    "global pooling": (
        "GlobalAveragePooling1D",
        SERIES,
        {"keepdims": True},
        [ops.GlobalAveragePooling(True)],
    ),
    "padding as a number": (
        "ZeroPadding2D",
        IMAGE,
        {"padding": 2},
        [ops.ZeroPadding(((2, 2), (2, 2)))],
    ),
    "padding symmetric": (
        "ZeroPadding2D",
        IMAGE,
        {"padding": [1, 2]},
        [ops.ZeroPadding(((1, 1), (2, 2)))],
    ),
    "padding each": (
        "ZeroPadding2D",
        IMAGE,
        {"padding": [[1, 0], [0, 2]]},
        [ops.ZeroPadding(((1, 0), (0, 2)))],
    ),
    "padding of a series": (
        "ZeroPadding1D",
        SERIES,
        {"padding": [1, 2]},
        [ops.ZeroPadding(((1, 2),))],
    ),
    "cropping": ("Cropping1D", SERIES, {"cropping": 1}, [ops.Cropping(((1, 1),))]),
    "permute": ("Permute", IMAGE, {"dims": [3, 1, 2]}, [ops.Transpose((0, 3, 1, 2))]),
    "reshape": ("Reshape", IMAGE, {"target_shape": [4, -1]}, [ops.Reshape((4, -1))]),
    "softmax": ("Softmax", IMAGE, {"axis": 1}, [ops.Softmax(1)]),
}


@pytest.mark.parametrize("case", BECOMES)
def test_becomes(case: str, tmp_path: Path) -> None:
    kind, shape, options, expected = BECOMES[case]
    graph = network(tmp_path, kind, shape, **options).graph
    assert [node.op for node in graph.nodes] == expected
    assert graph.layers["layer"].kind == kind


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_an_operation(name: str, tmp_path: Path) -> None:
    graph = network(tmp_path, "Activation", VECTOR, activation=name).graph
    assert len(graph.nodes) == (name != "linear")


def test_hard_sigmoid_changed_its_slope(tmp_path: Path) -> None:
    for version, slope in (("2.11.0", 0.2), ("3.0.0", 1 / 6)):
        graph = network(
            tmp_path, "Activation", VECTOR, version=version, activation="hard_sigmoid"
        ).graph
        assert graph.nodes[0].op == ops.HardSigmoid(slope)


CONVOLUTION = {"kernel_size": [3, 2], "filters": 5, "strides": [1, 1], "use_bias": False}


def test_kernels_of_theano_are_turned_round(tmp_path: Path) -> None:
    options: Any = {**CONVOLUTION, "arrays": {"kernel:0": (3, 2, 4, 5)}}
    plain = network(tmp_path, "Conv2D", IMAGE, **options).parameters["layer/kernel"]
    turned = network(tmp_path, "Conv2D", IMAGE, backend="theano", **options)
    np.testing.assert_array_equal(turned.parameters["layer/kernel"], plain[::-1, ::-1])


NORM = dict.fromkeys(("gamma:0", "beta:0", "moving_mean:0", "moving_variance:0"), (4,))

REFUSED: dict[str, tuple[str, tuple[int, ...], dict[str, Any], type[CortexError], str]] = {
    "unread option": (
        "Dense",
        VECTOR,
        {"units": 3, "use_bias": False, "arrays": {"kernel:0": (6, 3)}, "flavour": 1},
        Unsupported,
        "Keras Dense 'layer': it sets flavour=1, which would be lost",
    ),
    "unread array": (
        "Flatten",
        IMAGE,
        {"arrays": {"secret:0": (3,)}},
        Unsupported,
        "the arrays of 'layer' would be lost: no layer asks for them",
    ),
    "missing array": (
        "Dense",
        VECTOR,
        {"units": 3, "arrays": {"kernel:0": (6, 3)}},
        UnreadableFile,
        "its array 'bias' is missing; stored are kernel",
    ),
    "missing option": ("Dense", VECTOR, {}, UnreadableFile, "its option 'units' is missing"),
    "wrong shape": (
        "BatchNormalization",
        IMAGE,
        {"arrays": {**NORM, "beta:0": (5,)}},
        UnreadableFile,
        r"its beta has the shape \(5,\), its options ask for \(4,\)",
    ),
    "unknown activation": (
        "Activation",
        VECTOR,
        {"activation": "swoosh"},
        Unsupported,
        "activation 'swoosh' is not supported",
    ),
    "activation of one's own": (
        "Activation",
        VECTOR,
        {"activation": {"class_name": "function", "config": "f"}},
        Unsupported,
        "activation 'f' is not supported",
    ),
    "dtype": ("Flatten", IMAGE, {"dtype": "int9"}, Unsupported, "dtype 'int9' is not supported"),
    "a window larger than the input": (
        "MaxPooling2D",
        IMAGE,
        {"pool_size": [9, 2]},
        CortexError,
        "Keras MaxPooling2D 'layer'|'layer'",
    ),
    "units that are no number": (
        "Dense",
        VECTOR,
        {"units": "many", "use_bias": False, "arrays": {"kernel:0": (6, 3)}},
        CortexError,
        "layer",
    ),
    "sizes that are no numbers": (
        "Cropping2D",
        IMAGE,
        {"cropping": "wide"},
        CortexError,
        "Keras Cropping2D 'layer'",
    ),
    "a shape that does not fit": (
        "Reshape",
        IMAGE,
        {"target_shape": [5, 5]},
        CortexError,
        r"a row has 224 elements",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused(case: str, tmp_path: Path) -> None:
    kind, shape, options, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        network(tmp_path, kind, shape, **options)


def test_a_class_has_one_converter() -> None:
    def convert(_: keras_layer.Layer, x: keras_layer.Value) -> keras_layer.Value:
        return x

    with pytest.raises(ValueError, match="Keras Dense is registered twice"):
        keras_layer.keras("Dense")(convert)
