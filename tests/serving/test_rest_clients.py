"""Clients that others wrote, over HTTP: Triton's, and KServe's over gRPC too."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.utils.shared_memory as shm
from tritonclient.http import aio

from cortex.serving.server import Server

from .repositories import dense, expected, sample
from .running import running

X = sample()
Y = expected(X)["probabilities"]
KSERVE = "CORTEX_KSERVE_PYTHON"
"""An interpreter that has KServe; without one, the test installs it."""


def sent(array: Any = X, datatype: str = "FP32", binary: bool = True) -> Any:
    given = triton.InferInput("x", list(array.shape), datatype)
    return given.set_data_from_numpy(array, binary_data=binary)


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(str(server.http)) as client:
        yield client


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_triton_infers(client: Any, there: bool, back: bool, coding: str | None) -> None:
    rows = sample(300)
    found = client.infer(
        "dense",
        [sent(rows, binary=there)],
        outputs=[
            triton.InferRequestedOutput("hidden", binary_data=not back),
            triton.InferRequestedOutput("probabilities", binary_data=back),
        ],
        request_id="r1",
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    assert found.get_response()["id"] == "r1"
    for name in ("hidden", "probabilities"):
        np.testing.assert_allclose(found.as_numpy(name), expected(rows)[name], atol=1e-5)


def test_triton_infers_all_outputs(client: Any) -> None:
    found = client.infer("dense", [sent()], model_version="1", priority=1, timeout=10_000_000)
    assert found.get_response()["model_version"] == "1"
    np.testing.assert_allclose(found.as_numpy("probabilities"), Y, atol=1e-6)


@pytest.mark.parametrize("binary", [True, False])
def test_triton_reads_what_is_no_number(client: Any, binary: bool) -> None:
    given = np.array([[np.nan, np.inf], [-np.inf, 0]], np.float32)
    wanted = [triton.InferRequestedOutput("y", binary_data=binary)]
    found = client.infer("same-fp32", [sent(given, binary=binary)], outputs=wanted)
    np.testing.assert_array_equal(found.as_numpy("y"), given)


@pytest.mark.parametrize("binary", [True, False])
def test_triton_sends_strings(client: Any, binary: bool) -> None:
    given = np.array([["a", "ü"]], object)
    wanted = [triton.InferRequestedOutput("y", binary_data=binary)]
    found = client.infer("same-bytes", [sent(given, "BYTES", binary)], outputs=wanted)
    told = [each if isinstance(each, str) else each.decode() for each in found.as_numpy("y")[0]]
    assert told == ["a", "ü"]


def test_triton_asks_for_classes(client: Any) -> None:
    wanted = [triton.InferRequestedOutput("probabilities", class_count=2)]
    found = client.infer("dense", [sent()], outputs=wanted).as_numpy("probabilities")
    assert found.shape == (2, 2)
    assert [int(row[0].split(b":")[1]) for row in found] == Y.argmax(-1).tolist()


def test_triton_asks_about_the_server(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("dense", "1")
    assert not client.is_model_ready("broken")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("dense")["versions"] == ["1", "2"]


def test_triton_asks_for_the_config(client: Any) -> None:
    config = client.get_model_config("dense", "1")
    assert config["name"] == "dense"
    assert config["max_batch_size"] > 1
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}]
    assert config["output"] == [{"name": "probabilities", "data_type": "TYPE_FP32", "dims": [3]}]


def test_triton_asks_for_statistics(client: Any) -> None:
    def success() -> int:
        (found,) = client.get_inference_statistics("dense", "1")["model_stats"]
        assert (found["name"], found["version"]) == ("dense", "1")
        return found["inference_stats"]["success"]["count"]

    before = success()
    client.infer("dense", [sent()], model_version="1")
    assert success() == before + 1
    every = client.get_inference_statistics()["model_stats"]
    assert {"dense", "two"} <= {each["name"] for each in every}


def test_triton_asks_for_the_index(client: Any) -> None:
    found = client.get_model_repository_index()
    states = {(each["name"], each["version"]): each["state"] for each in found}
    assert states["dense", "2"] == "READY"
    assert states["broken", "1"] == "UNAVAILABLE"


def test_triton_is_told_what_is_wrong(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match="model 'none' is not here"):
        client.infer("none", [sent()])
    with pytest.raises(triton.InferenceServerException, match="--model-control explicit"):
        client.load_model("dense")
    with pytest.raises(triton.InferenceServerException, match="shared memory is off"):
        client.register_system_shared_memory("r", "k", 8)


def test_triton_sends_and_receives_through_shared_memory(repository: Path) -> None:
    key, half = f"/cortex-test-{uuid4().hex}", X.nbytes
    memory: Any = shm.create_shared_memory_region("r", key, 2 * half)
    try:
        shm.set_shared_memory_region(memory, [X])
        with (
            running(repository, shared_memory=True) as server,
            triton.InferenceServerClient(str(server.http)) as client,
        ):
            client.register_system_shared_memory("r", key, 2 * half)
            (told,) = client.get_system_shared_memory_status()
            assert told == {"name": "r", "key": key, "offset": 0, "byte_size": 2 * half}
            given = triton.InferInput("x", [2, 4], "FP32")
            given.set_shared_memory("r", half)
            wanted = triton.InferRequestedOutput("probabilities")
            wanted.set_shared_memory("r", half, offset=half)
            answer: Any = client.infer("dense", [given], outputs=[wanted])
            assert answer.get_output("probabilities")["parameters"] == {
                "shared_memory_region": "r",
                "shared_memory_byte_size": Y.nbytes,
                "shared_memory_offset": half,
            }
            found = shm.get_contents_as_numpy(memory, np.float32, [2, 3], offset=half)
            np.testing.assert_allclose(found, Y, atol=1e-6)
            client.unregister_system_shared_memory("r")
            assert client.get_system_shared_memory_status() == []
            with pytest.raises(triton.InferenceServerException, match="is not registered"):
                client.infer("dense", [given])
    finally:
        shm.destroy_shared_memory_region(memory)


def test_triton_loads_and_unloads(tmp_path: Path) -> None:
    dense(tmp_path)
    with (
        running(tmp_path, model_control="explicit") as server,
        triton.InferenceServerClient(str(server.http)) as client,
    ):
        assert not client.is_model_ready("dense")
        client.load_model("dense")
        assert client.is_model_ready("dense")
        client.load_model("dense", config=json.dumps({"max_batch": 5}))
        assert client.get_model_config("dense")["max_batch_size"] == 5
        with pytest.raises(triton.InferenceServerException, match="come from the repository"):
            client.load_model("dense", config="{}", files={"file:1/model.onnx": b"x"})
        client.unload_model("dense")
        assert not client.is_model_ready("dense")


def test_triton_aio(server: Server) -> None:
    async def infer() -> Any:
        async with aio.InferenceServerClient(str(server.http)) as client:
            return await client.infer("dense", [sent()])

    found = asyncio.run(infer())
    np.testing.assert_allclose(found.as_numpy("probabilities"), Y, atol=1e-6)


SCRIPT = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

http, grpc, rows = sys.argv[1], sys.argv[2], np.array(json.loads(sys.argv[3]), np.float32)

def request(binary):
    given = InferInput(name="x", shape=list(rows.shape), datatype="FP32")
    given.set_data_from_numpy(rows, binary_data=binary)
    return InferRequest(model_name="dense", infer_inputs=[given])

async def main():
    answers = []
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        url = f"http://{http}"
        assert await client.is_server_live(url) and await client.is_server_ready(url)
        assert await client.is_model_ready(url, "dense")
        for binary in (True, False):
            answers.append(await client.infer(url, request(binary), model_name="dense"))
    async with InferenceGRPCClient(grpc) as client:
        assert await client.is_server_ready() and await client.is_model_ready("dense")
        for binary in (True, False):
            answers.append(await client.infer(request(binary)))
    print(json.dumps([each.outputs[0].as_numpy().tolist() for each in answers]))

asyncio.run(main())
"""


@pytest.mark.slow
def test_kserve(server: Server, tmp_path: Path) -> None:
    python = os.environ.get(KSERVE) or _kserve(tmp_path)
    command = [python, "-c", SCRIPT, str(server.http), str(server.grpc), json.dumps(X.tolist())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert len(answers) == 4
    for answer in answers:
        np.testing.assert_allclose(answer, Y, atol=1e-6)


def _kserve(folder: Path) -> str:
    """An environment of its own: KServe wants another protobuf than ours."""
    venv.create(folder / "kserve", with_pip=True)
    python = str(folder / "kserve" / "bin" / Path(sys.executable).name)
    pip = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "kserve"]
    subprocess.run(pip, check=True, timeout=900, capture_output=True)
    return python
