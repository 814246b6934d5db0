"""The server's life as one context: open, listen, load and prove, serve, drain, close."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from .address import Address
from .metrics import Metrics
from .models import Models
from .plane import Plane
from .rest.app import metrics_app, rest_app
from .rest.http_server import http_server
from .rpc.grpc_server import grpc_server
from .rpc.protocol import SERVICE
from .rpc.service import methods
from .settings import Settings

DISTRIBUTION = "cortex-inference"
LINGER = 0.2
"""Seconds for telling requests that come too late: once grpcio closes, it cuts them off unheard."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers: where, and whether each version is ready, by ``NAME/VERSION``."""

    grpc: Address
    http: Address
    metrics: Address
    models: Mapping[str, bool]


@asynccontextmanager
async def serving(settings: Settings) -> AsyncGenerator[Server]:
    """Serves a repository; on leaving, finishes accepted requests, for ``drain_seconds`` at most.

    Raises:
        RepositoryError: there is no repository.
        CannotListen: a port is taken.
        MissingExtra: onnxruntime is not installed.
    """
    release = version(DISTRIBUTION)
    metrics = Metrics(release)

    def at(port: int, option: str) -> Address:
        return Address(settings.host, port, option)

    async with Models(Path(settings.models[0]), metrics) as models:
        plane = Plane(models, metrics, release)
        async with (
            http_server(metrics_app(metrics), at(settings.metrics_port, "--metrics-port")) as page,
            http_server(rest_app(plane), at(settings.http_port, "--http-port")) as http,
            grpc_server(
                methods(plane), at(settings.grpc_port, "--grpc-port"), settings.largest_message
            ) as grpc,
        ):
            await models.load()
            plane.ready = True
            ready = {name: models.is_ready(name) for name in models}
            await grpc.set_health({"": True, SERVICE: True, **ready})
            try:
                yield Server(grpc.address, http, page, models.states())
            finally:
                await grpc.announce_closing()
                await plane.drain(settings.drain_seconds)
                await asyncio.sleep(LINGER)


async def serve_until_signal(
    settings: Settings, announce: Callable[[Server], None]
) -> signal.Signals:
    """Serves until SIGTERM or SIGINT and returns which it was; a second one ends it at once.

    ``announce`` is told when the models are loaded.

    Raises:
        CortexError: as ``serving``.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        received.append(number)
        for each in SIGNALS:
            loop.remove_signal_handler(each)
        if task is not None:
            task.cancel()  # wherever it is, loading included

    for number in SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        async with serving(settings) as server:
            announce(server)
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not received:
            raise
    return received[0]
