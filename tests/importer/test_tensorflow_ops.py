"""Functions of TensorFlow as layers: the forms tf.keras writes, and what is refused."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.importer import load
from cortex.importer.keras.converters.node_def import Node, read_node
from cortex.runtime import ops
from cortex.runtime.errors import CortexError, UnreadableFile
from cortex.runtime.op import Operation

from .keras_files import functional, given, write
from .recorded import check_agrees, written
from .tensorflow_cases import CASES, file_name

CONSTANT = "_CONSTANT_VALUE"


def function(name: str, *inbound: Any, layer: str = "f", kind: str = "TFOpLambda") -> Any:
    """A function as a layer, with one call."""
    config = {"name": layer, "trainable": True, "dtype": "float32", "function": name}
    nodes = list(inbound)
    return {"class_name": kind, "name": layer, "config": config, "inbound_nodes": nodes}


def of(layer: str, **options: Any) -> list[Any]:
    """A call on a layer's output, with options by name."""
    return [layer, 0, 0, options]


def network(path: Path, *layers: Any, shape: tuple[int | None, ...] = (3, 4)) -> Any:
    model = functional(given("x", *shape), *layers)
    return load(write(path / "model.h5", model, version="2.9.0")).network


ONE: dict[str, tuple[Any, list[Operation]]] = {
    "number": (function("math.multiply", of("x", y=2.0, name=None)), [ops.Scale(2.0)]),
    "number first": (
        function("math.subtract", [CONSTANT, -1, 1.0, {"y": ["x", 0, 0], "name": None}]),
        [ops.Scale(-1.0, 1.0)],
    ),
    "power": (function("math.pow", of("x", y=2, name=None)), [ops.Square()]),
    "list": (
        function("concat", [of("x", axis=-1), of("x", axis=-1)]),
        [ops.Concatenate(2)],
    ),
    "of version 1": (
        function("compat.v1.transpose", of("x", perm=[0, 2, 1], conjugate=False)),
        [ops.Transpose((0, 2, 1))],
    ),
    "option of None": (function("nn.softmax", of("x", axis=None)), [ops.Softmax(2)]),
    "activation": (function("keras.activations.swish", of("x")), [ops.Silu()]),
    "gelu": (function("nn.gelu", of("x", approximate=True)), [ops.Gelu(True)]),
    "slope": (function("nn.leaky_relu", of("x", alpha=0.1)), [ops.Relu(negative_slope=0.1)]),
    "reduction": (
        function("math.reduce_mean", of("x", axis=[1], keepdims=True)),
        [ops.ReduceMean((1,), True)],
    ),
    "slice": (
        function(
            "__operators__.getitem",
            of("x", slice_spec=[{"start": None, "stop": None, "step": None}, 0]),
            kind="SlicingOpLambda",
        ),
        [ops.StridedSlice((None, 0), (None, 1), (None, None)), ops.Squeeze((1,))],
    ),
    "backend": (function("keras.backend.batch_flatten", of("x")), [ops.Flatten()]),
    "resize": (
        function("image.resize", of("x", size=[6, 4], method="nearest")),
        [ops.Resample(factors=(2, 2), method="nearest")],
    ),
}


@pytest.mark.parametrize("case", ONE)
def test_becomes(case: str, tmp_path: Path) -> None:
    layer, expected = ONE[case]
    shape = (3, 2, 5) if case == "resize" else (3, 4)
    made = network(tmp_path, layer, shape=shape)
    assert [node.op for node in made.graph.nodes] == expected


def test_an_open_shape_is_known_by_name(tmp_path: Path) -> None:
    layers = [
        function("shape", of("x", out_type="int32", name=None), layer="shape"),
        function("__operators__.getitem", of("shape", slice_spec=0), layer="rows",
                 kind="SlicingOpLambda"),
        function("__operators__.getitem", of("shape", slice_spec=1), layer="steps",
                 kind="SlicingOpLambda"),
        function("math.multiply", of("steps", y=2), layer="twice"),
        function("reshape", of("x", shape=[["rows", 0, 0], ["twice", 0, 0], 2])),
    ]  # fmt: skip
    made = network(tmp_path, *layers, shape=(None, 4))
    assert made.graph.types[made.graph.outputs["f"]].shape == ("N", "2*T", 2)
    assert made.run({"x": np.zeros((3, 5, 4), np.float32)})["f"].shape == (3, 10, 2)


REFUSED: dict[str, tuple[Any, str]] = {
    "unknown": (function("math.bessel_j0", of("x")), "function math.bessel_j0 is not supported"),
    "random": (function("random.normal", of("x")), "function random.normal is not supported"),
    "lost operands": (
        function("einsum", [CONSTANT, -1, "bij,bjk->bik", {}]),
        "Keras TFOpLambda 'f': tf.keras does not write what einsum is called on",
    ),
    "option": (
        function("math.reduce_mean", of("x", axis=1, wherever=3)),
        "Keras TFOpLambda 'f': it sets wherever=3, which would be lost",
    ),
    "corners": (
        function("compat.v1.image.resize_bilinear", of("x", size=[6, 4], align_corners=True)),
        "align_corners True is not supported",
    ),
    "axis": (function("math.reduce_sum", of("x", axis=7)), "axis 7 is not supported"),
    "a huge constant": (
        function("tile", [CONSTANT, -1, [1.0], {"multiples": [10_000_000_000]}]),
        "a constant of 10,000,000,000 elements",
    ),
    "method": (
        {**function("", of("x"), kind="ClassMethod"),
         "config": {"name": "f", "cls_symbol": "RaggedTensor", "method_name": "from_tensor"}},
        "TensorFlow's RaggedTensor.from_tensor is not supported",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused(case: str, tmp_path: Path) -> None:
    layer, message = REFUSED[case]
    with pytest.raises(CortexError, match=message):
        network(tmp_path, layer)


def node_layer(op: str, *inputs: str, constants: Any = None, form: Any = None, **attr: Any) -> Any:
    """A node of a graph as a layer of tf.keras 2.0 to 2.3."""
    node = {"name": "n", "op": op, "input": list(inputs), "attr": attr}
    config = {"name": "n", "dtype": "float32", "node_def": node, "constants": constants or {}}
    config["node_def"] = form if form is not None else node
    return {
        "class_name": "TensorFlowOpLayer",
        "name": "tf_op_layer_n",
        "config": config,
        "inbound_nodes": [[["x", 0, 0, {}]]],
    }


FLOAT = {"type": "DT_FLOAT"}
BINARY_SLICE = (  # what 2.0 wrote: begin_mask 1, end_mask 3, shrink_axis_mask 2
    b"\n\rstrided_slice\x12\x0cStridedSlice\x1a\x02x0\x1a\x01a\x1a\x01b\x1a\x01c"
    b"*\x10\n\nbegin_mask\x12\x02\x18\x01*\x07\n\x01T\x12\x020\x01*\x0e\n\x08end_mask\x12\x02\x18\x01"
    b"*\x16\n\x10shrink_axis_mask\x12\x02\x18\x02"
).decode()
NODES: dict[str, tuple[Any, list[Operation]]] = {
    "number": (node_layer("Mul", "x", "mul/y", constants={"1": 2.0}, T=FLOAT), [ops.Scale(2.0)]),
    "number first": (
        node_layer("Sub", "sub/x", "x", constants={"0": 1.0}, T=FLOAT),
        [ops.Scale(-1.0, 1.0)],
    ),
    "object as text": (
        node_layer("", form=json.dumps({"op": "Relu6", "input": ["x"], "attr": {"T": FLOAT}})),
        [ops.Relu(max_value=6.0)],
    ),
    "reduction": (
        node_layer(
            "Mean", "x", "axes", constants={"1": [1]}, T=FLOAT, keep_dims={"b": True},
        ),
        [ops.ReduceMean((1,), True)],
    ),
    "cast": (
        node_layer("Cast", "x", SrcT=FLOAT, DstT={"type": "DT_INT32"}, Truncate={"b": False}),
        [ops.Cast("int32")],
    ),
    "concatenation": (
        node_layer("ConcatV2", "x", "axis", constants={"1": -1}, N={"i": "1"}, T=FLOAT),
        [],
    ),
    "binary": (
        node_layer("", form=BINARY_SLICE, constants={"1": [0, 1], "2": [0, 0], "3": [1, 1]}),
        [ops.StridedSlice((None, 1), (None, 2), (None, None)), ops.Squeeze((1,))],
    ),
    "squeeze": (
        node_layer("Squeeze", "x", T=FLOAT, squeeze_dims={"list": {"i": ["2"]}}),
        [ops.Squeeze((2,))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NODES)
def test_a_node_becomes(case: str, tmp_path: Path) -> None:
    layer, expected = NODES[case]
    made = network(tmp_path, layer, shape=(3, 1) if case == "squeeze" else (3, 4))
    assert [node.op for node in made.graph.nodes] == expected


NODES_REFUSED: dict[str, tuple[Any, str]] = {
    "unknown": (node_layer("Betainc", "x"), "operation Betainc is not supported"),
    "inputs": (node_layer("Mul", "x", "y"), "1 inputs for Mul, which has 2"),
    "attribute": (
        node_layer("Relu", "x", leak={"f": 0.5}),
        "it sets leak=0.5, which would be lost",
    ),
    "no node": (node_layer("", form="\x12"), "its node_def is none of TensorFlow's"),
    "no object": (node_layer("", form=[1]), "its node_def is none of TensorFlow's"),
}


@pytest.mark.parametrize("case", NODES_REFUSED)
def test_a_node_is_refused(case: str, tmp_path: Path) -> None:
    layer, message = NODES_REFUSED[case]
    with pytest.raises(CortexError, match=message):
        network(tmp_path, layer)


def test_nodes_are_read_alike_in_both_forms() -> None:
    pool = (
        b"\n\x01n\x12\x07MaxPool\x1a\x03mul*\x15\n\x0bdata_format\x12\x06\x12\x04NHWC"
        b"*\x11\n\x05ksize\x12\x08\n\x06\x1a\x04\x01\x02\x02\x01*\x11\n\x07padding\x12\x06\x12\x04SAME"
        b"*\x07\n\x01T\x12\x020\x01"
    )
    text = {
        "op": "MaxPool",
        "input": ["mul", "^control"],
        "attr": {
            "data_format": {"s": base64.b64encode(b"NHWC").decode()},
            "ksize": {"list": {"i": ["1", "2", "2", "1"]}},
            "padding": {"s": base64.b64encode(b"SAME").decode()},
            "T": FLOAT,
        },
    }
    expected = {"data_format": "NHWC", "ksize": [1, 2, 2, 1], "padding": "SAME", "T": "float32"}
    assert read_node(pool.decode()) == read_node(text) == Node("MaxPool", 1, expected)


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_a_node_cut_short_is_refused(cut: int) -> None:
    whole = BINARY_SLICE.encode()
    with pytest.raises(UnreadableFile):
        read_node(whole[: len(whole) - cut].decode())


def python_with_tf_keras() -> str | None:
    """One that has TensorFlow and tf_keras: this one, or that which the environment names."""
    python = os.environ.get("CORTEX_TF_PYTHON", sys.executable)
    found = "import importlib.util as u; print(all(map(u.find_spec, ('tf_keras', 'tensorflow'))))"
    done = subprocess.run([python, "-c", found], capture_output=True, text=True, check=False)
    return python if done.stdout.strip() == "True" else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case, written by tf.keras in a process of its own."""
    python = python_with_tf_keras()
    if python is None:
        pytest.skip("no tf_keras here; CORTEX_TF_PYTHON names a Python that has it")
    made = tmp_path_factory.mktemp("tensorflow")
    return written("tests.importer.tensorflow_cases", made, python)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_tf_keras(case: str, folder: Path) -> None:
    check_agrees(folder / f"{file_name(case)}.h5")
