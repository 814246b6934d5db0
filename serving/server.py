"""The server's life as one context: open, listen, load and prove, serve, drain, close."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from .address import Address
from .cache import Cache
from .live import Live
from .metrics import Metrics
from .models import Models
from .plane import Plane
from .rest.app import metrics_app, rest_app
from .rest.http_server import http_server
from .rpc.grpc_server import GrpcServer, grpc_server
from .rpc.protocol import SERVICE
from .rpc.service import methods, streams
from .settings import Settings
from .shared_memory import Regions

if TYPE_CHECKING:
    from .tracing import Tracer

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
    live: Live


@asynccontextmanager
async def serving(settings: Settings) -> AsyncGenerator[Server]:
    """Serves a repository; on leaving, finishes accepted requests, for ``drain_seconds`` at most.

    Raises:
        RepositoryError: there is no repository.
        CannotListen: a port is taken.
        MissingExtra: onnxruntime is not installed.
        UnreadableFile: certificates or tokens cannot be read.
    """
    release = version(DISTRIBUTION)
    metrics = Metrics(release, nv_metrics=settings.nv_metrics)
    live = Live(settings)
    tls = live.tls.context() if live.tls else None
    open_tls = live.tls.context(ask_client=settings.protect_metrics) if live.tls else None

    def at(port: int, option: str) -> Address:
        return Address(settings.host, port, option)

    cache = Cache(settings.cache_mb << 20) if settings.cache_mb else None
    regions = Regions(settings.largest_message, settings.shared_memory)
    async with (
        _tracer(settings.trace_endpoint, release) as tracer,
        Models(settings, metrics) as models,
    ):
        plane = Plane(models, metrics, release, cache, regions, tracer)
        live.follow(plane.limit)
        async with (
            http_server(
                metrics_app(metrics, plane, live),
                at(settings.metrics_port, "--metrics-port"),
                live,
                open_tls,
            ) as page,
            http_server(
                rest_app(plane, live), at(settings.http_port, "--http-port"), live, tls
            ) as http,
            grpc_server(
                methods(plane), streams(plane), at(settings.grpc_port, "--grpc-port"), live
            ) as grpc,
        ):
            await models.start()
            models.changed.set()
            told = asyncio.Event()
            following = asyncio.create_task(
                _follow(models, plane, grpc, settings.strict_readiness, told)
            )
            await told.wait()
            try:
                yield Server(grpc.address, http, page, models.states(), live)
            finally:
                following.cancel()
                plane.ready = False
                grpc.health.announce_closing()
                await asyncio.sleep(live.settings.drain_delay)
                grpc.health.end()
                await plane.drain(live.settings.drain_seconds)
                await asyncio.sleep(LINGER)
                regions.unregister()


async def _follow(
    models: Models, plane: Plane, grpc: GrpcServer, strict: bool, told: asyncio.Event
) -> None:
    """Keeps what is said of the server's health true while its models come and go."""
    known: dict[str, bool] = {}
    while True:
        await models.changed.wait()
        models.changed.clear()
        plane.ready = models.sound or not strict
        known = dict.fromkeys(known, False) | {name: models.is_ready(name) for name in models}
        grpc.health.set({"": plane.ready, SERVICE: plane.ready, **known})
        told.set()


@asynccontextmanager
async def _tracer(endpoint: str | None, release: str) -> AsyncGenerator[Tracer | None]:
    if endpoint is None:
        yield None
        return
    from .tracing import exporting

    async with exporting(endpoint, release) as tracer:
        yield tracer


async def serve_until_signal(
    settings: Settings,
    announce: Callable[[Server], None],
    reread: Callable[[], Settings] | None = None,
) -> signal.Signals:
    """Serves until SIGTERM or SIGINT and returns which it was; a second one ends it at once.

    ``announce`` is told when the models are loaded. SIGHUP takes up what ``reread`` finds.

    Raises:
        CortexError: as ``serving``.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection is a file
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
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # one that comes early must not end it
    try:
        async with serving(settings) as server:
            loop.add_signal_handler(signal.SIGHUP, server.live.renew, reread or (lambda: settings))
            announce(server)
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not received:
            raise
    return received[0]
