"""grpcio as the transport: the methods of ``service.py``, health checks, reflection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from ..address import Address
from ..errors import told
from ..pb import open_inference_grpc_pb2 as pb
from .protocol import SERVICE
from .service import Call, Method

Servicer: Any = getattr(health, "aio").HealthServicer  # noqa: B009  its stubs lack the attribute

GRACE = 1.0  # seconds for answers that are on their way when the server closes
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
DESCRIBED = (pb, health_pb2, reflection_pb2)
SERVICES = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)


@dataclass(frozen=True)
class GrpcServer:
    """A running server and where it listens."""

    address: Address
    _health: _Health

    async def set_health(self, services: Mapping[str, bool]) -> None:
        """What health checks answer from now on: whether each service, by name, serves."""
        for name, serves in services.items():
            await self._health.set(name, SERVING if serves else NOT_SERVING)

    async def announce_closing(self) -> None:
        """Tells health checks that nothing is served any more, and sends their watchers home."""
        await self._health.enter_graceful_shutdown()
        self._health.closing.set()


@asynccontextmanager
async def grpc_server(
    methods: Mapping[str, Method], address: Address, largest: int
) -> AsyncGenerator[GrpcServer]:
    """Serves ``methods``, in messages of at most ``largest`` bytes, until the block ends.

    Raises:
        CannotListen: the port is taken, or the address is not this machine's.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", largest),
            ("grpc.max_send_message_length", largest),
            ("grpc.so_reuseport", 0),  # else a second server would share the port in silence
        ]
    )
    server.add_generic_rpc_handlers((_Methods(methods),))
    servicer = _Health()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection(SERVICES, server, _descriptions())
    await servicer.set("", NOT_SERVING)
    address.listen().close()  # grpcio itself does not say why it cannot
    try:
        port = server.add_insecure_port(str(address))
    except RuntimeError as error:
        raise address.refused(str(error)) from None
    await server.start()
    try:
        yield GrpcServer(address.at(port), servicer)
    finally:
        await server.stop(GRACE)


class _Methods(grpc.GenericRpcHandler):
    """Finds a method by its path; one it does not know becomes UNIMPLEMENTED."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._handlers = {path: _handler(method) for path, method in methods.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handlers.get(handler_call_details.method)


def _handler(method: Method) -> Any:
    async def answer(message: bytes, context: Any) -> bytes | None:
        seconds: float | None = context.time_remaining()
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            return await method(message, Call(deadline))
        except Exception as error:
            failure = told(error)
            await context.abort(grpc.StatusCode[failure.code.name], failure.message)

    return grpc.unary_unary_rpc_method_handler(answer)


class _Health(Servicer):
    """Health checks whose watchers are sent home when the server closes; they would hold it up."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = asyncio.Event()

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802  the name is the protocol's
        watch = asyncio.create_task(super().Watch(request, context))
        closing = asyncio.create_task(self.closing.wait())
        try:
            await asyncio.wait((watch, closing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch.cancel()
            closing.cancel()


def _descriptions() -> DescriptorPool:
    """What reflection tells: a pool of its own, as our messages are not in the process-wide one."""
    pool = DescriptorPool()
    for module in DESCRIBED:
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool
