"""Small model repositories for the tests: a dense network, and models that show one trait each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from cortex.runtime.check import Check, Recorded
from cortex.runtime.export import LAYERS, ServedLayer
from cortex.runtime.repository import ModelConfig, install, write_check, write_config
from cortex.runtime.weights import WeightsFile, write

Array = NDArray[Any]
Value = tuple[str, int, Sequence[int | str | None]]  # name, element type, shape

FLOAT = TensorProto.FLOAT
WIDTH, HIDDEN, CLASSES = 4, 8, 3


def weights() -> dict[str, Array]:
    """The dense network's parameters, always the same."""
    rng = np.random.default_rng(7)
    shapes = {"k1": (WIDTH, HIDDEN), "b1": (HIDDEN,), "k2": (HIDDEN, CLASSES), "b2": (CLASSES,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def expected(x: Array) -> dict[str, Array]:
    """What the dense network computes of ``x``: two layers and its output, by name."""
    w = weights()
    hidden = np.maximum(x @ w["k1"] + w["b1"], 0)
    scores = hidden @ w["k2"] + w["b2"]
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return {
        "hidden": hidden,
        "scores": scores,
        "probabilities": exponentials / exponentials.sum(-1, keepdims=True),
    }


def sample(rows: int = 2, seed: int = 0) -> Array:
    """An input of the dense network."""
    return np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)


def dense(root: Path, name: str = "dense", *, wrong: str = "", **config: Any) -> None:
    """Installs the dense network and its check; the records are off from layer ``wrong`` on."""
    x = sample()
    values = expected(x)
    if wrong:
        later = list(values)[list(values).index(wrong) :]
        values |= {each: values[each] + 0.5 for each in later}
    records = {each: Recorded.of(value) for each, value in values.items()}
    check = Check(
        {"x": x}, {"probabilities": records["probabilities"]}, records, evidence="recorded"
    )
    with install(root, name) as version:
        write(version.path / "weights.safetensors", weights(), {})
        onnx.save(_dense_graph(version.path / "weights.safetensors"), version.model)
        write_check(version.path / "check.safetensors", check)
    if config:
        write_config(root, name, ModelConfig(**config))


def single(
    root: Path,
    name: str,
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    nodes: Sequence[onnx.NodeProto],
    initializers: Mapping[str, Array] | None = None,
    **config: Any,
) -> None:
    """Installs any graph, without layers or a check."""
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [onnx.numpy_helper.from_array(a, n) for n, a in (initializers or {}).items()],
    )
    with install(root, name) as version:
        onnx.save(_model(graph), version.model)
    if config:
        write_config(root, name, ModelConfig(**config))


def identity(root: Path, name: str, kind: int, shape: Sequence[int | str] = ("N", 2)) -> None:
    """Installs a model that answers with its input."""
    node = helper.make_node("Identity", ["x"], ["y"])
    single(root, name, [("x", kind, shape)], [("y", kind, shape)], [node])


def _dense_graph(file: Path) -> onnx.ModelProto:
    stored = WeightsFile.open(file).stored
    tensors = [_external(name, at.shape, at.offset, at.size) for name, at in stored.items()]
    nodes = [
        helper.make_node("MatMul", ["x", "k1"], ["m1"]),
        helper.make_node("Add", ["m1", "b1"], ["a1"]),
        helper.make_node("Relu", ["a1"], ["h"]),
        helper.make_node("MatMul", ["h", "k2"], ["m2"]),
        helper.make_node("Add", ["m2", "b2"], ["s"]),
        helper.make_node("Softmax", ["s"], ["probabilities"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", FLOAT, ["N", WIDTH])],
        [helper.make_tensor_value_info("probabilities", FLOAT, ["N", CLASSES])],
        tensors,
    )
    layers = {
        "hidden": ServedLayer("h", ("N", HIDDEN)),
        "turned": ServedLayer("h", (HIDDEN, "N"), axes=(1, 0)),
        "scores": ServedLayer("s", ("N", CLASSES)),
        "probabilities": ServedLayer("probabilities", ("N", CLASSES)),
    }
    model = _model(graph)
    helper.set_model_props(
        model, {LAYERS: json.dumps({name: asdict(at) for name, at in layers.items()})}
    )
    return model


def _external(name: str, shape: Sequence[int], offset: int, size: int) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, data_type=FLOAT, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (
        ("location", "weights.safetensors"),
        ("offset", str(offset)),
        ("length", str(size)),
    ):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
