"""``cortex-serve`` as a process: what it prints, how it stops, what it cannot do."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from cortex.serving.client.connection import request
from cortex.serving.models import Models
from cortex.serving.rpc.protocol import path
from cortex.serving.server import serve_until_signal

from .repositories import dense, sample
from .running import anywhere

COMMAND = [sys.executable, "-c", "from cortex.serving.cli import serve; serve()"]
FREE = ["--grpc-port=0", "--http-port=0", "--metrics-port=0"]
READY = re.compile(r"ready: gRPC (\S+), REST (\S+), metrics (\S+); models: (.*)\n")
PATIENCE = 30  # seconds until a test that hangs is ended
ROW = request("dense", {"x": sample(1)})


@dataclass(frozen=True)
class Process:
    """A server that has said it is ready."""

    process: subprocess.Popen[str]
    grpc: str
    http: str
    metrics: str
    models: str

    def metric(self, name: str) -> float:
        """The value of a metric of the one model."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics") as page:
            text: str = page.read().decode()
        (line,) = [line for line in text.splitlines() if line.startswith(name)]
        return float(line.split()[-1])

    def ended(self) -> tuple[int, str]:
        """Waits for it to end; its exit code and what it wrote to stderr."""
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


@contextmanager
def started(
    root: Path, *options: str, environment: dict[str, str] | None = None
) -> Generator[Process]:
    """Starts ``cortex-serve`` and waits for its one line."""
    with subprocess.Popen(
        [*COMMAND, str(root), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (environment or {}),
    ) as process:
        try:
            assert process.stdout
            found = READY.fullmatch(process.stdout.readline())
            assert found
            yield Process(process, found[1], found[2], found[3], found[4])
        finally:
            process.kill()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_it_says_in_one_line_what_is_ready_and_stops_on_sigterm(tmp_path: Path) -> None:
    dense(tmp_path)
    dense(tmp_path, "broken", wrong="scores")
    ports = {f"CORTEX_SERVE_{name}_PORT": "0" for name in ("GRPC", "HTTP", "METRICS")}
    with started(tmp_path, environment=ports) as server:
        assert server.models == "dense/1; not ready: broken/1"
        server.process.send_signal(signal.SIGTERM)
        code, errors = server.ended()
    assert code == 0
    assert re.fullmatch(r"cortex-serve: \S+/broken/1: not ready: output 'probabilit.*\n", errors)


def test_ctrl_c_ends_it_as_interrupted(tmp_path: Path) -> None:
    dense(tmp_path)
    with started(tmp_path, *FREE) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.ended() == (130, "cortex-serve: interrupted\n")


async def ask(channel: grpc.aio.Channel) -> grpc.StatusCode:
    """Asks once; the status of the answer."""
    call: Any = channel.unary_unary(path("ModelInfer"))
    try:
        await call(ROW, timeout=PATIENCE)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def queued(server: Process, count: int) -> None:
    """Waits until so many requests wait in the server."""
    while await asyncio.to_thread(server.metric, "cortex_queue_requests") < count:
        await asyncio.sleep(0.01)


def test_sigterm_lets_accepted_requests_finish(tmp_path: Path) -> None:
    dense(tmp_path, queue_delay_ms=2000)

    async def main(server: Process) -> list[grpc.StatusCode]:
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            calls = [asyncio.create_task(ask(channel)) for _ in range(20)]
            await queued(server, 20)
            server.process.send_signal(signal.SIGTERM)
            return list(await asyncio.gather(*calls))

    with started(tmp_path, *FREE) as server:
        assert asyncio.run(main(server)) == [grpc.StatusCode.OK] * 20
        assert server.ended() == (0, "")


def test_sigterm_under_load_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    dense(tmp_path)

    async def caller(channel: grpc.aio.Channel, found: list[grpc.StatusCode]) -> None:
        while (status := await ask(channel)) is grpc.StatusCode.OK:
            found.append(status)
        found.append(status)

    async def main(server: Process) -> list[grpc.StatusCode]:
        found: list[grpc.StatusCode] = []
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            callers = [asyncio.create_task(caller(channel, found)) for _ in range(16)]
            while len(found) < 200:
                await asyncio.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*callers)
        return found

    with started(tmp_path, *FREE) as server:
        found = asyncio.run(main(server))
        assert server.ended() == (0, "")
    # The last request of each caller came too late and was told so; every other one was answered.
    assert set(found) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert found.count(grpc.StatusCode.UNAVAILABLE) == 16


def test_draining_has_an_end(tmp_path: Path) -> None:
    dense(tmp_path, queue_delay_ms=60_000)

    async def main(server: Process) -> grpc.StatusCode:
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            call = asyncio.create_task(ask(channel))
            await queued(server, 1)
            server.process.send_signal(signal.SIGTERM)
            return await call

    with started(tmp_path, *FREE, "--drain-seconds=0.1") as server:
        assert asyncio.run(main(server)) is not grpc.StatusCode.OK
        assert server.ended() == (0, "")


def test_a_signal_while_models_load_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(models: Models) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    monkeypatch.setattr(Models, "start", forever)
    announced: list[object] = []
    stopped = asyncio.run(serve_until_signal(anywhere(tmp_path), announced.append))
    assert stopped is signal.SIGTERM
    assert not announced


@pytest.mark.parametrize(
    ("sent", "options", "code"),
    [
        ("SIGHUP", [], 7),  # nothing happens
        ("SIGTERM", [], 0),  # the first process of a container has no default for it
        ("SIGTERM", ["--check"], -signal.SIGTERM),  # or what was not checked would count as good
    ],
)
def test_a_signal_before_it_serves(
    tmp_path: Path, sent: str, options: list[str], code: int
) -> None:
    program = (
        "import os, signal, sys; from cortex.serving import cli, logs\n"
        f"logs.configure = lambda _: (os.kill(os.getpid(), signal.{sent}), sys.exit(7))\n"
        f"cli.serve([{str(tmp_path)!r}, *{options!r}])"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == code


@pytest.mark.parametrize("option", ["--grpc-port", "--http-port", "--metrics-port"])
def test_a_port_that_is_taken_is_named(tmp_path: Path, option: str) -> None:
    dense(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(str(tmp_path), *FREE, f"{option}={port}")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == (
        f"cortex-serve: port {port} of 127.0.0.1: Address already in use; "
        f"stop what listens there or choose another with {option}\n"
    )


def test_an_address_that_is_not_ours_is_named(tmp_path: Path) -> None:
    ended = run(str(tmp_path), *FREE, "--host=192.0.2.1")
    assert ended.returncode == 3
    assert "port 0 of 192.0.2.1: Cannot assign requested address" in ended.stderr


def test_there_must_be_a_repository(tmp_path: Path) -> None:
    ended = run(str(tmp_path / "nowhere"))
    assert ended.returncode == 3
    assert re.fullmatch(r"cortex-serve: \S+/nowhere: no such folder; name a .*\n", ended.stderr)


def test_a_wrong_option_is_a_usage_error() -> None:
    assert run("models", "--grpc-port=70000").returncode == 2


@pytest.mark.parametrize("command", ["cli import serve", "client.predict import main as serve"])
def test_help_imports_nothing_heavy(command: str) -> None:
    program = (
        f"import sys; from cortex.serving.{command}\n"
        "serve(['--help'], 'cortex-x', standalone_mode=False)\n"
        "heavy = {'numpy', 'grpc', 'onnx', 'onnxruntime', 'rich', 'asyncio'}\n"
        "print('loaded:', *heavy & set(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("Usage: cortex-x ")
    assert ended.stdout.endswith("loaded:\n")
