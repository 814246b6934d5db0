"""Servers of the Open Inference Protocol over gRPC, each started with one ONNX model."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import environments
import onnx
import psutil
from networks import Network

from cortex.runtime.errors import CortexError
from cortex.runtime.repository import install
from cortex.serving.client.connection import Client

SCRIPTS = Path(__file__).with_name("peers")
PATIENCE = 120  # seconds until a server has to answer
TRITON_CONFIG = """
backend: "python"
max_batch_size: 32
input [{{ name: "input", data_type: TYPE_FP32, dims: [{shape}] }}]
output [{{ name: "output", data_type: TYPE_FP32, dims: [{classes}] }}]
dynamic_batching {{ }}
instance_group [{{ kind: KIND_CPU, count: {instances} }}]
"""


@dataclass(frozen=True)
class Command:
    """How a server is started: what runs, and the variables it needs beside those of this one."""

    words: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Running:
    """A server that answers: the address of its gRPC port, and its processes."""

    grpc: str
    process: psutil.Process

    def cpu(self) -> float:
        """Seconds of CPU that it and its children have used so far."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(sum(each.cpu_times()[:2]) for each in family)


@dataclass(frozen=True)
class Peer:
    """A server to measure; ``environment`` names its requirements, empty: this interpreter's."""

    title: str
    environment: str = ""

    @contextmanager
    def serving(self, folder: Path, name: str, network: Network) -> Generator[Running]:
        """Serves one network from files in ``folder``, until the block ends.

        Raises:
            environments.Unavailable: it cannot be installed or does not come up.
        """
        python = sys.executable
        if self.environment:
            python = environments.interpreter(self.environment, environments.cache())
        port, other, third = _free_ports()
        command = self.command(Path(python), folder, name, network, (port, other, third))
        log = folder / "log"
        with log.open("w") as output:
            process = psutil.Popen(
                command.words, cwd=folder, env={**os.environ, **command.variables},
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            _wait(f"127.0.0.1:{port}", name, process, log)
            yield Running(f"127.0.0.1:{port}", process)
        finally:
            _end(process)

    def command(
        self, python: Path, folder: Path, name: str, network: Network, ports: Sequence[int]
    ) -> Command:
        """What to run, after it has put into ``folder`` what that needs."""
        raise NotImplementedError


class Cortex(Peer):
    """Ourselves, with no option but the ports."""

    def command(
        self, python: Path, folder: Path, name: str, network: Network, ports: Sequence[int]
    ) -> Command:
        with install(folder / "models", name) as version:
            onnx.save(network.model(), version.model)
        serve = str(python.with_name("cortex-serve"))
        options = ["--grpc-port", "--http-port", "--metrics-port"]
        given = [f"{option}={port}" for option, port in zip(options, ports, strict=True)]
        return Command([serve, str(folder / "models"), "-q", *given])


class KServe(Peer):
    """Its Python server."""

    def command(
        self, python: Path, folder: Path, name: str, network: Network, ports: Sequence[int]
    ) -> Command:
        onnx.save(network.model(), folder / "model.onnx")
        script = str(SCRIPTS / "kserve_server.py")
        numbers = [str(port) for port in ports[:2]]
        return Command([str(python), script, name, str(folder / "model.onnx"), *numbers])


class MLServer(Peer):
    """With adaptive batching: as many rows as ours, and the shortest window that makes it batch."""

    def command(
        self, python: Path, folder: Path, name: str, network: Network, ports: Sequence[int]
    ) -> Command:
        onnx.save(network.model(), folder / "model.onnx")
        shutil.copy(SCRIPTS / "mlserver_runtime.py", folder)
        settings = {
            "host": "127.0.0.1", "grpc_port": ports[0], "http_port": ports[1],
            "metrics_port": ports[2], "parallel_workers": 0, "debug": False,
        }  # fmt: skip
        model = {
            "name": name, "implementation": "mlserver_runtime.OnnxRuntime",
            "max_batch_size": 32, "max_batch_time": 0.001,
            "parameters": {"uri": str(folder / "model.onnx")},
        }  # fmt: skip
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))
        return Command([str(python.with_name("mlserver")), "start", str(folder)])


class Triton(Peer):
    """Its Python backend with an instance a core; the binary is the one PyTriton carries."""

    def command(
        self, python: Path, folder: Path, name: str, network: Network, ports: Sequence[int]
    ) -> Command:
        pytriton = Path(
            environments.said(
                [str(python), "-c", "import pytriton; print(*pytriton.__path__)"]
            ).splitlines()[-1]
        )
        server = pytriton / "tritonserver"
        version = folder / "models" / name / "1"
        version.mkdir(parents=True)
        onnx.save(network.model(), version / "model.onnx")
        shutil.copy(SCRIPTS / "triton_model.py", version / "model.py")
        stub = f"{sys.version_info.major}.{sys.version_info.minor}"
        backend = folder / "backends" / "python"
        shutil.copytree(server / "backends" / "python", backend)
        shutil.copy(server / "python_backend_stubs" / stub / "triton_python_backend_stub", backend)
        config = TRITON_CONFIG.format(
            shape=", ".join(map(str, network.shape)),
            classes=network.classes,
            instances=os.cpu_count(),
        )
        (version.parent / "config.pbtxt").write_text(config)
        options = ("grpc-port", "http-port", "metrics-port")
        libraries = (pytriton.with_name("nvidia_pytriton.libs"), Path(sys.base_prefix) / "lib")
        return Command(
            [
                str(server / "bin" / "tritonserver"),
                f"--model-repository={folder / 'models'}",
                f"--backend-directory={folder / 'backends'}",
                *(f"--{option}={port}" for option, port in zip(options, ports, strict=True)),
            ],
            {
                "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
                "PYTHONPATH": str(pytriton.parent),
                "CUDA_VISIBLE_DEVICES": "",
            },
        )


OURS = Cortex("Cortex")
PEERS: Sequence[Peer] = (
    KServe("KServe", "kserve"),
    MLServer("MLServer", "mlserver"),
    Triton("Triton, Python backend", "triton"),
)


def _free_ports() -> tuple[int, int, int]:
    """Three ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports[0], ports[1], ports[2]


def _wait(address: str, name: str, process: psutil.Popen, log: Path) -> None:
    """Returns when the model can be asked."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with Client(address, timeout=1) as client:
                client.metadata(name)
            return
        except CortexError:
            time.sleep(0.1)
    said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    raise environments.Unavailable(said[-1][:200] if said else "it does not come up")


def _end(process: psutil.Popen) -> None:
    if process.poll() is not None:
        return
    family = [process, *process.children(recursive=True)]
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=10)
    for each in alive:
        each.kill()
