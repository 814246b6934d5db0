"""What must hold whatever clients and operators do: real processes, real sockets, random harm.

These are short forms; ``benchmarks/reliability.py`` runs them at full length and holds the figures
that depend on time against their bounds.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import psutil
import pytest
from onnx import helper

from cortex.runtime.repository import ModelConfig, install, versions, write_config
from cortex.runtime.weights import WeightsFile
from cortex.serving.client.connection import request
from cortex.serving.rpc.protocol import path

from .load import Array, Caller, Tally, calling
from .repositories import FLOAT, dense, expected, sample, single
from .test_serve_command import FREE, Process, started

FULL = os.environ.get("CORTEX_RELIABILITY") == "full"
EXAMPLES = Path(__file__).parents[2] / "examples"
MIB = 1 << 20

pytestmark = pytest.mark.slow


def length(short: int, full: int) -> int:
    """How much of something: in a test, or in the benchmark."""
    return full if FULL else short


@pytest.fixture
def figures(record_property: Any) -> Any:
    """Told with the result, for the benchmark's table."""

    def tell(**values: object) -> None:
        for name, value in values.items():
            record_property(name.replace("_", " "), value)

    return tell


def right(x: Array) -> Callable[[str, Array], bool]:
    """Whether an answer is the dense network's for ``x``."""
    wanted = expected(x)["probabilities"]

    def is_right(version: str, found: Array) -> bool:
        return found.shape == wanted.shape and np.allclose(found, wanted, atol=1e-5)

    return is_right


def test_clients_that_leave_harm_nobody_else(tmp_path: Path, figures: Any) -> None:
    dense(tmp_path)
    total = length(10_000, 100_000)
    rng = random.Random(0)

    async def work(caller: Caller, number: int) -> None:
        x = sample(rng.randint(1, 3), rng.randrange(100))
        if rng.random() < 0.2:
            await caller.give_up("dense", x, rng.random() * 0.003, disconnect=rng.random() < 0.1)
        else:
            await caller.ask("dense", x, right(x))

    async def main(address: str) -> Tally:
        async with calling(address, 16, work) as tally:
            while tally.ends.total() < total:
                await asyncio.sleep(0.05)
        return tally

    with started(tmp_path, *FREE) as server:
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss
        ends = asyncio.run(main(server.grpc)).ends
        assert server.metric("cortex_queue_requests{") == 0
        grown = process.memory_info().rss - before
    figures(**ends, grown_mib=round(grown / MIB, 1))
    assert set(ends) == {"right", "given up"}


def plus(root: Path, number: int) -> None:
    """Installs version ``number`` of a model that adds this number."""
    add = helper.make_node("Add", ["x", "number"], ["y"])
    value = ("N", 2)
    single(
        root, "plus", [("x", FLOAT, value)], [("y", FLOAT, value)], [add],
        {"number": np.full((1, 1), number, np.float32)},
    )  # fmt: skip


def test_new_versions_under_load_are_seen_whole_and_cost_no_answer(
    tmp_path: Path, figures: Any
) -> None:
    rounds, pause = length(10, 60), 1.0
    plus(tmp_path, 1)
    seen: set[str] = set()

    async def work(caller: Caller, number: int) -> None:
        x = np.random.default_rng(number).integers(0, 100, (2, 2)).astype(np.float32)

        def is_right(version: str, found: Array) -> bool:
            seen.add(version)
            return np.array_equal(found, x + float(version))

        await caller.ask("plus", x, is_right)

    async def main(address: str) -> Tally:
        async with calling(address, 8, work) as tally:
            for number in range(2, rounds + 2):
                await asyncio.to_thread(plus, tmp_path, number)
                await asyncio.sleep(pause)
        return tally

    with started(tmp_path, *FREE, "--model-control=poll", "--poll-seconds=0.2") as server:
        ends = asyncio.run(main(server.grpc)).ends
    figures(versions=len(seen), **ends)
    assert set(ends) == {"right"}
    assert len(seen) >= rounds


def test_an_importer_that_is_killed_leaves_no_half_model(tmp_path: Path, figures: Any) -> None:
    command = [sys.executable, "-c", "from cortex.importer.cli import main; main()", "-q"]
    command += [str(EXAMPLES / "digits.h5"), "--repository", str(tmp_path)]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    whole = time.monotonic() - began
    rng, killed = random.Random(0), 0
    for _ in range(length(20, 200)):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                process.wait(rng.uniform(0, whole * 1.1))
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
        for version in versions(tmp_path):
            onnx.checker.check_model(str(version.model))
            assert WeightsFile.open(version.path / "weights.safetensors").arrays()
            assert version.check()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert not [each for each in tmp_path.iterdir() if each.name != "digits"]
    figures(killed=killed, installed=len(versions(tmp_path)))
    assert killed


def test_what_was_accepted_before_sigterm_is_answered(tmp_path: Path, figures: Any) -> None:
    dense(tmp_path, queue_delay_ms=100)  # so that many wait when the signal comes
    total: Tally = Tally()

    async def main(server: Process) -> None:
        left: list[float] = []
        callers = [Caller(server.grpc, total) for _ in range(16)]

        async def work(caller: Caller) -> None:
            while True:
                x, began = sample(), time.monotonic()
                end = await caller.ask("dense", x, right(x))
                if end != "right":
                    # Only who came after the signal may be sent away.
                    assert end == "UNAVAILABLE"
                    assert began > left[0] - 0.02
                    return

        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(work(caller))
            await asyncio.sleep(1)
            left.append(time.monotonic())
            server.process.send_signal(signal.SIGTERM)
        for caller in callers:
            await caller.close()

    for _ in range(length(3, 20)):
        with started(tmp_path, *FREE) as server:
            asyncio.run(main(server))
            assert server.ended()[0] == 0
    figures(**total.ends)
    assert set(total.ends) == {"right", "UNAVAILABLE"}


def heavy(root: Path) -> None:
    """Installs a model that takes about a tenth of a second of one core, alone each time."""
    size, chain = 1024, 3
    nodes = [helper.make_node("Mul", ["matrix", "x"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{n}", "matrix"], [f"m{n + 1}"]) for n in range(chain)]
    nodes += [helper.make_node("ReduceMax", [f"m{chain}"], ["y"])]
    matrix = np.eye(size, dtype=np.float32)
    single(root, "heavy", [("x", FLOAT, (1, 1))], [("y", FLOAT, (1, 1))], nodes, {"matrix": matrix})
    write_config(root, "heavy", ModelConfig(max_queue=2, runners=2))


def test_what_is_too_much_is_refused_and_the_rest_answered(tmp_path: Path, figures: Any) -> None:
    heavy(tmp_path)
    x = np.full((1, 1), 3, np.float32)

    async def ask(caller: Caller) -> None:
        await caller.ask("heavy", x, lambda _, found: found.item() == 3)

    async def main(address: str) -> tuple[Tally, Tally]:
        calm, busy = Tally(), Tally()
        caller = Caller(address, calm)
        for _ in range(length(20, 100)):
            await ask(caller)
        await caller.close()
        callers = [Caller(address, busy) for _ in range(8)]
        pause = calm.percentile("right", 50) / 2 / 10  # two run side by side; ten times as many
        async with asyncio.TaskGroup() as group:
            for n in range(length(400, 4000)):
                group.create_task(ask(callers[n % len(callers)]))
                await asyncio.sleep(pause)
        for each in callers:
            await each.close()
        return calm, busy

    with started(tmp_path, *FREE) as server:
        calm, busy = asyncio.run(main(server.grpc))
    ratio = busy.percentile("right", 99) / calm.percentile("right", 99)
    refused_ms = busy.percentile("RESOURCE_EXHAUSTED", 50) * 1000
    figures(p99_over_unloaded=round(ratio, 2), refused_ms=round(refused_ms, 2), **busy.ends)
    assert set(busy.ends) == {"right", "RESOURCE_EXHAUSTED"}
    if FULL:
        assert ratio < 3


ANSWERS = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "PERMISSION_DENIED"}
METHODS = ("ModelInfer", "ModelMetadata", "ModelReady", "ServerMetadata", "ModelStatistics")


def mutations(good: bytes, count: int, seed: int) -> Iterator[bytes]:
    """A message with bytes changed, cut, repeated or invented."""
    rng = random.Random(seed)
    for _ in range(count):
        bytes_ = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(bytes_) + 1)
            match rng.randrange(4):
                case 0:
                    bytes_[at : at + 1] = rng.randbytes(1)
                case 1:
                    del bytes_[at : at + rng.randint(1, 40)]
                case 2:
                    bytes_[at:at] = bytes_[: rng.randint(0, 40)]
                case _:
                    bytes_[at:at] = rng.randbytes(rng.randint(1, 10))
        yield bytes(bytes_)


def test_broken_messages_get_a_right_status_and_take_no_memory(
    tmp_path: Path, figures: Any
) -> None:
    dense(tmp_path)
    count = length(3000, 100_000)
    good = request("dense", {"x": sample()})
    body = json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
    ).encode()

    def rpc(server: Process) -> set[str]:
        found: set[str] = set()
        with grpc.insecure_channel(server.grpc) as channel:
            calls = [channel.unary_unary(path(name)) for name in METHODS]
            for number, message in enumerate(mutations(good, count, 1)):
                try:
                    calls[0 if number % 2 else number % len(calls)](message, timeout=60)
                    found.add("OK")
                except grpc.RpcError as error:
                    found.add(error.code().name)  # type: ignore[attr-defined]
        return found

    def rest(server: Process) -> set[int]:
        found: set[int] = set()
        at = f"http://{server.http}/v2/models/dense/infer"
        for message in mutations(body, count // 3, 2):
            try:
                with urllib.request.urlopen(urllib.request.Request(at, message)) as answer:
                    found.add(answer.status)
            except urllib.error.HTTPError as error:
                found.add(error.code)
                error.close()
        return found

    with started(tmp_path, *FREE) as server:
        process = psutil.Process(server.process.pid)
        _ = rpc(server), rest(server)  # buffers grow to what they will stay
        before = process.memory_info().rss
        codes, statuses = rpc(server), rest(server)
        growth = process.memory_info().rss - before
    figures(grown_mib=round(growth / MIB, 1), codes=sorted(codes), statuses=sorted(statuses))
    assert codes <= ANSWERS
    assert statuses <= {200, 400, 404, 413}
    assert growth < 8 * MIB


def test_memory_stays_flat(tmp_path: Path, figures: Any) -> None:
    # Nobody leaves here: of each call that its client cancels, grpcio 1.85 keeps some 70 bytes, in
    # a bare server, too.
    dense(tmp_path)
    rng = random.Random(0)

    async def work(caller: Caller, number: int) -> None:
        x = sample(rng.randint(1, 8), rng.randrange(100))
        await caller.ask("nothing" if rng.random() < 0.1 else "dense", x, right(x))

    async def main(server: Process) -> tuple[Tally, float]:
        process = psutil.Process(server.process.pid)
        async with calling(server.grpc, 16, work) as tally:
            await asyncio.sleep(length(20, 120))
            warm = process.memory_info().rss
            await asyncio.sleep(length(40, 900))
            growth = process.memory_info().rss / warm - 1
        return tally, growth

    with started(tmp_path, *FREE) as server:
        tally, growth = asyncio.run(main(server))
    figures(growth_percent=round(growth * 100, 2), **tally.ends)
    assert set(tally.ends) == {"right", "NOT_FOUND"}
    assert growth < 0.01


def test_clients_that_stall_stop_nobody(tmp_path: Path, figures: Any) -> None:
    dense(tmp_path)
    starts = (
        b"",
        b"P",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" + b"\0\0\xff\1\4\0\0\0\1",
        b"POST /v2/models/dense/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
        b"GET /v2/health/live HTTP/1.1\r\nHo",
    )

    async def work(caller: Caller, number: int) -> None:
        x = sample(seed=number)
        await caller.ask("dense", x, right(x))

    async def main(server: Process) -> Tally:
        async with calling(server.grpc, 4, work) as tally:
            await asyncio.sleep(length(3, 30))
        return tally

    with started(tmp_path, *FREE) as server, ExitStack() as stack:
        alone = asyncio.run(main(server))
        for n in range(length(60, 300)):
            where = server.http if n % 2 else server.grpc
            host, _, port = where.rpartition(":")
            stalled = stack.enter_context(socket.create_connection((host, int(port))))
            stalled.sendall(starts[n % len(starts)])
        beside = asyncio.run(main(server))
        with urllib.request.urlopen(f"http://{server.http}/v2/health/ready") as answer:
            assert answer.status == 200
    ratio = beside.percentile("right", 99) / alone.percentile("right", 99)
    figures(p99_beside_stalled=round(ratio, 2), **beside.ends)
    assert set(beside.ends) == {"right"}


def test_a_version_that_is_written_badly_changes_nothing(tmp_path: Path) -> None:
    plus(tmp_path, 1)
    x = np.zeros((1, 2), np.float32)

    async def ask(address: str) -> Tally:
        tally = Tally()
        caller = Caller(address, tally)
        await caller.ask("plus", x, lambda version, found: version == "1" and found[0, 0] == 1)
        await caller.close()
        return tally

    with started(tmp_path, *FREE, "--model-control=poll", "--poll-seconds=0.1") as server:
        with install(tmp_path, "plus") as version:
            version.model.write_bytes(b"no model")
        time.sleep(1)
        assert set(asyncio.run(ask(server.grpc)).ends) == {"right"}
