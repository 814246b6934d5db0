"""From training to an answer over gRPC: what was trained is published, proved, served and asked."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import yaml
from click.testing import CliRunner
from tritonclient.utils import InferenceServerException

from cortex.importer.cli import main as imports
from cortex.runtime.network import Network
from cortex.runtime.spec.cli import main as trains
from cortex.serving.server import Server

from .serving.running import running

EXAMPLES = Path(__file__).parents[1] / "examples"
SOON = 20.0  # seconds


def ran(command: Any, *arguments: Any) -> str:
    """A command that goes well; what it prints."""
    result = CliRunner().invoke(command, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def ask(server: Server, model: str, name: str, array: Any, outputs: list[str]) -> Mapping[str, Any]:
    """What tritonclient gets for one input."""
    with triton.InferenceServerClient(str(server.grpc)) as client:
        given = triton.InferInput(name, array.shape, "FP32")
        given.set_data_from_numpy(array)
        wanted = [triton.InferRequestedOutput(output) for output in outputs]
        answer: Any = client.infer(model, [given], outputs=wanted)
        return {output: answer.as_numpy(output) for output in outputs}


def served(server: Server, model: str, version: int) -> None:
    """Waits until a version is served."""
    end = monotonic() + SOON
    with triton.InferenceServerClient(str(server.grpc)) as client:
        while not seen(client, model, version):
            assert monotonic() < end
            sleep(0.01)


def seen(client: Any, model: str, version: int) -> bool:
    """Whether the server has found a version and can be asked for it."""
    try:
        return client.is_model_ready(model, str(version))
    except InferenceServerException:
        return False


def pictures(folder: Path) -> None:
    """Writes what the example for fine-tuning learns from."""
    spec = importlib.util.spec_from_file_location("make", EXAMPLES / "make_pictures.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(folder)


def test_a_running_server_takes_up_what_is_trained_and_answers_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    settings = ["--epochs", 3, "--set", "epoch_size=40", "--publish", "models"]
    bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    with running(Path("models"), model_control="poll", poll_seconds=0.02) as server:
        told = ran(trains, EXAMPLES / "xor.yaml", "--data", EXAMPLES, *settings)
        newest = max(int(at.name) for at in Path("models/xor").iterdir())
        assert f"published models/xor/{newest}" in told
        served(server, "xor", newest)
        found = ask(server, "xor", "bits", bits, ["answer", "linear-1"])
    best = Network.load(Path("xor.safetensors")).run({"bits": bits}, list(found))
    for name, array in found.items():
        np.testing.assert_allclose(array, best[name], atol=1e-6)


RESNET: Mapping[str, Any] = {
    "network": {
        "load": "models/resnet8",
        "drop_from": "dense",
        "freeze": "flatten",
        "layers": [{"type": "linear", "units": 3}, {"type": "softmax", "name": "shape"}],
    },
    "data": {"type": "pictures", "height": 32, "width": 32, "mean": 0, "std": 1},
    "optimizer": {"type": "adam", "rate": 0.01},
}
"""What differs where MLPerf Tiny's ResNet-8, which knows CIFAR-10's classes, is the body."""


@pytest.mark.parametrize(
    ("body", "file", "said"),
    [
        ("digits", "", {}),
        pytest.param("resnet8", "tf2_mlperf_resnet8_cifar10.h5", RESNET, marks=pytest.mark.slow),
    ],
    ids=["digits", "resnet8"],
)
def test_an_imported_network_is_fine_tuned_and_served(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    file: str,
    said: Mapping[str, Any],
) -> None:
    path = request.getfixturevalue("corpus")(file) if file else EXAMPLES / "digits.h5"
    monkeypatch.chdir(tmp_path)
    ran(imports, path, "--name", body, "--repository", "models")
    pictures(Path("shapes"))
    example = yaml.safe_load((EXAMPLES / "finetune.yaml").read_text("utf-8"))
    Path("spec.yaml").write_text(yaml.safe_dump({**example, **said}), "utf-8")
    ran(trains, "spec.yaml", "--data", "shapes", "--publish", "models", "--log", "log.json")
    log = [json.loads(line) for line in Path("log.json").read_text().splitlines()]
    assert max(epoch["accuracy"] for epoch in log) >= 0.9
    tuned, before = (
        Network.load(at)
        for at in (Path("shapes.safetensors"), Path(f"models/{body}/1/weights.safetensors"))
    )
    kept = before.parameters.keys() & tuned.parameters.keys()
    assert kept
    for name in kept:  # the body has stayed as it was
        np.testing.assert_array_equal(tuned.parameters[name], before.parameters[name])
    ((name, tensor),) = tuned.graph.inputs.items()
    shape = [3, *(int(size) for size in tensor.shape[1:])]
    x = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    with running(Path("models")) as server:
        found = ask(server, "shapes", name, x, ["shape"])
    np.testing.assert_allclose(found["shape"], tuned.run({name: x})["shape"], atol=1e-5)
