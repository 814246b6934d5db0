"""ONNX: small, valid, without needless transpositions, and any layer out of the finished file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from cortex.runtime.errors import GraphError, UnreadableFile
from cortex.runtime.export import LAYERS, ServedLayer, export, layers, read, select
from cortex.runtime.ir import Graph, Layer
from cortex.runtime.network import Network
from cortex.runtime.ops import (
    Add,
    BatchNormalization,
    Concatenate,
    Convolution,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling,
    MaxPooling,
    Multiply,
    Relu,
    Sigmoid,
    Softmax,
    Transpose,
    ZeroPadding,
)
from cortex.runtime.tensor import Tensor
from cortex.runtime.weights import WeightsFile

from .networks import Array, Chain, drawn, mlp, with_parameters


def resnet(flat: bool = False) -> Graph:
    """Residuals, strides, a concatenation, a gate a channel; pooled or flattened at the end."""
    chain = Chain(x=Tensor(("N", 16, 16, 3) if flat else ("N", "H", "W", 3)))

    def block(x: str, filters: int, stride: int = 1) -> str:
        y = chain.add(Convolution(filters, (3, 3), (stride, stride), "same", use_bias=False), x)
        y = chain.add(BatchNormalization(), y)
        return chain.add(Relu(), y)

    x = block(chain.add(ZeroPadding(((1, 1), (2, 0))), "x"), 8)
    for filters, stride in ((8, 1), (16, 2)):
        y = block(block(x, filters, stride), filters)
        beside = x if stride == 1 else chain.add(Convolution(filters, (1, 1), (2, 2)), x)
        x = chain.add(Relu(), chain.add(Add(), y, beside))
    x = chain.add(Dropout(0.5), chain.add(MaxPooling((2, 2)), x))
    gate = chain.add(Sigmoid(), chain.add(GlobalAveragePooling(True), x))
    x = chain.add(Concatenate(), chain.add(Multiply(), x, gate), x, name="both")
    pooled = chain.add(Flatten() if flat else GlobalAveragePooling(), x, name="pooled")
    last = chain.add(Softmax(), chain.add(Dense(5), pooled), name="probabilities")
    chain.layers["both"] = Layer("both", "Concatenate", (0, 3, 1, 2))
    return chain.graph(last)


def small() -> Graph:
    """Where a Flatten needs its input channels last."""
    chain = Chain(x=Tensor(("N", 8, 8, 2)))
    x = chain.add(Relu(), chain.add(Convolution(4, (3, 3)), "x"))
    x = chain.add(MaxPooling((2, 2)), chain.add(BatchNormalization(), x))
    return chain.graph(chain.add(Dense(3), chain.add(Flatten(), x), name="y"))


GRAPHS = {"pooled": resnet(), "flat": resnet(flat=True), "small": small(), "mlp": mlp(3, 4, 2)}
every_graph = pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)


def exported(network: Network, folder: Path) -> onnx.ModelProto:
    """The model, written beside its weights."""
    network.save(folder / "weights.safetensors")
    model = export(network, WeightsFile.open(folder / "weights.safetensors"))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return model


def answers(model: onnx.ModelProto, folder: Path, x: Any) -> list[Array]:
    """What onnxruntime computes, the weights being in ``folder``."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder)
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = x if isinstance(x, dict) else {"x": x}
    return [np.asarray(array) for array in session.run(None, given)]


def transpositions(model: onnx.ModelProto) -> list[str]:
    """The inputs of the transpositions that are made when the model runs."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [
        node.input[0]
        for node in model.graph.node
        if node.op_type == "Transpose" and node.input[0] not in weights
    ]


def test_activations_are_turned_once_at_each_end(tmp_path: Path) -> None:
    for graph, count in ((small(), 2), (resnet(flat=True), 2), (resnet(), 1)):
        assert len(transpositions(exported(with_parameters(graph), tmp_path))) == count


@every_graph
def test_the_model_is_valid_and_small(graph: Graph, tmp_path: Path) -> None:
    exported(with_parameters(graph), tmp_path)
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    assert (tmp_path / "model.onnx").stat().st_size < 24_000
    model = onnx.load(tmp_path / "model.onnx")  # with its external data
    for tensor in model.graph.initializer:
        assert onnx.numpy_helper.to_array(tensor).shape == tuple(tensor.dims)
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 21}


def test_the_weights_are_those_of_the_weights_file(tmp_path: Path) -> None:
    network = with_parameters(small())
    exported(network, tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for name, array in network.parameters.items():
        assert np.array_equal(stored[name], array)


def test_the_shape_of_an_image_stays_open(tmp_path: Path) -> None:
    network = with_parameters(resnet())
    model = exported(network, tmp_path)
    for height, width, rows in [(16, 16, 1), (17, 20, 3)]:
        x = drawn((rows, height, width, 3))
        (found,) = answers(model, tmp_path, x)
        np.testing.assert_allclose(found, network.run({"x": x})["probabilities"], atol=1e-5)


@every_graph
def test_every_layer_comes_out_as_the_network_computes_it(graph: Graph, tmp_path: Path) -> None:
    network = with_parameters(graph)
    model = read(_written(network, tmp_path))
    index = layers(model)
    assert list(index) == list(graph.layers)
    shape = [2, *[n if isinstance(n, int) else 16 for n in graph.inputs["x"].shape[1:]]]
    x = drawn(shape)
    wanted = network.run({"x": x}, list(index), np.float64)
    together = answers(select(model, list(index)), tmp_path, x)
    for name, array in zip(index, together, strict=True):
        (alone,) = answers(select(model, [name]), tmp_path, x)
        assert alone.shape == wanted[name].shape == array.shape
        scale = max(1.0, float(np.abs(wanted[name]).max()))
        assert np.abs(alone - wanted[name]).max() < 2e-6 * scale, name
        assert np.abs(array - wanted[name]).max() < 2e-6 * scale, name


def _written(network: Network, folder: Path) -> Path:
    exported(network, folder)
    return folder / "model.onnx"


def test_layers_say_their_shape_in_the_layout_of_their_source(tmp_path: Path) -> None:
    index = layers(exported(with_parameters(resnet()), tmp_path))
    assert index["both"].shape[:2] == ("N", 32)
    assert index["both"].axes == ()  # channels first in the source and in ONNX
    first = index["convolution1"]
    assert first.shape == ("N", "H+2", "W+2", 8)
    assert first.axes == (0, 2, 3, 1)
    assert index["pooled"] == ServedLayer(index["pooled"].value, ("N", 32))


def test_select_leaves_out_what_does_not_lead_there(tmp_path: Path) -> None:
    model = exported(with_parameters(resnet()), tmp_path)
    whole = select(model, ["probabilities"])
    part = select(model, ["batch_normalization2"])
    kinds = Counter(node.op_type for node in part.graph.node)
    assert (kinds["Conv"], kinds["BatchNormalization"], kinds["Add"]) == (1, 1, 0)
    assert len(part.graph.initializer) < len(whole.graph.initializer)
    assert [value.name for value in part.graph.output] == ["layer:batch_normalization2"]
    assert [value.name for value in whole.graph.output] == ["probabilities"]
    (tmp_path / "part.onnx").write_bytes(part.SerializeToString())
    onnx.checker.check_model(tmp_path / "part.onnx", full_check=True)


def test_select_keeps_the_order_and_takes_outputs_and_layers(tmp_path: Path) -> None:
    network = with_parameters(mlp(3, 4, 2))
    model = exported(network, tmp_path)
    chosen = select(model, ["dense2", "probabilities", "relu1"])
    names = [value.name for value in chosen.graph.output]
    assert names == ["layer:dense2", "probabilities", "layer:relu1"]
    x = drawn((2, 3))
    wanted = network.run({"x": x}, ["dense2", "probabilities", "relu1"])
    for found, array in zip(answers(chosen, tmp_path, x), wanted.values(), strict=True):
        np.testing.assert_allclose(found, array, atol=1e-6)


def test_a_layer_that_is_an_input_can_be_selected(tmp_path: Path) -> None:
    graph = mlp(3, 2)
    named = Graph(graph.inputs, graph.nodes, graph.outputs, {"input": Layer("x", "InputLayer")})
    model = exported(with_parameters(named), tmp_path)
    x = drawn((2, 3))
    (found,) = answers(select(model, ["input"]), tmp_path, x)
    assert np.array_equal(found, x)
    assert not select(model, ["input"]).graph.initializer


def test_an_unknown_layer_is_a_key_error(tmp_path: Path) -> None:
    model = exported(with_parameters(mlp(3, 2)), tmp_path)
    with pytest.raises(KeyError, match="dense9"):
        select(model, ["dense9"])


def test_an_input_that_is_not_needed_is_left_out(tmp_path: Path) -> None:
    chain = Chain(ids=Tensor(("N", "T"), "int32"), x=Tensor(("N", "T", 2)))
    table = chain.add(Embedding(9, 2), "ids", name="table")
    model = exported(with_parameters(chain.graph(chain.add(Add(), table, "x"))), tmp_path)
    chosen = select(model, ["table"])
    assert [value.name for value in chosen.graph.input] == ["ids"]
    (found,) = answers(chosen, tmp_path, {"ids": np.array([[1, 2]], np.int32)})
    assert found.shape == (1, 2, 2)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_parameters_of_another_dtype_are_cast(dtype: Any, tmp_path: Path) -> None:
    network = with_parameters(small(), dtype=dtype)
    model = exported(network, tmp_path)
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    x = drawn((2, 8, 8, 2))
    (found,) = answers(model, tmp_path, x)
    np.testing.assert_allclose(found, network.run({"x": x})["y"], atol=1e-5)


@pytest.mark.parametrize("dtype", ["float", "int32", "int64", "bool"])
def test_inputs_and_outputs_have_their_types(dtype: str, tmp_path: Path) -> None:
    chain = Chain(x=Tensor(("N", "T", 2), dtype))
    network = Network(chain.graph(chain.add(Transpose((0, 2, 1)), "x", name="y")), {})
    model = exported(network, tmp_path)
    x = np.ones((1, 3, 2), np.float32 if dtype == "float" else dtype)
    (found,) = answers(model, tmp_path, x)
    assert found.dtype == x.dtype
    (served,) = answers(select(model, ["y"]), tmp_path, x)
    assert served.dtype == x.dtype


def test_a_value_may_be_several_layers_and_outputs(tmp_path: Path) -> None:
    """Dropout is its input when a network is served."""
    chain = Chain(x=Tensor(("N", 3)))
    dense = chain.add(Dense(2), "x", name="dense")
    dropped = chain.add(Dropout(0.5), dense, name="dropped")
    graph = chain.graph(dense, dropped)
    network = with_parameters(graph)
    model = exported(network, tmp_path)
    one, other = answers(model, tmp_path, drawn((2, 3)))
    assert np.array_equal(one, other)
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)


def test_an_output_may_not_have_the_name_of_an_input(tmp_path: Path) -> None:
    chain = Chain(x=Tensor(("N", 3)))
    chain.add(Relu(), "x", name="y")
    with pytest.raises(GraphError, match="output 'x': an input has this name"):
        exported(Network(chain.graph("x", "y"), {}), tmp_path)


def test_a_model_of_others_has_no_layers() -> None:
    assert layers(onnx.ModelProto()) == {}


DAMAGED = ["{", "[]", '{"a": 3}', '{"a": {}}', '{"a": {"value": "v", "shape": 3}}']


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_index_of_layers_is_an_unreadable_file(text: str) -> None:
    model = onnx.ModelProto()
    onnx.helper.set_model_props(model, {LAYERS: text})
    with pytest.raises(UnreadableFile, match="index of its layers is damaged"):
        layers(model)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x89HDF\r\n\x1a\n", bytes(100)])
def test_what_is_no_model_is_an_unreadable_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(UnreadableFile, match="not an ONNX model"):
        read(tmp_path / "model.onnx")


def fused(model: Path) -> Counter[str]:
    """The kinds of nodes that onnxruntime runs in the end."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(model.with_suffix(".optimized"))
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    optimized = onnx.load(options.optimized_model_filepath, load_external_data=False)
    return Counter(node.op_type for node in optimized.graph.node)


def test_onnxruntime_folds_the_normalization_into_the_convolution(tmp_path: Path) -> None:
    kinds = fused(_written(with_parameters(resnet()), tmp_path))
    assert kinds["BatchNormalization"] == 0
    assert sum(kinds[kind] for kind in ("Conv", "FusedConv")) == 6
    assert kinds["Transpose"] == 1


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_zeros_before_a_max_pooling_stay_elements(padding: Any, tmp_path: Path) -> None:
    chain = Chain(x=Tensor(("N", 4, 4, 2)))
    x = chain.add(ZeroPadding(((1, 1), (1, 1))), "x")
    graph = chain.graph(chain.add(MaxPooling((3, 3), (2, 2), padding), x, name="y"))
    network, given = Network(graph, {}), drawn((2, 4, 4, 2)) - 9  # so that zero is the largest
    found = answers(exported(network, tmp_path), tmp_path, given)[0]
    np.testing.assert_array_equal(found, network.run({"x": given})["y"])
