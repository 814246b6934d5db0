"""Graphs in half precision: every operation runs, and who asks sees single precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from cortex.runtime.check import difference
from cortex.runtime.export import export, select
from cortex.runtime.half import in_half
from cortex.runtime.ir import Layer
from cortex.runtime.network import Network
from cortex.runtime.op import Operation
from cortex.runtime.ops import Convolution, Dense, Embedding, Flatten, Resample
from cortex.runtime.tensor import Tensor
from cortex.runtime.weights import WeightsFile

from .networks import Chain, with_parameters
from .test_operations import cases, network_of, values_of

EXAMPLES = list(cases())
FIRST = {example.id.rpartition("-")[0]: example for example in reversed(EXAMPLES)}
REST = [example for example in EXAMPLES if example not in FIRST.values()]


def written(network: Network, folder: Path) -> tuple[Network, onnx.ModelProto]:
    """The network with its arrays in half precision, and its graph, in a folder."""
    arrays = {name: array.astype(np.float16) for name, array in network.parameters.items()}
    half = Network(network.graph, arrays)
    half.save(folder / "weights.safetensors")
    model = in_half(export(half, WeightsFile.open(folder / "weights.safetensors")))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return half, model


def session(model: onnx.ModelProto, folder: Path) -> onnxruntime.InferenceSession:
    """A session on the CPU, the weights being in ``folder``."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder)
    )
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def check(op: Operation, inputs: Sequence[Tensor | None], folder: Path) -> None:
    """Runs the operation with onnxruntime in half precision, with NumPy in float64."""
    network, model = written(network_of(op, inputs), folder)
    given = {
        name: array.astype(np.float32) if array.dtype == np.float64 else array
        for name, array in values_of(network).items()
    }
    wanted = network.run(given, dtype=np.float64)
    found = session(model, folder).run(list(network.graph.outputs), given)
    for name, array in zip(network.graph.outputs, found, strict=True):
        value: Any = array
        assert value.dtype != np.float16
        assert difference(value, wanted[name]).relative < 1e-2, name


@pytest.mark.parametrize(("op", "inputs"), FIRST.values())
def test_an_operation_computes_the_same(
    op: Operation, inputs: Sequence[Tensor | None], tmp_path: Path
) -> None:
    check(op, inputs, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("op", "inputs"), REST)
def test_so_does_every_example(
    op: Operation, inputs: Sequence[Tensor | None], tmp_path: Path
) -> None:
    check(op, inputs, tmp_path)


def test_inputs_outputs_and_layers_are_single(tmp_path: Path) -> None:
    chain = Chain(x=Tensor(("N", 6, 6, 3)))
    image = chain.add(Convolution(4, (3, 3)), "x", name="image")
    chain.layers["image"] = Layer(image, "Conv2D", (0, 3, 1, 2))
    graph = chain.graph(chain.add(Dense(2), chain.add(Flatten(), image), name="y"))
    network, model = written(with_parameters(graph), tmp_path)
    assert {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.FLOAT16}
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)
    wanted = network.run({"x": x}, ["image", "y"])
    found: Any = session(select(model, ["image", "y"]), tmp_path).run(None, {"x": x})
    for value, name in zip(found, ("image", "y"), strict=True):
        assert value.dtype == np.float32
        assert difference(value, wanted[name]).relative < 1e-2


def test_ids_that_come_as_floats_keep_all_their_digits(tmp_path: Path) -> None:
    chain = Chain(x=Tensor(("N", 3)))
    graph = chain.graph(chain.add(Embedding(4000, 2), "x", name="y"))
    network, model = written(with_parameters(graph), tmp_path)
    ids = np.array([[3001, 3003, 3999]], np.float32)  # float16 has no odd numbers here
    (found,) = session(model, tmp_path).run(None, {"x": ids})
    np.testing.assert_array_equal(found, network.run({"x": ids})["y"])


def test_the_factors_of_a_resize_are_exact(tmp_path: Path) -> None:
    chain = Chain(x=Tensor(("N", 3, 3, 1)))
    graph = chain.graph(chain.add(Resample(factors=(3, 3)), "x", name="y"))
    _, model = written(with_parameters(graph), tmp_path)
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert TensorProto.FLOAT in kinds


def test_a_tiny_constant_is_not_zero_and_a_huge_one_finite() -> None:
    values = np.array([1e-12, -1e9, 0.0, -np.inf], np.float32)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "c"], ["y"])],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [numpy_helper.from_array(values, "c")],
    )
    (constant,) = in_half(helper.make_model(graph)).graph.initializer
    found = numpy_helper.to_array(constant)
    assert found.dtype == np.float16
    assert found.tolist() == [2.0**-24, -65504.0, 0.0, -np.inf]
