"""From a real file to an answer over gRPC: imported, installed, served, asked by a stock client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from click.testing import CliRunner

from cortex.importer.cli import main
from cortex.importer.reference import Reference, read_reference
from cortex.runtime.check import Recorded
from cortex.serving.server import Server

from .importer.test_corpus import REAL
from .serving.running import running

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that the tests of this module import into."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def served(corpus: Any, installed: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A real file, imported by the command and served: its model's name, and the server."""
    root = installed / request.param
    arguments = [str(corpus(request.param)), "--repository", str(root), "--name", "model"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    with running(root) as server:
        yield server, corpus(Path(request.param).stem + ".reference.h5")


def ask(server: Server, inputs: Mapping[str, Any], outputs: list[str]) -> Any:
    """What tritonclient gets."""
    with triton.InferenceServerClient(str(server.grpc)) as client:
        metadata: Any = client.get_model_metadata("model")
        names = [tensor.name for tensor in metadata.inputs]
        given = [
            triton.InferInput(n, x.shape, "FP32")
            for n, x in zip(names, inputs.values(), strict=True)
        ]
        for tensor, array in zip(given, inputs.values(), strict=True):
            tensor.set_data_from_numpy(array)
        wanted = [triton.InferRequestedOutput(name) for name in outputs]
        answer = client.infer("model", given, outputs=wanted)
        declared = [tensor.name for tensor in metadata.outputs]
        return declared, answer


@pytest.mark.parametrize("served", REAL, indirect=True)
def test_a_real_file_answers_as_it_did_when_it_was_trained(served: Any) -> None:
    server, recorded = served
    reference: Reference = read_reference(recorded)
    assert server.models == {"model/1": True}
    layers = {n: v for n, v in reference.layers.items() if isinstance(v, Recorded)}
    middle = list(layers)[len(layers) // 2]
    (output,), _ = ask(server, reference.inputs, [])
    _, answer = ask(server, reference.inputs, list(dict.fromkeys([output, middle])))
    assert reference.outputs[0].difference(answer.as_numpy(output)).relative < TOLERANCE
    assert layers[middle].difference(answer.as_numpy(middle)).relative < TOLERANCE
    row = {name: array[:1] for name, array in reference.inputs.items()}
    _, alone = ask(server, row, [output])
    np.testing.assert_allclose(
        alone.as_numpy(output)[0], answer.as_numpy(output)[0], rtol=1e-3, atol=1e-5
    )
