"""Inference over HTTP: JSON, binary data, and how they mix."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import subprocess
import time
import zlib
from collections.abc import Mapping
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from cortex.serving.datatypes import BYTES, DATATYPES
from cortex.serving.server import Server
from cortex.serving.tensors import decode, encode, objects

from .conftest import KINDS
from .repositories import dense, expected, sample
from .running import running

LENGTH = "inference-header-content-length"
X = sample()
Y = expected(X)["probabilities"]
JSON_INPUT = {"name": "x", "shape": [2, 4], "datatype": "FP32", "data": X.tolist()}
BINARY_INPUT = {
    "name": "x",
    "shape": [2, 4],
    "datatype": "FP32",
    "parameters": {"binary_data_size": X.nbytes},
}


def ask(
    server: Server,
    head: Any,
    binary: bytes | None = None,
    model: str = "dense",
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    if binary is not None:
        headers = {LENGTH: str(len(text))}
    url = f"http://{server.http}/v2/models/{model}/infer"
    return httpx.post(url, content=text + (binary or b""), headers=headers)


def split(answer: httpx.Response) -> tuple[Any, bytes]:
    """The JSON of an answer, and what follows it."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers.get(LENGTH, len(answer.content)))
    return json.loads(answer.content[:length]), answer.content[length:]


@pytest.mark.parametrize("data", [X.tolist(), X.reshape(-1).tolist()])
def test_json(server: Server, data: Any) -> None:
    answer = ask(server, {"id": "7", "inputs": [{**JSON_INPUT, "data": data}]})
    assert answer.headers["content-type"] == "application/json"
    found, rest = split(answer)
    (output,) = found.pop("outputs")
    data = output.pop("data")
    assert found == {"model_name": "dense", "model_version": "2", "id": "7"}
    assert output == {"name": "probabilities", "shape": [2, 3], "datatype": "FP32"}
    np.testing.assert_allclose(np.reshape(data, (2, 3)), Y, atol=1e-6)
    assert rest == b""


def test_a_version(server: Server) -> None:
    url = f"http://{server.http}/v2/models/dense/versions/1/infer"
    answer = httpx.post(url, json={"inputs": [JSON_INPUT]})
    assert split(answer)[0]["model_version"] == "1"


@pytest.mark.parametrize(
    ("parameters", "outputs", "binary"),
    [
        ({}, [], []),
        ({"binary_data_output": True}, [], ["probabilities"]),
        (
            {"binary_data_output": True},
            [{"name": "hidden"}, {"name": "scores", "parameters": {"binary_data": False}}],
            ["hidden"],
        ),
        (
            {},
            [{"name": "scores"}, {"name": "hidden", "parameters": {"binary_data": True}}],
            ["hidden"],
        ),
        (
            {"binary_data_output": True},
            [{"name": "scores"}, {"name": "hidden"}],
            ["scores", "hidden"],
        ),
    ],
)
def test_binary_data(
    server: Server, parameters: Any, outputs: list[Any], binary: list[str]
) -> None:
    head = {"inputs": [BINARY_INPUT], "outputs": outputs, "parameters": parameters}
    answer = ask(server, head, X.tobytes())
    kind = "application/octet-stream" if binary else "application/json"
    assert (answer.headers["content-type"], LENGTH in answer.headers) == (kind, bool(binary))
    found, rest = split(answer)
    assert [each["name"] for each in found["outputs"]] == (
        [each["name"] for each in outputs] or ["probabilities"]
    )
    for output in found["outputs"]:
        want = expected(X)[output["name"]]
        if output["name"] in binary:
            size = output["parameters"]["binary_data_size"]
            raw, rest = rest[:size], rest[size:]
            value = decode(memoryview(raw), DATATYPES["FP32"], output["shape"], "y")
        else:
            value = np.reshape(output["data"], output["shape"])
        np.testing.assert_allclose(value, want, atol=1e-5)
    assert rest == b""


def test_json_and_binary_inputs_in_one_request(server: Server) -> None:
    a, b = np.ones((1, 3), np.float32), np.arange(3, dtype=np.float32).reshape(1, 3)
    fixed = {"datatype": "FP32", "shape": [1, 3]}
    head = {
        "inputs": [
            {"name": "b", **fixed, "parameters": {"binary_data_size": 12}},
            {"name": "a", **fixed, "data": [1, 1, 1]},
        ]
    }
    found, _ = split(ask(server, head, b.tobytes(), "two"))
    assert found["outputs"][0]["data"] == (a + b).reshape(-1).tolist()


VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "UINT64": [2**64 - 1, 0],
    "INT64": [-(2**63), 2**63 - 1],
    "FP16": [0.5, -2],
    "BF16": [0x3F80, 0xC000],
    "BYTES": ["ü", ""],
}


@pytest.mark.parametrize("name", KINDS)
def test_every_datatype(server: Server, name: str) -> None:
    datatype, values = DATATYPES[name], VALUES.get(name, [1, 100])
    array = objects(values) if datatype is BYTES else np.array(values, datatype.dtype)
    raw = bytes(encode(array, datatype))
    fixed = {"name": "x", "datatype": name, "shape": [1, 2]}
    head = {"inputs": [{**fixed, "parameters": {"binary_data_size": len(raw)}}]}
    all_binary = {**head, "parameters": {"binary_data_output": True}}
    assert split(ask(server, all_binary, raw, f"same-{name.lower()}"))[1] == raw
    told = ask(server, head, raw, f"same-{name.lower()}")
    sent = ask(server, {"inputs": [{**fixed, "data": values}]}, model=f"same-{name.lower()}")
    if name in ("FP16", "BF16"):
        assert [told.status_code, sent.status_code] == [400, 400]
        assert told.json() == {
            "error": f"output 'y': ask for {name} as binary data; JSON has no such type"
        }
    else:
        assert split(told)[0]["outputs"][0]["data"] == values
        assert split(sent)[0]["outputs"][0]["data"] == values


@pytest.mark.parametrize("data", ["[NaN,Infinity]", "[-Infinity,0.0]"])
def test_what_is_no_number(server: Server, data: str) -> None:
    """NaN and the infinities stand in JSON as Python, Triton and their clients write them."""
    given = f'{{"inputs":[{{"name":"x","shape":[1,2],"datatype":"FP32","data":{data}}}]}}'
    answer = ask(server, given.encode(), model="same-fp32")
    assert f'"data":{data}' in answer.text
    np.testing.assert_array_equal(answer.json()["outputs"][0]["data"], json.loads(data))


def test_classes(server: Server) -> None:
    wanted = {"name": "probabilities", "parameters": {"classification": 1}}
    found, _ = split(ask(server, {"inputs": [JSON_INPUT], "outputs": [wanted]}))
    (output,) = found["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 1])
    best = [int(each.split(":")[1]) for each in output["data"]]
    assert best == Y.argmax(-1).tolist()


def test_a_body_without_json(server: Server) -> None:
    row = X[0].tobytes()
    found, rest = split(ask(server, row, headers={LENGTH: "0"}))
    assert found["outputs"][0]["parameters"] == {"binary_data_size": 12}
    np.testing.assert_allclose(np.frombuffer(rest, np.float32), Y[0], atol=1e-6)
    refused = ask(server, row, model="two", headers={LENGTH: "0"})
    assert refused.json() == {"error": "a body without JSON is one input; the model takes 2"}


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_codings_both_ways(server: Server, coding: str, pack: Any) -> None:
    rows = sample(200)
    head = json.dumps(
        {
            "inputs": [
                {**BINARY_INPUT, "shape": [200, 4], "parameters": {"binary_data_size": rows.nbytes}}
            ]
        }
    ).encode()
    headers = {"content-encoding": coding, "accept-encoding": coding, LENGTH: str(len(head))}
    url = f"http://{server.http}/v2/models/dense/infer"
    answer = httpx.post(url, content=pack(head + rows.tobytes()), headers=headers)
    assert answer.headers["content-encoding"] == coding
    assert answer.headers["vary"] == "accept-encoding"
    data = split(answer)[0]["outputs"][0]["data"]
    np.testing.assert_allclose(
        np.reshape(data, (200, 3)), expected(rows)["probabilities"], atol=1e-6
    )


REFUSED: list[tuple[Any, bytes | None, int, str]] = [
    (b"{", None, 400, "the request is no JSON: "),
    ({"inputs": []}, None, 400, "input 'x' is missing"),
    (
        {"inputs": [{**JSON_INPUT, "data": [True] * 8}]},
        None,
        400,
        "input 'x': true is no FP32",
    ),
    (
        {"inputs": [{**JSON_INPUT, "datatype": "F32"}]},
        None,
        400,
        "input 'x': 'F32' is no datatype",
    ),
    (
        {"inputs": [{**BINARY_INPUT, "data": [1] * 8}]},
        X.tobytes(),
        400,
        "input 'x': its elements are data, or binary data, or in shared memory; found 2 of these",
    ),
    (
        {"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32"}]},
        None,
        400,
        "input 'x': its elements are data, or binary data, or in shared memory; found none of",
    ),
    (
        {"inputs": [BINARY_INPUT]},
        X.tobytes() + b"abc",
        400,
        "the request: 35 bytes follow the JSON, its inputs name 32 of them",
    ),
    (
        {"inputs": [BINARY_INPUT]},
        X.tobytes()[:-1],
        400,
        "input 'x': its binary_data_size ends at byte 32 of 31 that follow the JSON",
    ),
    (
        {"inputs": [{**BINARY_INPUT, "parameters": {"binary_data_size": "32"}}]},
        X.tobytes(),
        400,
        "input 'x': 'binary_data_size' is a whole number from 0 on, found '32'",
    ),
    (
        {"inputs": [{**BINARY_INPUT, "shape": [2, 3]}]},
        X.tobytes(),
        400,
        "input 'x': FP32 of shape [2, 3] takes 24 bytes, found 32",
    ),
    (
        {"inputs": [JSON_INPUT], "parameters": {"sequence_id": 1}},
        None,
        400,
        "the request: 'sequence_id' is not supported",
    ),
    (
        {"inputs": [JSON_INPUT], "parameters": {"binary_data_output": 1}},
        None,
        400,
        "the request: 'binary_data_output' is true or false, found 1",
    ),
    (
        {"inputs": [JSON_INPUT], "outputs": [{"name": "nothing"}]},
        None,
        400,
        "output 'nothing': model 'dense' has no output or layer of this name",
    ),
    (
        {"inputs": [{**JSON_INPUT, "data": None, "parameters": {"shared_memory_region": "r"}}]},
        None,
        400,
        "input 'x': shared_memory_region needs shared_memory_byte_size beside it",
    ),
]


@pytest.mark.parametrize(("head", "binary", "status", "message"), REFUSED)
def test_what_is_refused(
    server: Server, head: Any, binary: bytes | None, status: int, message: str
) -> None:
    answer = ask(server, head, binary)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(message)


def test_a_model_that_is_not_there(server: Server) -> None:
    assert ask(server, {"inputs": [JSON_INPUT]}, model="none").status_code == 404
    assert ask(server, {"inputs": [JSON_INPUT]}, model="broken").status_code == 503


def test_a_coding_that_is_not_known(server: Server) -> None:
    answer = ask(server, b"", headers={"content-encoding": "br"})
    assert answer.status_code == 415
    assert answer.json() == {"error": "content encoding 'br': give one of gzip, deflate"}


def test_a_body_that_is_too_large(repository: Path) -> None:
    with running(repository, max_message_mb=1) as server:
        url = f"http://{server.http}/v2/models/dense/infer"
        message = {"error": "the body is larger than 1048576 bytes; --max-message-mb sets how many"}
        bomb = gzip.compress(bytes(2 << 20))
        answer = httpx.post(url, content=bomb, headers={"content-encoding": "gzip"})
        assert answer.status_code == 413
        host, port = str(server.http).split(":")
        for request in (
            b"content-length: 2000000\r\n\r\n",  # refused before any of it is sent
            b"transfer-encoding: chunked\r\n\r\n" + (b"10000\r\n" + bytes(65536) + b"\r\n") * 17,
        ):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(b"POST /v2/models/dense/infer HTTP/1.1\r\nhost: x\r\n" + request)
                response = HTTPResponse(connection)
                response.begin()
                assert (response.status, json.loads(response.read())) == (413, message)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(server: Server) -> None:
    head = json.dumps({"inputs": [JSON_INPUT]})
    url = f"http://{server.http}/v2/models/dense/infer"
    command = ["curl", "--silent", "--show-error", "--compressed", "--data", head, url]
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    data = json.loads(done.stdout)["outputs"][0]["data"]
    np.testing.assert_allclose(np.reshape(data, (2, 3)), Y, atol=1e-6)


def test_who_leaves_is_not_waited_for(tmp_path: Path) -> None:
    """A request is cancelled, and counted as such, when its client closes the connection."""
    dense(tmp_path, "slow", queue_delay_ms=60_000, max_batch=8, runners=1)
    body = json.dumps({"inputs": [JSON_INPUT]}).encode()
    with running(tmp_path) as server:

        def wait_for(line: str) -> None:
            until = time.monotonic() + 20
            while line not in httpx.get(f"http://{server.metrics}/metrics").text:
                assert time.monotonic() < until, line
                time.sleep(0.02)

        host, port = str(server.http).split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(
                b"POST /v2/models/slow/infer HTTP/1.1\r\nhost: x\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(body), body)
            )
            wait_for('cortex_queue_requests{model="slow",version="1"} 1.0')
        wait_for('cortex_queue_requests{model="slow",version="1"} 0.0')
        wait_for('cortex_requests_total{code="CANCELLED",model="slow",version="1"} 1.0')


def test_answers_are_not_held_back(server: Server) -> None:
    """Their head and body go in two packets; the second must not wait for an acknowledgement."""
    with httpx.Client(base_url=f"http://{server.http}") as client:
        taken = [client.get("/v2/health/live").elapsed.total_seconds() for _ in range(20)]
    assert sorted(taken)[10] < 0.03  # an acknowledgement is delayed by 0.04
