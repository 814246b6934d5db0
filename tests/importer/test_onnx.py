"""ONNX models: read whole and proved by onnxruntime, or served as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import ModelProto, TensorProto, helper

from cortex.importer import load
from cortex.importer.cli import main
from cortex.importer.onnx.build import described
from cortex.importer.onnx.file import read_file
from cortex.importer.sample import sample_inputs
from cortex.runtime.errors import Unsupported
from cortex.runtime.losses import Term
from cortex.runtime.losses.activity import L2
from cortex.runtime.network import Network, sizes_of
from cortex.runtime.parameters import Parameters
from cortex.runtime.plan import Plan
from cortex.runtime.repository import ModelVersion

from .onnx_files import (
    as_external,
    convnet,
    drawn,
    ints,
    model,
    node,
    recurrent,
    saved,
    transformer,
)

MODELS = {
    "convnet": convnet,
    "convnet of version 7": lambda: convnet(7),
    "convnet of version 21": lambda: convnet(21),
    "lstm": lambda: recurrent("LSTM"),
    "gru": lambda: recurrent("GRU"),
    "rnn": lambda: recurrent("RNN"),
    "transformer": transformer,
    "transformer of any length": lambda: transformer("time"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_verified_layer_by_layer(name: str, tmp_path: Path) -> None:
    report = load(saved(tmp_path / "model.onnx", MODELS[name]())).report
    assert (report.verified, report.evidence, report.warnings) == (True, "onnxruntime", ())
    assert all(layer.outside for layer in (*report.layers, *report.outputs))
    assert report.largest < 1e-5


def test_the_whole_way(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", convnet())
    done = CliRunner().invoke(main, [str(path), "--repository", str(tmp_path / "models"),
                                     "--require-evidence", "onnxruntime"])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "verified by onnxruntime on the file itself (onnxruntime " in done.output
    folder = tmp_path / "models/net/1"
    x = drawn(3, 3, 32, 32)
    network = Network.load(folder / "weights.safetensors")
    ours = network.run({"x": x}, outputs=["logits", "/p1"])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"x": x})
    np.testing.assert_allclose(ours["logits"], np.asarray(theirs), rtol=1e-4, atol=1e-6)
    assert ours["/p1"].shape == (3, 8, 8, 8)
    check = ModelVersion("net", 1, folder).check()
    assert check is not None
    assert check.evidence == "onnxruntime"


def test_nothing_is_transposed_between_layers(tmp_path: Path) -> None:
    graph = load(saved(tmp_path / "net.onnx", convnet())).network.graph
    kinds = [one.op.kind for one in graph.nodes]
    assert kinds.count("transpose") == 1
    assert graph.layers["/flat"].axes == ()


def test_what_can_be_trained(tmp_path: Path) -> None:
    graph = load(saved(tmp_path / "net.onnx", transformer())).network.graph
    trained = {name for name, param in graph.parameters.items() if param.trainable}
    assert {"table", "positions", "bq", "wq", "wj", "g1"} <= trained
    assert not {"root", "unit", "far"} & trained


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_was_read_learns(name: str, tmp_path: Path) -> None:
    """A small step against the gradient makes the loss smaller; every weight has one."""
    network = load(saved(tmp_path / "net.onnx", MODELS[name]())).network
    graph, inputs = network.graph, sample_inputs(network.graph)
    parameters = Parameters(graph, network.parameters, np.float64)
    terms = [Term(L2(), value) for value in graph.outputs.values()]
    plan = Plan(graph, parameters, sizes_of(graph.inputs, inputs), training=True, terms=terms)

    def loss() -> float:
        plan.put(inputs)
        plan.run()
        return float(plan.losses.sum())

    before, gradient = loss(), plan.grad.copy()
    for trained, slope in parameters.views(gradient).items():
        assert not graph.parameters[trained].trainable or slope.any(), trained
    parameters.flat[: gradient.size] -= 1e-4 * gradient / np.abs(gradient).max()
    assert loss() < before


def test_open_sizes_of_an_input_may_be_given(tmp_path: Path) -> None:
    nodes = [node("Flatten", "x", "flat"), node("Gemm", "flat w", "y")]
    shapes = {"x": ("?", 3, "?", "?")}
    path = saved(tmp_path / "net.onnx", model(nodes, shapes, {"y": None}, {"w": drawn(12, 2)}))
    network = described(read_file(path), {"": (3, 2, 2)}).network
    assert network.graph.inputs["x"].shape == ("N", 3, 2, 2)
    run = CliRunner().invoke(main, [str(path), "--no-install", "--input-shape", "3,2,2"])
    assert run.exit_code == 0, run.output
    run = CliRunner().invoke(main, [str(path), "--no-install", "--input-shape", "1,2,2"])
    assert run.exit_code == 2
    assert "--input-shape: 'x' is (3, " in run.output


NAMED = {
    ("batch", 3): ("N", 3),
    ("T", "batch_size", 3): ("T", "N", 3),
    (None, 3, None): ("N", 3, "x_2"),
    ("seq len", 3): ("N", 3),
    ("batch", "seq len"): ("N", "seq_len"),
    ("batch", "N"): ("N", "size_N"),
    (4, "L"): (4, "L"),
}


@pytest.mark.parametrize("shape", NAMED)
def test_what_open_sizes_are_called(shape: tuple[Any, ...], tmp_path: Path) -> None:
    proto = model([node("Relu", "x", "y")], {"x": shape}, {"y": None})
    graph = described(read_file(saved(tmp_path / "net.onnx", proto))).network.graph
    assert graph.inputs["x"].shape == NAMED[shape]


def unread() -> ModelProto:
    """A model with operators that the table has not."""
    nodes = [
        node("MatMul", "x w", "y"),
        node("TopK", "y k", "values places", axis=1),
        node("NonZero", "values", "where"),
    ]
    arrays = {"w": drawn(4, 6), "k": ints(2)}
    dtypes = {"places": TensorProto.INT64}
    outputs = {"values": ("N", 2), "places": ("N", 2)}
    return model(nodes, {"x": ("N", 4)}, outputs, arrays, dtypes=dtypes)


def test_what_is_not_read_is_served_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    saved(path, unread())
    models = tmp_path / "models"
    done = CliRunner().invoke(main, [str(path), "--repository", str(models)])
    assert done.exit_code == 0, done.output
    assert "as it is: onnxruntime only: not read: TopK, NonZero" in done.output
    folder = models / "net/1"
    assert (folder / "model.onnx").read_bytes() == path.read_bytes()
    report = json.loads((folder / "report.json").read_text())
    assert (report["verified"], report["evidence"], report["layers"]) == (False, "unread", [])
    check = ModelVersion("net", 1, folder).check()
    assert check is not None
    assert list(check.outputs) == ["values", "places"]


def test_evidence_may_be_asked_of_what_is_not_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", unread())
    arguments = [str(path), "--repository", str(tmp_path / "m"), "--require-evidence"]
    for evidence in ("recorded", "keras", "onnxruntime"):
        done = CliRunner().invoke(main, [*arguments, evidence])
        assert done.exit_code == 3
        assert "the evidence is 'unread'" in done.output
    assert not list((tmp_path / "m").glob("net/*"))


REFUSED: dict[tuple[str, ...], str] = {
    ("--precision", "float16"): "and not in float16",
    ("--reference", "keras"): "has no layers to hold against keras",
    ("--preprocessing", "tf"): "--preprocessing tf: the model is served as it is",
    ("--architecture", "vgg16"): "an ONNX file has no use for --architecture",
}


@pytest.mark.parametrize("options", REFUSED)
def test_options_that_say_nothing_of_it(options: tuple[str, ...], tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", unread())
    done = CliRunner().invoke(main, [str(path), "--no-install", *options])
    assert done.exit_code in (2, 3)
    assert REFUSED[options] in done.output


def test_a_library_is_told_what_is_not_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", unread())
    with pytest.raises(Unsupported, match=r"not read: TopK, NonZero; cortex-import installs it"):
        load(path)


@pytest.mark.parametrize("make", [convnet, unread])
def test_arrays_in_a_file_beside_it(make: Any, tmp_path: Path) -> None:
    path, models = tmp_path / "net.onnx", tmp_path / "models"
    onnx.save(as_external(make(), "net.bin"), path)
    done = CliRunner().invoke(main, [str(path), "--repository", str(models)])
    assert done.exit_code == 0, done.output
    assert (models / "net/1/net.bin").exists() == (make is unread)
    assert ("net.bin" in json.loads((models / "net/1/report.json").read_text())["files"]) == (
        make is unread
    )
    onnxruntime.InferenceSession(models / "net/1/model.onnx", providers=["CPUExecutionProvider"])


def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    proto = model([node("Relu", "x", "y"), node("Abs", "y", "z")], {"x": ("N", 4)}, {"z": None})
    proto.graph.node[0].name, proto.producer_name = "a[/b][red]", "[/x]\n\x1b[31m"
    done = CliRunner().invoke(main, [str(saved(tmp_path / "net.onnx", proto)), "--no-install"])
    assert done.exit_code == 0, done.output
    assert "a[/b][red]" in done.output
    assert "note: opset 17, written by [/x][31m\n" in done.output


UNREAD = {
    "custom domain": model([helper.make_node("Own", ["x"], ["y"], domain="my.own")],
                           {"x": ("N", 4)}, {"y": ("N", 4)}),
    "float16": model([node("Relu", "x", "y")], {"x": ("N", 4)}, {"y": ("N", 4)},
                     dtypes={"x": TensorProto.FLOAT16, "y": TensorProto.FLOAT16}),
    "by no whole factor": model([node("Resize", "x - s", "y", mode="nearest")],
                                {"x": ("N", 2, 6)}, {"y": None},
                                {"s": np.array([1, 1, 1.5], np.float32)}),
    "computed weights": model([node("Conv", "x w", "y")], {"x": ("N", 2, 6), "w": (3, 2, 2)},
                              {"y": None}),
}  # fmt: skip
UNREAD["an input that is an output"] = model(
    [node("Relu", "x", "y")], {"x": ("N", 4)}, {"y": ("N", 4), "x": ("N", 4)}
)
UNREAD["an output that nothing changes"] = model(
    [node("Relu", "x", "y"), node("Shape", "x", "s")], {"x": ("N", 4)}, {"y": None, "s": None},
    dtypes={"s": TensorProto.INT64},
)  # fmt: skip
REASONS = {
    "an input that is an output": "output 'x': it is an input",
    "an output that nothing changes": "output 's': it is a constant",
    "custom domain": "^my.own.Own$",
    "float16": "its elements are float16",
    "by no whole factor": r"Resize '/y': \(1.0, 1.0, 1.5\) times as large is not supported",
    "computed weights": "its input 1 is computed; only a constant is supported",
}


@pytest.mark.parametrize("case", UNREAD)
def test_why_a_model_is_not_read(case: str, tmp_path: Path) -> None:
    proto = UNREAD[case]
    if case == "custom domain":
        proto.opset_import.append(helper.make_opsetid("my.own", 1))
    path = saved(tmp_path / "net.onnx", proto)
    with pytest.raises(Unsupported, match=REASONS[case]):
        described(read_file(path))
