"""How fast cortex-serve answers, against onnxruntime called directly, on one machine in one run.

    python benchmarks/serve.py [--seconds 3] [--rounds 3] [--network mobilenet_v2 ...]

Client and server share the machine's cores. The load is h2load's, which speaks HTTP/2 and so gRPC,
with one image a request; every answer is counted by the server's own metrics, and one is compared
with onnxruntime's.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import onnxruntime as ort
from networks import NETWORKS, Network
from prometheus_client.parser import text_string_to_metric_families
from rich import box
from rich.console import Console
from rich.table import Table

from cortex.runtime.repository import install
from cortex.serving.client.connection import Client, request
from cortex.serving.rpc.protocol import path

H2LOAD = "h2load"
CONNECTIONS = 4  # at most; the callers of one connection share it as parallel streams
TICK = 100  # of the kernel's clock, a second


@dataclass(frozen=True)
class Speed:
    """Images a second, and µs of CPU for each."""

    rate: float
    cpu: float


@dataclass(frozen=True)
class Load(Speed):
    """What so many callers saw: latencies in ms, and the rate of raw onnxruntime just before."""

    p50: float
    p99: float
    raw: Speed

    @property
    def ratio(self) -> float:
        """Served over raw."""
        return self.rate / self.raw.rate


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
class Served:
    """A running cortex-serve."""

    process: subprocess.Popen[str]
    grpc: str
    metrics: str

    def answered(self, model: str) -> dict[str, float]:
        """Requests answered so far, by status."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics") as page:
            families = text_string_to_metric_families(page.read().decode())
        return {
            sample.labels["code"]: sample.value
            for family in families
            for sample in family.samples
            if sample.name == "cortex_requests_total" and sample.labels["model"] == model
        }

    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK


@contextmanager
def served(root: Path) -> Generator[Served]:
    """Serves a repository on free ports."""
    command = [
        str(Path(sys.executable).with_name("cortex-serve")),
        str(root),
        "--grpc-port=0",
        "--http-port=0",
        "--metrics-port=0",
    ]
    process = subprocess.Popen([*command, "-q"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        words = process.stdout.readline().replace(",", " ").replace(";", " ").split()
        at = {word: words[place + 1] for place, word in enumerate(words[:-1])}
        yield Served(process, at["gRPC"], at["metrics"])
    finally:
        process.terminate()
        process.wait()


def load(
    server: Served, model: str, message: Path, callers: int, seconds: float, ceiling: Speed
) -> Load:
    """Lets so many callers ask for so many seconds, after a second to warm up."""
    connections = min(callers, CONNECTIONS)
    with tempfile.NamedTemporaryFile() as log:
        command = [
            H2LOAD,
            f"-c{connections}",
            f"-m{callers // connections}",
            f"-D{round(seconds * 1000)}ms",
        ]
        command += ["--warm-up-time=1", f"--log-file={log.name}", f"-d{message}"]
        command += ["-Hcontent-type: application/grpc", "-Hte: trailers"]
        before, cpu = server.answered(model), server.cpu()
        subprocess.run(
            [*command, f"http://{server.grpc}{path('ModelInfer')}"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        after, cpu = server.answered(model), server.cpu() - cpu
        took = np.loadtxt(log.name, usecols=2, ndmin=1) / 1000  # ms
    counted = {code: value - before.get(code, 0) for code, value in after.items()}
    answers = counted.pop("OK")
    if failed := {code: value for code, value in counted.items() if value and code != "CANCELLED"}:
        raise SystemExit(f"{model}: not every answer was OK: {failed}")
    if answers < len(took):
        raise SystemExit(f"{model}: h2load counts {len(took)} answers, the server {answers:.0f}")
    p50, p99 = np.percentile(took, [50, 99])
    return Load(len(took) / seconds, cpu / answers * 1e6, float(p50), float(p99), ceiling)


def ask(server: Served, model: str, network: Network) -> bytes:
    """Compares one answer with onnxruntime's; returns the request as gRPC frames it."""
    image = network.images(1)
    with Client(server.grpc) as client:
        answer = client.infer(model, {"input": image})
    message = request(model, {"input": image})
    session = ort.InferenceSession(network.model().SerializeToString())
    wanted: Any = session.run(None, {"input": image})
    np.testing.assert_allclose(answer.outputs["output"], wanted[0], rtol=1e-4, atol=1e-6)
    return b"\0" + len(message).to_bytes(4, "big") + message


def measure(name: str, seconds: float, rounds: int, table: Table) -> None:
    """Measures one network in turns with raw onnxruntime, and adds its rows to the table."""
    network = NETWORKS[name]
    found: dict[int, list[Load]] = {callers: [] for callers in network.callers}
    with tempfile.TemporaryDirectory() as folder:
        with install(Path(folder) / "models", name) as version:
            onnx.save(network.model(), version.model)
        with served(Path(folder) / "models") as server:
            message = Path(folder) / "request"
            message.write_bytes(ask(server, name, network))
            for _ in range(rounds):
                ceiling = raw(network, seconds / 3)
                for callers, loads in found.items():
                    loads.append(load(server, name, message, callers, seconds, ceiling))
    for callers, loads in found.items():
        table.add_row(name, str(callers), *_row(loads))


def _row(loads: Sequence[Load]) -> list[str]:
    """The medians of the rounds."""

    def middle(of: Callable[[Load], float]) -> float:
        return statistics.median(map(of, loads))

    return [
        f"{middle(lambda load: load.rate):,.0f}",
        f"{middle(lambda load: load.raw.rate):,.0f}",
        f"{middle(lambda load: load.ratio):.3f}",
        f"{middle(lambda load: load.p50):.2f}",
        f"{middle(lambda load: load.p99):.2f}",
        f"{middle(lambda load: load.cpu):,.0f}",
        f"{middle(lambda load: load.raw.cpu):,.0f}",
    ]


@click.command()
@click.option("--seconds", default=3.0, show_default=True, help="Of load for each line and round.")
@click.option("--rounds", default=3, show_default=True, help="Medians are taken of so many.")
@click.option("--network", "networks", multiple=True, type=click.Choice(list(NETWORKS)))
def main(seconds: float, rounds: int, networks: Sequence[str]) -> None:
    """Prints requests a second, their ratio to raw onnxruntime, latencies, CPU of both."""
    if not shutil.which(H2LOAD):
        raise click.ClickException("h2load is missing; it is in Debian's package nghttp2-client")
    columns = ("requests/s", "raw/s", "ratio", "p50 ms", "p99 ms", "server CPU µs", "raw CPU µs")
    table = Table("network", "callers", *columns, box=box.MARKDOWN)
    for name in networks or NETWORKS:
        measure(name, seconds, rounds, table)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
