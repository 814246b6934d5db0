"""ONNX models made by the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import convert_model_to_external_data

Shape = Sequence[int | str | None]


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    """A node; inputs and outputs are separated by spaces, "-" is one left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(kind, names, outputs.split(), f"/{outputs.split()[0]}", **attributes)


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape | None],
    arrays: Mapping[str, Any] | None = None,
    *,
    opset: int = 17,
    dtypes: Mapping[str, int] | None = None,
) -> ModelProto:
    """A model; ``arrays`` are its initializers, ``dtypes`` those of inputs that are no floats."""
    kinds = dtypes or {}

    def values(shapes: Mapping[str, Any]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shape)
            for name, shape in shapes.items()
        ]

    stored = [numpy_helper.from_array(np.asarray(a), name) for name, a in (arrays or {}).items()]
    graph = helper.make_graph(nodes, "graph", values(inputs), values(outputs), stored)
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
        producer_name="tests",
    )


def saved(path: Path, proto: ModelProto) -> Path:
    """The file that holds the model."""
    path.write_bytes(proto.SerializeToString())
    return path


def ints(*numbers: int) -> np.ndarray:
    """Sizes, axes or pads."""
    return np.array(numbers, np.int64)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    """Small float32 numbers."""
    generator = np.random.default_rng((seed, *shape))
    return (generator.standard_normal(shape) * 0.3).astype(np.float32)


def convnet(opset: int = 17) -> ModelProto:
    """A residual network as PyTorch writes it, its shape arithmetic included."""
    unsqueeze = (
        [node("Unsqueeze", "n zeros", "n1")]
        if opset >= 13
        else [node("Unsqueeze", "n", "n1", axes=[0])]
    )
    nodes = [
        node("Conv", "x w1 b1", "c1", pads=[3, 3, 3, 3], strides=[2, 2], kernel_shape=[7, 7]),
        node("BatchNormalization", "c1 gamma beta mean variance", "n1d"),
        node("Relu", "n1d", "r1"),
        node("MaxPool", "r1", "p1", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Conv", "p1 w2 -", "c2", pads=[1, 1, 1, 1], group=2),
        node("Add", "c2 p1", "sum"),
        node("Relu", "sum", "r2"),
        node("GlobalAveragePool", "r2", "pooled"),
        node("Shape", "pooled", "shape"),
        *([node("Mod", "minus four", "zero")] if opset >= 10 else []),
        node("Gather", "shape zero", "n", axis=0),
        *unsqueeze,
        node("Concat", "n1 rest", "target", axis=0),
        node("Reshape", "pooled target", "flat"),
        node("Gemm", "flat fw fb", "logits", transB=1),
    ]
    arrays = {
        "w1": drawn(8, 3, 7, 7),
        "b1": drawn(8),
        "gamma": drawn(8, seed=1),
        "beta": drawn(8, seed=2),
        "mean": drawn(8, seed=3),
        "variance": np.abs(drawn(8, seed=4)) + 0.5,
        "w2": drawn(8, 4, 3, 3),
        "fw": drawn(10, 8),
        "fb": drawn(10),
        **({"minus": np.int64(-4), "four": np.int64(4)} if opset >= 10 else {"zero": np.int64(0)}),
        "rest": ints(-1),
        **({"zeros": ints(0)} if opset >= 13 else {}),
    }
    shapes: dict[str, Shape] = {"x": ("batch", 3, 32, 32)}
    return model(nodes, shapes, {"logits": ("batch", 10)}, arrays, opset=opset)


def recurrent(kind: str) -> ModelProto:
    """Two layers, the first of both directions, with the zero states that PyTorch makes."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    states = ["h0", "h0"] if kind == "LSTM" else ["h0"]
    attributes = {"linear_before_reset": 1} if kind == "GRU" else {}
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        node("Shape", "t", "s"),
        node("Gather", "s one", "n", axis=0),
        node("Concat", "two n five", "hs", axis=0),
        node("ConstantOfShape", "hs", "h0"),
        node(
            kind,
            f"t w r b - {' '.join(states)}",
            "y h",
            hidden_size=5,
            direction="bidirectional",
            **attributes,
        ),
        node("Transpose", "y", "yt", perm=[0, 2, 1, 3]),
        node("Reshape", "yt flat", "merged"),
        node(kind, "merged w2 r2 b2", "y2 h2", hidden_size=3, **attributes),
        node("Squeeze", "y2 ones", "sequence"),
        node("Transpose", "sequence", "out", perm=[1, 0, 2]),
    ]
    arrays = {
        "w": drawn(2, gates * 5, 4),
        "r": drawn(2, gates * 5, 5),
        "b": drawn(2, gates * 10),
        "w2": drawn(1, gates * 3, 10),
        "r2": drawn(1, gates * 3, 3),
        "b2": drawn(1, gates * 6),
        "one": ints(1),
        "ones": ints(1),
        "two": ints(2),
        "five": ints(5),
        "flat": ints(0, 0, -1),
    }
    return model(nodes, {"x": ("batch", "time", 4)}, {"out": None, "h2": None}, arrays)


def transformer(length: int | str = 6) -> ModelProto:
    """One block of an encoder: embedding, attention of two heads with a mask, two layers.

    Of sequences of open length it cuts the positions to it, and looks up others by number.
    """
    nodes = [
        node("Shape", "ids", "shape"),
        node("Gather", "shape first", "n"),
        node("Gather", "shape second", "t"),
        node("Gather", "table ids", "words"),
        node("Slice", "positions first t first", "here"),
        node("Squeeze", "t", "count"),
        node("Range", "nought count step", "numbers"),
        node("Gather", "turns numbers", "turned"),
        node("Sum", "words here turned", "embedded"),
        node("LayerNormalization", "embedded g1 b1", "normal"),
        *[node("MatMul", f"normal w{name}", f"{name}0") for name in "qkv"],
        node("Add", "bq q0", "q1"),
        node("Concat", "n t split", "heads", axis=0),
        node("Concat", "n t join", "whole", axis=0),
        *[node("Reshape", f"{name} heads", f"{name}h") for name in ("q1", "k0", "v0")],
        node("Transpose", "q1h", "qt", perm=[0, 2, 1, 3]),
        node("Transpose", "k0h", "kt", perm=[0, 2, 3, 1]),
        node("Transpose", "v0h", "vt", perm=[0, 2, 1, 3]),
        node("MatMul", "qt kt", "scores"),
        node("Div", "scores root", "scaled"),
        node("Unsqueeze", "mask axes", "mask4"),
        node("Cast", "mask4", "maskf", to=TensorProto.FLOAT),
        node("Sub", "unit maskf", "inverse"),
        node("Mul", "inverse far", "bias"),
        node("Add", "scaled bias", "masked"),
        node("Softmax", "masked", "weights", axis=-1),
        node("MatMul", "weights vt", "context"),
        node("Transpose", "context", "ct", perm=[0, 2, 1, 3]),
        node("Reshape", "ct whole", "joined"),
        node("MatMul", "joined wo", "attended"),
        node("Add", "attended embedded", "residual"),
        node("MatMul", "residual wi", "inner"),
        node("Div", "inner root2", "e0"),
        node("Erf", "e0", "e1"),
        node("Add", "e1 unit", "e2"),
        node("Mul", "inner e2", "e3"),
        node("Mul", "e3 half", "gelu"),
        node("MatMul", "gelu wj", "outer"),
        node("ReduceMean", "outer", "mean", axes=[1], keepdims=0),
    ]
    arrays: dict[str, Any] = {
        "table": drawn(20, 8),
        "positions": drawn(40, 8),
        "turns": drawn(30, 8),
        "nought": np.int64(0),
        "step": np.int64(1),
        "second": ints(1),
        "g1": drawn(8, seed=1) + 1,
        "b1": drawn(8),
        **{f"w{name}": drawn(8, 8, seed=i) for i, name in enumerate("qkvo")},
        "bq": drawn(8, seed=5),
        "wi": drawn(8, 16),
        "wj": drawn(16, 8),
        "first": ints(0),
        "split": ints(2, 4),
        "join": ints(8),
        "axes": ints(1, 2),
        "root": np.float32(2.0),
        "root2": np.float32(2**0.5),
        "unit": np.float32(1),
        "half": np.float32(0.5),
        "far": np.float32(-10000.0),
    }
    integers = {"ids": TensorProto.INT64, "mask": TensorProto.INT64}
    shapes: dict[str, Shape] = {"ids": ("batch", length), "mask": ("batch", length)}
    return model(nodes, shapes, {"mean": ("batch", 8)}, arrays, dtypes=integers)


def as_external(proto: ModelProto, location: str) -> ModelProto:
    """The model with its arrays said to be in a file; ``onnx.save`` writes that."""
    convert_model_to_external_data(
        proto, location=location, size_threshold=64, convert_attribute=False
    )
    return proto
