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


@pytest.mark.slow
def test_an_imported_network_is_fine_tuned_and_served(
    tmp_path: Path, corpus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = corpus("tf2_mlperf_resnet8_cifar10.h5")
    ran(imports, file, "--name", "resnet8", "--repository", "models")
    pictures(Path("shapes"))
    ran(trains, EXAMPLES / "finetune.yaml", "--data", "shapes", "--publish", "models",
        "--log", "log.json")  # fmt: skip
    log = [json.loads(line) for line in Path("log.json").read_text().splitlines()]
    assert max(epoch["accuracy"] for epoch in log) >= 0.9
    tuned, body = (
        Network.load(at)
        for at in (Path("shapes.safetensors"), Path("models/resnet8/1/weights.safetensors"))
    )
    # The body has stayed as it was.
    for name in body.parameters.keys() & tuned.parameters.keys():
        np.testing.assert_array_equal(tuned.parameters[name], body.parameters[name])
    (name,) = tuned.graph.inputs
    x = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)
    with running(Path("models")) as server:
        found = ask(server, "shapes", name, x, ["shape"])
    np.testing.assert_allclose(found["shape"], tuned.run({name: x})["shape"], atol=1e-5)
