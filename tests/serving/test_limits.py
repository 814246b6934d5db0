"""How much a client may ask for, how fast it must be, and that no other client notices."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from cortex.serving.client.connection import request
from cortex.serving.pb import open_inference_grpc_pb2 as pb
from cortex.serving.rest.patience import LARGEST_HEAD
from cortex.serving.rpc.protocol import path
from cortex.serving.server import Server

from .repositories import dense, sample
from .running import running

INFER = path("ModelInfer")
Code = grpc.StatusCode
SECONDS = 0.4  # how patient the server of these tests is
PATIENCE = 10.0  # and we


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``dense``, and ``late``, which lets requests wait."""
    root = tmp_path_factory.mktemp("models")
    dense(root)
    dense(root, "late", queue_delay_ms=300)
    return root


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    """A server of little patience."""
    with running(
        models,
        receive_seconds=SECONDS,
        max_requests=2,
        max_tensors=3,
        max_connections=8,
        max_message_mb=1,
    ) as server:
        yield server


def connected(server: Server) -> socket.socket:
    """A connection to its HTTP port."""
    return socket.create_connection((server.http.host, server.http.port), PATIENCE)


def answers(server: Server) -> bool:
    """Whether others are served."""
    page = httpx.get(f"http://{server.http}/v2", timeout=PATIENCE)
    return page.status_code == 200


def received(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    found = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            found += piece
    return found


BEGINNINGS = {
    "nothing": b"",
    "half a line": b"GET /v2/mo",
    "half a head": b"POST /v2/models/dense/infer HTTP/1.1\r\nhost: x\r\n",
    "half a body": b"POST /v2/models/dense/infer HTTP/1.1\r\nhost: x\r\n"
    b"content-length: 9999\r\n\r\n{",
}


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=list(BEGINNINGS))
def test_who_falls_silent_is_let_go(server: Server, beginning: bytes) -> None:
    began = time.monotonic()
    with connected(server) as connection:
        connection.sendall(beginning)
        assert answers(server)
        found = received(connection)
    assert SECONDS * 0.9 < time.monotonic() - began < PATIENCE / 2
    assert b"HTTP/1.1 408 " in found
    assert json.loads(found.rpartition(b"\r\n\r\n")[2])["error"].startswith("no whole request")


def test_who_falls_silent_in_a_second_request_is_let_go(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"200 OK" in connection.recv(1 << 16)
        connection.sendall(b"GET /v2 HT")
        assert b"HTTP/1.1 408 " in received(connection)


def test_a_byte_at_a_time_is_too_slow(server: Server) -> None:
    """However busily the bytes come, and wherever in the request."""
    for beginning in (b"GET /v2 HTTP/1.1\r\nx: ", BEGINNINGS["half a body"]):
        began = time.monotonic()
        with connected(server) as connection, suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(beginning)
            while time.monotonic() - began < PATIENCE:
                connection.sendall(b"x")
                time.sleep(SECONDS / 10)
        assert SECONDS < time.monotonic() - began < PATIENCE / 2
    assert answers(server)


def test_a_large_body_has_more_time(server: Server) -> None:
    x = np.zeros((4000, 4)).tolist()
    tensor = {"name": "x", "datatype": "FP32", "shape": [4000, 4], "data": x}
    body = json.dumps({"inputs": [tensor]}).encode()

    def slowly() -> Iterator[bytes]:
        for at in range(0, len(body), 1 << 12):
            yield body[at : at + (1 << 12)]
            time.sleep(SECONDS / 10)

    assert len(body) * SECONDS / 10 > SECONDS * (1 << 12)
    url = f"http://{server.http}/v2/models/dense/infer"
    answer = httpx.post(url, content=slowly(), timeout=PATIENCE)
    assert answer.status_code == 200


def test_who_does_not_read_is_let_go(models: Path) -> None:
    x = np.zeros((60_000, 4), np.float32)
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "datatype": "FP32",
                    "shape": list(x.shape),
                    "parameters": {"binary_data_size": x.nbytes},
                }
            ]
        }
    ).encode()
    asked = (
        b"POST /v2/models/dense/infer HTTP/1.1\r\nhost: x\r\n"
        b"inference-header-content-length: %d\r\ncontent-length: %d\r\n\r\n%s"
        % (len(head), len(head) + x.nbytes, head)
    )
    with running(models, receive_seconds=SECONDS) as server, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        connection.settimeout(PATIENCE)
        connection.connect((server.http.host, server.http.port))
        far_more_than_buffers_hold = (asked + x.tobytes()) * 100
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall(far_more_than_buffers_hold)
        assert answers(server)


def test_a_head_has_an_end(server: Server) -> None:
    with connected(server) as connection, suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(b"GET /v2 HTTP/1.1\r\n")
        for _ in range(LARGEST_HEAD // 1000 + 2):
            connection.sendall(b"x: %s\r\n" % (b"x" * 1000))
            time.sleep(0.001)
        found = received(connection)
        assert found.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))
    assert answers(server)


def test_connections_over_http_are_counted(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(server.live.settings.max_connections):
            stack.enter_context(connected(server))
        time.sleep(SECONDS / 4)
        with connected(server) as more:
            assert received(more) == b""
        assert not closed(stack.pop_all())
    assert answers(server)


def closed(stack: ExitStack) -> bool:
    """Closes the connections."""
    stack.close()
    time.sleep(SECONDS / 4)
    return False


def test_connections_over_grpc_are_counted(server: Server) -> None:
    with ExitStack() as stack:
        ready: list[bool] = []
        for _ in range(server.live.settings.max_connections + 2):
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = stack.enter_context(grpc.insecure_channel(str(server.grpc), options))
            call: Any = channel.unary_unary(path("ServerLive"))
            try:
                call(b"", timeout=1)
                ready.append(True)
            except grpc.RpcError:
                ready.append(False)
    most = server.live.settings.max_connections
    assert ready == [True] * most + [False] * 2


def asked(server: Server, *messages: bytes, **options: Any) -> list[Code]:
    """The status of each of these requests, sent at once."""

    async def main() -> list[Code]:
        async with grpc.aio.insecure_channel(str(server.grpc), **options) as channel:
            call: Any = channel.unary_unary(INFER)

            async def one(message: bytes) -> Code:
                try:
                    await call(message, timeout=PATIENCE)
                except grpc.aio.AioRpcError as error:
                    return error.code()
                return Code.OK

            return list(await asyncio.gather(*map(one, messages)))

    return asyncio.run(main())


def test_requests_at_once_are_counted(server: Server) -> None:
    found = asked(server, *[request("late", {"x": sample(1)})] * 5)
    assert sorted(found, key=str) == [Code.OK] * 2 + [Code.RESOURCE_EXHAUSTED] * 3
    assert asked(server, request("late", {"x": sample(1)})) == [Code.OK]


def test_requests_at_once_are_counted_over_both_protocols(server: Server) -> None:
    url = f"http://{server.http}/v2/models/late/infer"
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 0, 0, 0]}
    found: list[int] = []

    def post() -> None:
        found.append(httpx.post(url, json={"inputs": [tensor]}, timeout=PATIENCE).status_code)

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200, 200, 429, 429]


def test_tensors_are_counted(server: Server) -> None:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])
    output = pb.ModelInferRequest.InferRequestedOutputTensor(name="scores")
    for message in (
        pb.ModelInferRequest(model_name="dense", inputs=[tensor] * 4),
        pb.ModelInferRequest(model_name="dense", inputs=[tensor], outputs=[output] * 4),
    ):
        assert asked(server, message.SerializeToString()) == [Code.INVALID_ARGUMENT]


def test_a_limit_can_change_while_the_server_runs(models: Path) -> None:
    messages = [request("late", {"x": sample(1)})] * 4
    with running(models) as server:
        assert asked(server, *messages) == [Code.OK] * 4
        new = server.live.settings.renewed(server.live.settings)
        object.__setattr__(new, "max_requests", 1)
        server.live.renew(lambda: new)
        assert sorted(asked(server, *messages), key=str)[1:] == [Code.RESOURCE_EXHAUSTED] * 3


def test_what_unpacks_to_more_than_a_message_may_hold(server: Server) -> None:
    zeros = bytes(4 << 20)
    found = asked(server, zeros, compression=grpc.Compression.Gzip)
    assert found == [Code.RESOURCE_EXHAUSTED]
    url = f"http://{server.http}/v2/models/dense/infer"
    headers = {"content-encoding": "gzip"}
    answer = httpx.post(url, content=gzip.compress(zeros), headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize("name", ["../dense", "..%2f..%2fetc", "/etc/passwd", "dense/../dense"])
def test_no_path_reaches_the_file_system(server: Server, name: str) -> None:
    assert asked(server, request(name, {"x": sample(1)})) == [Code.NOT_FOUND]
    versioned = request("dense", {"x": sample(1)}, version=name)
    assert asked(server, versioned) == [Code.NOT_FOUND]
    with connected(server) as connection:
        connection.sendall(
            b"GET /v2/models/%s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % name.encode()
        )
        assert received(connection).startswith(b"HTTP/1.1 404 ")


def test_a_message_of_nothing_but_fields_is_not_read_to_its_end(server: Server) -> None:
    message = bytes([0x08, 0x01]) * (1 << 18)  # a number, again and again
    assert asked(server, message) == [Code.INVALID_ARGUMENT]
