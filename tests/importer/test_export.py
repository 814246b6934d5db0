"""The command cortex-export: a model as a file of another format, proved before it is there."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from click.testing import CliRunner, Result

from cortex.importer import load
from cortex.importer.cli import main as imports
from cortex.importer.export import exported, onnx_file
from cortex.importer.export.cli import main
from cortex.importer.export.exported import ENDINGS, ExportReport
from cortex.importer.sample import sample_inputs
from cortex.runtime.digests import digests
from cortex.runtime.ir import Graph, Node
from cortex.runtime.network import Network
from cortex.runtime.ops import GaussianBlur
from cortex.runtime.spec.cli import main as trains
from cortex.runtime.tensor import Tensor

from .keras_files import small_model
from .real_keras import keep, real_keras

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command configures logging for its whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of two versions in a repository; the commands run in the folder above."""
    monkeypatch.chdir(tmp_path)
    model = small_model(tmp_path / "net.h5")
    for _ in range(2):
        done = CliRunner().invoke(imports, [str(model), "--repository", "models"])
        assert done.exit_code == 0, done.stderr
    return Path("models") / "net"


def export(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def exports(*arguments: Any) -> ExportReport:
    result = export(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return ExportReport.model_validate_json(result.stdout)


def expected(x: Any = X) -> Any:
    return load("net.h5").network.run({"x": x})["classes"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_writes_what_the_file_ends_in(installed: Path, ending: str) -> None:
    Path("out").mkdir()
    report = exports(installed, f"out/net{ending}")
    assert (report.format, report.model) == (ENDINGS[ending], "net")
    assert report.source == "models/net/2/weights.safetensors"
    assert [(at.name, at.ok, at.output_shape) for at in report.outputs] == [
        ("classes", True, (2, 2))
    ]
    assert report.largest < 1e-6
    assert report.files == digests(Path("out"), [f"net{ending}"])
    assert [path.name for path in Path("out").iterdir()] == [f"net{ending}"]


def test_says_what_it_did(installed: Path) -> None:
    result = export(installed, "--to", "keras")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "net.keras: keras, read again by the reader of Keras files here"
    )
    assert np.allclose(load("net.keras").network.run({"x": X})["classes"], expected(), atol=1e-6)


def test_onnx_is_one_file_that_needs_nothing_beside_it(installed: Path) -> None:
    exports(installed / "1", "net.onnx")
    onnx.checker.check_model("net.onnx", full_check=True)
    moved = Path("net.onnx").rename("moved.onnx").read_bytes()
    session = onnxruntime.InferenceSession(moved, providers=["CPUExecutionProvider"])
    found: Any = session.run(["classes"], {"x": X})[0]
    assert np.allclose(found, expected(), atol=1e-6)


def test_onnx_beyond_one_file_has_its_weights_beside_it(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "LARGEST", 16)
    report = exports(installed, "net.onnx")
    assert "net.onnx.data" in report.notes[0]
    assert set(report.files) == {"net.onnx", "net.onnx.data"}
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    found: Any = session.run(["classes"], {"x": X})[0]
    assert np.allclose(found, expected(), atol=1e-6)
    before = Path("net.onnx").read_bytes()
    again = export(installed, "net.onnx")
    assert (again.exit_code, "net.onnx.data" in again.stderr) == (3, True)
    assert Path("net.onnx").read_bytes() == before


def test_safetensors_is_the_network(installed: Path) -> None:
    exports(installed, "net.safetensors")
    assert np.array_equal(Network.load("net.safetensors").run({"x": X})["classes"], expected())
    assert exports("net.safetensors", "--to", "keras").model == "net"


def test_half_precision_is_widened(installed: Path) -> None:
    arguments = ["net.h5", "--name", "half", "--precision", "float16"]
    assert CliRunner().invoke(imports, arguments).exit_code == 0
    for ending in ENDINGS:
        assert exports("models/half", f"half{ending}").largest < 1e-6


WRONG = {
    "no such model": (["nothing", "--to", "onnx"], 2, "nothing: no such model"),
    "no format": (["models/net"], 2, "--to: say what to write, onnx, keras, safetensors"),
    "an unknown ending": (["models/net", "net.tflite"], 2, "net.tflite: .* .onnx or .keras or"),
    "another ending": (["models/net", "net.h5", "--to", "onnx"], 2, "for onnx ends in .onnx"),
    "no repository": (["models", "--to", "onnx"], 2, "models: no model"),
    "no network": (["net.h5", "--to", "onnx"], 3, "net.h5: not a safetensors file"),
    "no form": (["blurs.safetensors", "--to", "keras"], 3, "gaussian_blur .layer 'soft'"),
    "no folder": (["models/net", "nowhere/n.onnx"], 2, "nowhere/n.onnx: there is no folder now"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_a_line(
    installed: Path, arguments: list[str], code: int, words: str
) -> None:
    blur = Node("blur", GaussianBlur(), ("x",), {}, "soft")
    graph = Graph({"x": Tensor(("N", 9, 9, 2))}, (blur,), {"y": "blur"})
    Network(graph, {}).save(Path("blurs.safetensors"))
    before = sorted(Path().rglob("*"))
    result = export(*arguments)
    assert result.exit_code == code
    assert result.stderr.count("\n") == 1
    assert re.search(words, result.stderr)
    assert sorted(Path().rglob("*")) == before


def test_a_model_that_is_served_as_it_came_has_no_network(tmp_path: Path) -> None:
    version = tmp_path / "models" / "m" / "3"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(b"")
    for name in (version, version.parent):
        result = export(name, "--to", "keras")
        assert (result.exit_code, "no network was made of it" in result.stderr) == (3, True)


def test_what_computes_something_else_is_not_left_there(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("net.h5.keras").write_text("what was there")
    run = exported.RUNS["keras"]

    def wrong(stage: Path, network: Network, inputs: Any) -> list[Any]:
        return [value + 0.1 for value in run(stage, network, inputs)]

    monkeypatch.setitem(exported.RUNS, "keras", wrong)
    result = export(installed, "net.h5.keras")
    assert (result.exit_code, "output 'classes'" in result.stderr) == (1, True)
    assert Path("net.h5.keras").read_text() == "what was there"
    assert {path.name for path in Path().iterdir()} == {"models", "net.h5", "net.h5.keras"}


MNIST = Path(__file__).parents[2] / "examples" / "mnist.yaml"


@pytest.mark.slow
def test_what_was_trained_by_a_spec_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network of the example, with a batch normalization per element and center loss."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CORTEX_DATA", raising=False)
    spec = yaml.safe_load(MNIST.read_text())
    for layer in spec["network"]:
        if isinstance(layer, dict) and layer["type"] == "convolutional":
            layer["filters"] = 4
        if isinstance(layer, dict) and layer.get("units") == 1000:
            layer["units"] = 20
    Path("mnist.yaml").write_text(yaml.safe_dump(spec))
    options = ["mnist.yaml", "--epochs", "1", "--checkpoint", "last.safetensors"]
    done = CliRunner().invoke(trains, options)
    assert done.exit_code == 0, done.stderr
    for name in ("mnist.safetensors", "last.safetensors"):
        for ending in (".h5", ".keras", ".onnx"):
            report = exports(name, f"out{ending}")
            if ending != ".onnx":
                assert "centers of 10 classes" in report.notes[0]
    network = Network.load("mnist.safetensors")
    exports("mnist.safetensors", "net.h5")
    exports("mnist.safetensors", "net.keras")
    keep(tmp_path, "net", network, sample_inputs(network.graph))
    found = real_keras(tmp_path, ["net"])
    assert found.keys() == {"net.h5", "net.keras"}
    assert max(found.values()) <= 1e-6


def test_a_checkpoint_is_exported_without_what_only_training_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    np.savez("d.npz", input=x, target=x[:, :3].argmax(1))
    spec = {
        "network": [{"type": "input", "size": 4}, {"type": "linear", "units": 3}, "softmax"],
        "data": {"type": "npz", "path": "d.npz"},
        "optimizer": {"type": "adam", "rate": 0.01},
        "epochs": 1,
    }
    Path("s.yaml").write_text(yaml.safe_dump(spec))
    done = CliRunner().invoke(trains, ["s.yaml", "--checkpoint", "c.safetensors"])
    assert done.exit_code == 0, done.stderr
    exports("c.safetensors", "c.h5")
    exports("c.safetensors", "plain.safetensors")
    wanted = Network.load("c.safetensors").run({"input-1": x})
    assert set(Network.load("plain.safetensors").parameters) == {"linear-1/kernel", "linear-1/bias"}
    found = load("c.h5").network.run({"input-1": x})
    assert np.allclose(found["softmax-1"], wanted["softmax-1"], atol=1e-6)
