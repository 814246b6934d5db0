"""How fast cortex-serve answers, against onnxruntime called directly and against other servers.

    python benchmarks/serve.py [--seconds 3] [--rounds 3] [--network mlp ...] [--peers]

Clients and servers share the machine's cores, and every round measures each server in turn. The
load is h2load's, which speaks HTTP/2 and so gRPC, with one image a request. One answer of each
server is compared with onnxruntime's; of the others the size is looked at, for a failure that gRPC
reports in a trailer brings no data.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import grpc
import numpy as np
import onnxruntime as ort
from environments import Unavailable
from networks import NETWORKS, Network
from rich import box
from rich.console import Console
from rich.table import Table
from servers import OURS, PEERS, Peer, Running

from cortex.serving.client.connection import Client, request
from cortex.serving.rpc.protocol import path

H2LOAD = "h2load"
CONNECTIONS = 4  # at most; the callers of one connection share it as parallel streams
PREFIX = 5  # bytes that gRPC puts before a message
DONE = re.compile(r"^requests: .*?(\d+) succeeded", re.MULTILINE)
DATA = re.compile(r"^traffic: .*\((\d+)\) data", re.MULTILINE)


@dataclass(frozen=True)
class Speed:
    """Images a second, and µs of CPU for each."""

    rate: float
    cpu: float


def raw(network: Network, seconds: float) -> Speed:
    """Measures onnxruntime alone: the best of two ways to use two threads, over all batches."""
    model = network.model().SerializeToString()
    found: list[Speed] = []
    for threads, intra in ((1, 2), (2, 1)):
        options = ort.SessionOptions()
        options.intra_op_num_threads = intra
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        found += [_rate(session, network.images(n), threads, seconds) for n in network.batches]
    return max(found, key=lambda speed: speed.rate)


def _rate(session: Any, images: Any, threads: int, seconds: float) -> Speed:
    feed, counts = {"input": images}, [0] * threads
    session.run(None, feed)
    end = time.perf_counter() + seconds

    def work(which: int) -> None:
        while time.perf_counter() < end:
            session.run(None, feed)
            counts[which] += len(images)

    workers = [threading.Thread(target=work, args=(which,)) for which in range(threads)]
    began, cpu = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Speed(sum(counts) / took, cpu / sum(counts) * 1e6)


@dataclass(frozen=True)
class Question:
    """A request as gRPC frames it, in a file for h2load, and the bytes of its answer."""

    file: Path
    answer: int


def ask(server: Running, model: str, network: Network, file: Path) -> Question:
    """Compares one answer with onnxruntime's; keeps the question in ``file``."""
    image = network.images(1)
    message = request(model, {"input": image})
    with Client(server.grpc) as client:
        answer = client.infer(model, {"input": image})
    session = ort.InferenceSession(network.model().SerializeToString())
    wanted: Any = session.run(None, {"input": image})
    np.testing.assert_allclose(answer.outputs["output"], wanted[0], rtol=1e-4, atol=1e-6)
    with grpc.insecure_channel(server.grpc) as channel:
        size = PREFIX + len(channel.unary_unary(path("ModelInfer"))(message))
    file.write_bytes(b"\0" + len(message).to_bytes(PREFIX - 1, "big") + message)
    return Question(file, size)


@dataclass(frozen=True)
class Seen(Speed):
    """What so many callers saw of a server; latencies in ms."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Load:
    """A server's speed, that of raw onnxruntime just before, and our rate in the same round."""

    seen: Seen
    raw: Speed
    ours: float


def load(server: Running, question: Question, callers: int, seconds: float) -> Seen:
    """Lets so many callers ask for so many seconds, after a second to warm up."""
    connections = min(callers, CONNECTIONS)
    with tempfile.NamedTemporaryFile() as log:
        command = [
            H2LOAD,
            f"-c{connections}",
            f"-m{callers // connections}",
            f"-D{round(seconds * 1000)}ms",
            "--warm-up-time=1",
            f"--log-file={log.name}",
            f"-d{question.file}",
            "-Hcontent-type: application/grpc",
            "-Hte: trailers",
            f"http://{server.grpc}{path('ModelInfer')}",
        ]
        cpu = server.cpu()
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        cpu = server.cpu() - cpu
        took = np.loadtxt(log.name, usecols=2, ndmin=1) / 1000  # ms
    done, data = (int(found[1]) if (found := at.search(said)) else 0 for at in (DONE, DATA))
    if not done or data < done * question.answer * 0.98:  # some are on their way at the end
        raise SystemExit(f"{server.grpc}: not every answer was one:\n{said}")
    p50, p99 = np.percentile(took, [50, 99])
    spent = cpu / done / (1 + 1 / seconds) * 1e6  # the second of warming up is not in done
    return Seen(done / seconds, spent, float(p50), float(p99))


def measure(name: str, seconds: float, rounds: int, peers: Sequence[Peer], table: Table) -> None:
    """Measures one network on every server in turns, and adds its rows to the table."""
    network = NETWORKS[name]
    with ExitStack() as stack:
        servers = {peer: _started(stack, peer, name, network, table) for peer in (OURS, *peers)}
        running = {peer: server for peer, server in servers.items() if server}
        found = {(n, peer): list[Load]() for n in network.callers for peer in running}
        for _ in range(rounds):
            ceiling = raw(network, seconds / 3)
            for callers in network.callers:
                seen = {
                    peer: load(server, question, callers, seconds)
                    for peer, (server, question) in running.items()
                }
                for peer, one in seen.items():
                    found[callers, peer].append(Load(one, ceiling, seen[OURS].rate))
    for (callers, peer), loads in found.items():
        table.add_row(name, str(callers), peer.title, *_row(loads))


def _started(
    stack: ExitStack, peer: Peer, name: str, network: Network, table: Table
) -> tuple[Running, Question] | None:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    try:
        server = stack.enter_context(peer.serving(folder, name, network))
    except Unavailable as error:
        if peer is OURS:
            raise SystemExit(f"{peer.title}: {error}") from None
        table.add_row(name, "", peer.title, str(error))
        return None
    return server, ask(server, name, network, folder / "request")


def _row(loads: Sequence[Load]) -> list[str]:
    """The medians of the rounds."""

    def middle(of: Callable[[Load], float]) -> float:
        return statistics.median(map(of, loads))

    return [
        f"{middle(lambda load: load.seen.rate):,.0f}",
        f"{middle(lambda load: load.raw.rate):,.0f}",
        f"{middle(lambda load: load.seen.rate / load.raw.rate):.3f}",
        f"{middle(lambda load: load.ours / load.seen.rate):.2f}",
        f"{middle(lambda load: load.seen.p50):.2f}",
        f"{middle(lambda load: load.seen.p99):.2f}",
        f"{middle(lambda load: load.seen.cpu):,.0f}",
        f"{middle(lambda load: load.raw.cpu):,.0f}",
    ]


@click.command()
@click.option("--seconds", default=3.0, show_default=True, help="Of load for each line and round.")
@click.option("--rounds", default=3, show_default=True, help="Medians are taken of so many.")
@click.option("--network", "networks", multiple=True, type=click.Choice(list(NETWORKS)))
@click.option("--peers", is_flag=True, help="Measure KServe, MLServer and Triton beside us.")
def main(seconds: float, rounds: int, networks: Sequence[str], peers: bool) -> None:
    """Prints requests a second, their ratio to raw onnxruntime and to us, latencies, CPU."""
    if not shutil.which(H2LOAD):
        raise click.ClickException("h2load is missing; it is in Debian's package nghttp2-client")
    columns = (
        *("requests/s", "raw/s", "of raw", "Cortex is × as fast"),
        *("p50 ms", "p99 ms", "CPU µs", "raw CPU µs"),
    )
    table = Table("network", "callers", "server", *columns, box=box.MARKDOWN)
    for name in networks or NETWORKS:
        measure(name, seconds, rounds, PEERS if peers else (), table)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
