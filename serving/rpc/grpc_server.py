"""grpcio as the transport: the methods of ``service.py``, health checks, reflection."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc

from ..address import Address
from ..errors import Code, told
from ..live import Live
from ..logs import Line, access
from ..security.areas import Area
from ..security.guard import Caller
from . import health
from .call import Call, Method, Stream
from .health import Health
from .protocol import AREAS, SERVICE
from .reflection import INFO, reflecting

GRACE = 1.0  # seconds for answers that are on their way when the server closes
OPEN = dict.fromkeys((health.CHECK, health.WATCH, INFO), Area.HEALTH)
HANDSHAKE_MS = 10_000
LIMITS = (
    ("grpc.max_concurrent_streams", 1024),  # of a connection
    ("grpc.max_metadata_size", 32 << 10),
    ("grpc.absolute_max_metadata_size", 64 << 10),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),  # of TLS and of HTTP/2
    # A client that is gone without a word is found out; one may ask as often as every 10 s.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),  # else a second server would share the port in silence
)


@dataclass(frozen=True)
class GrpcServer:
    """A running server: where it listens, and what it says of its health."""

    address: Address
    health: Health


@asynccontextmanager
async def grpc_server(
    methods: Mapping[str, Method], streams: Mapping[str, Stream], address: Address, live: Live
) -> AsyncGenerator[GrpcServer]:
    """Serves ``methods`` and ``streams`` to whom ``live`` admits, until the block ends.

    Raises:
        CannotListen: the port is taken, or the address is not this machine's.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", live.settings.largest_message),
            ("grpc.max_send_message_length", live.settings.largest_message),
            ("grpc.max_allowed_incoming_connections", live.settings.max_connections),
            *LIMITS,
        ]
    )
    checks = Health()
    every = {**streams, **checks.streams, **reflecting((SERVICE, health.NAME))}
    server.add_generic_rpc_handlers((_Methods({**methods, **checks.methods}, every, live),))
    address.listen().close()  # grpcio itself does not say why it cannot
    try:
        port = _bind(server, str(address), live)
    except RuntimeError as error:
        raise address.refused(str(error)) from None
    await server.start()
    try:
        yield GrpcServer(address.at(port), checks)
    finally:
        checks.end()
        await server.stop(GRACE)


def _bind(server: Any, address: str, live: Live) -> int:
    if live.tls is None:
        return server.add_insecure_port(address)
    return server.add_secure_port(address, live.tls.credentials())


class _Methods(grpc.GenericRpcHandler):
    """Finds a method by its path; one it does not know becomes UNIMPLEMENTED.

    What nobody checks and no log wants to know of goes the short way.
    """

    def __init__(
        self, methods: Mapping[str, Method], streams: Mapping[str, Stream], live: Live
    ) -> None:
        self._live = live
        self._areas = {path: _area(path) for path in (*methods, *streams)}
        self._short = {path: _unary(method) for path, method in methods.items()}
        self._short |= {path: _streaming(stream) for path, stream in streams.items()}
        several = {path: _of_one(method) for path, method in methods.items()} | dict(streams)
        self._guarded = {
            path: _guarded(path, self._areas[path], stream, live)
            for path, stream in several.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method
        area = self._areas.get(path)
        if area is None:
            return None
        logged = area is Area.DATA and not access.disabled
        guarded = logged or self._live.guard.checks(area)
        return (self._guarded if guarded else self._short)[path]


def _area(path: str) -> Area:
    return OPEN.get(path) or AREAS.get(path, Area.CONTROL)


def _call(context: Any) -> Call:
    seconds: float | None = context.time_remaining()
    deadline = None if seconds is None else time.monotonic() + seconds
    return Call(deadline, context.invocation_metadata)


def _unary(method: Method) -> Any:
    async def answer(message: bytes, context: Any) -> bytes | None:
        try:
            return await method(message, _call(context))
        except Exception as error:
            await _abort(context, error)

    return grpc.unary_unary_rpc_method_handler(answer)


def _streaming(stream: Stream) -> Any:
    async def answer(messages: AsyncIterable[bytes], context: Any) -> AsyncGenerator[bytes]:
        try:
            async with aclosing(stream(messages, _call(context))) as answers:
                async for each in answers:
                    yield each
        except Exception as error:
            await _abort(context, error)

    return grpc.stream_stream_rpc_method_handler(answer)


def _of_one(method: Method) -> Stream:
    """A method as a stream of one message: whoever is not admitted, of him none is read."""

    async def answer(messages: AsyncIterable[bytes], call: Call) -> AsyncGenerator[bytes]:
        async for message in messages:
            yield await method(message, call)
            return

    return answer


def _guarded(path: str, area: Area, stream: Stream, live: Live) -> Any:
    """The method for those whom the guard admits, and with its line in the log."""

    async def answer(messages: AsyncIterable[bytes], context: Any) -> AsyncGenerator[bytes]:
        caller = _caller(context)
        with Line(path.rpartition("/")[2], area, caller) as line:
            try:
                line.identity = live.guard.admit(area, caller)
                async with aclosing(stream(messages, _call(context))) as answers:
                    async for each in answers:
                        yield each
            except Exception as error:
                failure = told(error)
                line.code = failure.code
                await _abort(context, failure)

    return grpc.stream_stream_rpc_method_handler(answer)


async def _abort(context: Any, error: Exception) -> None:
    failure = told(error)
    await context.abort(grpc.StatusCode[Code(failure.code).name], failure.message)


def _caller(context: Any) -> Caller:
    """Who calls; ``context.peer()`` is such as ipv4:127.0.0.1:5000 or ipv6:%5B::1%5D:5000."""
    kind, _, where = unquote(context.peer()).partition(":")
    host, _, port = where.rpartition(":") if kind in ("ipv4", "ipv6") else (kind, "", "")
    headers = dict(context.invocation_metadata() or ())
    names = context.auth_context().get("x509_common_name", ())
    return Caller(host.strip("[]"), port, headers, names[0].decode() if names else "")
