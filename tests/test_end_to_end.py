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

from .importer.test_corpus import FULL, WEIGHTS_AND_JSON
from .serving.running import running

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that the tests of this module import into."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def served(corpus: Any, installed: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A real file, imported by the command and served: its model's name, and the server."""
    name = request.param
    root, files = installed / name, [corpus(name)]
    if name in WEIGHTS_AND_JSON:
        files = [corpus(f"{Path(name).stem}.config.json"), "--weights", *files]
    arguments = [*map(str, files), "--repository", str(root), "--name", "model"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    with running(root) as server:
        yield server, corpus(Path(name).stem + ".reference.h5")


def ask(server: Server, inputs: Mapping[str, Any], outputs: list[str]) -> Any:
    """What tritonclient gets; states that the model wants begin as zeros."""
    with triton.InferenceServerClient(str(server.grpc)) as client:
        metadata: Any = client.get_model_metadata("model")
        given: list[Any] = []
        rest = list(inputs.values())
        for tensor in metadata.inputs:
            if "/state" in tensor.name:
                array = np.zeros([n if n > 0 else 1 for n in tensor.shape], np.float32)
            else:
                array = inputs[tensor.name] if tensor.name in inputs else rest[len(given)]
            whole = tensor.datatype != "FP32"
            array = np.ascontiguousarray(array, dtype=np.int32 if whole else np.float32)
            given.append(triton.InferInput(tensor.name, array.shape, tensor.datatype))
            given[-1].set_data_from_numpy(array)
        wanted = [triton.InferRequestedOutput(name) for name in outputs]
        answer = client.infer("model", given, outputs=wanted)
        declared = [tensor.name for tensor in metadata.outputs]
        return declared, answer


@pytest.mark.parametrize("served", [*FULL, *WEIGHTS_AND_JSON], indirect=True)
def test_a_real_file_answers_as_it_did_when_it_was_trained(served: Any) -> None:
    server, recorded = served
    reference: Reference = read_reference(recorded)
    assert server.models == {"model/1": True}
    layers = {n: v for n, v in reference.layers.items() if isinstance(v, Recorded)}
    middle = list(layers)[len(layers) // 2]
    (output, *_), _ = ask(server, reference.inputs, [])
    _, answer = ask(server, reference.inputs, list(dict.fromkeys([output, middle])))
    assert reference.outputs[0].difference(answer.as_numpy(output)).relative < TOLERANCE
    assert layers[middle].difference(answer.as_numpy(middle)).relative < TOLERANCE
    row = {name: array[:1] for name, array in reference.inputs.items()}
    _, alone = ask(server, row, [output])
    np.testing.assert_allclose(
        alone.as_numpy(output)[0], answer.as_numpy(output)[0], rtol=1e-3, atol=1e-5
    )
