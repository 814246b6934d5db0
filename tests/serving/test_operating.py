"""``cortex-serve`` as an operator meets it: reloaded, drained, its log read by a program."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cortex.serving.client.connection import request
from cortex.serving.rpc.grpc_server import HANDSHAKE_MS
from cortex.serving.rpc.protocol import path

from .repositories import dense, sample
from .running import running
from .test_serve_command import FREE, PATIENCE, Process, ask, run, started

JSON_ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 0, 0, 0]}]}
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def infer_url(server: Process) -> str:
    """Where it answers over HTTP."""
    return f"http://{server.http}/v2/models/dense/infer"


def lines(errors: str) -> list[dict[str, Any]]:
    """A log of JSON lines."""
    return [json.loads(line) for line in errors.splitlines()]


def test_sighup_reads_limits_and_tokens_again(tmp_path: Path) -> None:
    dense(tmp_path)
    config, tokens = tmp_path / "serve.yaml", tmp_path / "tokens"
    config.write_text(f"max_tensors: 1\nlog_format: json\ntoken_file: {tokens}\n")
    tokens.write_text("a" * 20)
    body = {**JSON_ROW, "outputs": [{"name": "scores"}, {"name": "hidden"}]}

    def status(token: str) -> int:
        headers = {"authorization": f"Bearer {token}"}
        return httpx.post(infer_url(server), json=body, headers=headers).status_code

    def reload() -> None:
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)

    with started(tmp_path, *FREE, f"--config={config}") as server:
        assert status("a" * 20) == 400
        config.write_text("max_tensors: 2\nhost: 192.0.2.1\n")
        tokens.write_text("b" * 20)
        reload()
        assert status("b" * 20) == 200
        assert status("a" * 20) == 401
        config.write_text("max_tensors: none\n")
        reload()
        assert status("b" * 20) == 200
        server.process.send_signal(signal.SIGTERM)
        code, errors = server.ended()
    assert code == 0
    assert [line["message"] for line in lines(errors)] == [
        "max_tensors: 2, was 1",
        "host: changed in the settings; restart the server to use it",
        "token_file: changed in the settings; restart the server to use it",
        "log_format: changed in the settings; restart the server to use it",
        f"settings: {config}: max_tensors: 'none' is not a valid integer range; those before stand",
    ]


def test_the_log_has_a_line_for_each_request(tmp_path: Path) -> None:
    dense(tmp_path)
    options = ("--access-log", "--log-format=json")
    with started(tmp_path, *FREE, *options) as server:
        httpx.post(infer_url(server), json={**JSON_ROW, "id": "seven"})
        server.process.send_signal(signal.SIGTERM)
        _, errors = server.ended()
    (line,) = lines(errors)
    assert line.keys() == {
        *("time", "level", "logger", "message"),
        *("call", "peer", "identity", "model", "version", "rows", "id", "code", "ms"),
    }
    assert (line["model"], line["rows"], line["id"], line["code"]) == ("dense", 1, "seven", "OK")


async def states(channel: grpc.aio.Channel, found: list[Any]) -> None:
    """What a health check that lasts is told."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    try:
        async for answer in watch:
            found.append(answer.status)
    except grpc.aio.AioRpcError as error:
        found.append(error.code())


def test_while_it_announces_its_end_it_answers(tmp_path: Path) -> None:
    """First the balancers learn that it goes; only then are new requests refused."""
    dense(tmp_path)

    async def main(server: Process) -> tuple[list[Any], list[Any], int]:
        watched: list[Any] = []
        async with grpc.aio.insecure_channel(server.grpc) as channel, httpx.AsyncClient() as http:
            watch = asyncio.create_task(states(channel, watched))
            while not watched:
                await asyncio.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            while len(watched) < 2:
                await asyncio.sleep(0.01)
            ready = await http.get(f"http://{server.http}/v2/health/ready")
            answers = [await ask(channel), (await http.post(infer_url(server), json=JSON_ROW))]
            await watch
        return watched, answers, ready.status_code

    with started(tmp_path, *FREE, "--drain-delay=1") as server:
        watched, (over_grpc, over_http), ready = asyncio.run(main(server))
        assert server.ended() == (0, "")
    assert watched[:2] == [SERVING, NOT_SERVING]
    assert ready == 503
    assert over_grpc is grpc.StatusCode.OK
    assert over_http.status_code == 200


def test_sigterm_under_load_loses_nothing_over_http(tmp_path: Path) -> None:
    """Every request is answered, or refused by its status, or was never accepted."""
    dense(tmp_path)

    async def caller(server: Process, found: Counter[object]) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE) as http:
            for _ in range(10_000):
                try:
                    answer = await http.post(infer_url(server), json=JSON_ROW)
                except httpx.ConnectError:
                    return
                found[answer.status_code] += 1
                if answer.status_code != 200:
                    return

    async def main(server: Process) -> Counter[object]:
        found: Counter[object] = Counter()
        callers = [asyncio.create_task(caller(server, found)) for _ in range(8)]
        while found[200] < 50:
            await asyncio.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*callers)
        return found

    with started(tmp_path, *FREE) as server:
        found = asyncio.run(main(server))
        assert server.ended() == (0, "")
    assert found.keys() == {200, 503}


def test_a_wrong_file_ends_the_command_in_one_line(tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text("grpc_port: many")
    ended = run(str(tmp_path), f"--config={config}")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"cortex-serve: {config}: grpc_port: 'many' is not a valid integer range\n"
    )


@pytest.mark.slow
def test_who_does_not_speak_http2_is_let_go(tmp_path: Path) -> None:
    dense(tmp_path)
    with running(tmp_path) as server, socket.socket() as connection:
        connection.settimeout(HANDSHAKE_MS / 1e3 * 2)
        connection.connect((server.grpc.host, server.grpc.port))
        connection.sendall(b"PRI * HTTP/2.0")
        with grpc.insecure_channel(str(server.grpc)) as channel:
            call: Any = channel.unary_unary(path("ModelInfer"))
            call(request("dense", {"x": sample(1)}), timeout=5)
        began = time.monotonic()
        while connection.recv(1 << 16):
            pass
        assert time.monotonic() - began < HANDSHAKE_MS / 1e3 * 1.5
