"""``grpc.health.v1``: whether the server, and each model, is served; from bytes to bytes as others.

The servicer that grpcio brings answers a malformed message with UNKNOWN and a traceback in the log,
and when one of two who watch a service leaves, it tells the other no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Mapping

from grpc_health.v1 import health_pb2

from ..errors import NotFound
from .call import Call, Method, Stream
from .parsing import parsed

NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
CHECK, WATCH = f"/{NAME}/Check", f"/{NAME}/Watch"
Status = health_pb2.HealthCheckResponse


class Health:
    """What health checks answer, by service; the server's own name is empty.

    Once its closing is announced nothing is served any more; ``end`` sends home who watches.
    """

    def __init__(self) -> None:
        self._serves = {"": False}
        self._closing = self._ended = False
        self._changed = asyncio.Event()

    @property
    def methods(self) -> Mapping[str, Method]:
        """By their paths."""
        return {CHECK: self._check}

    @property
    def streams(self) -> Mapping[str, Stream]:
        """By their paths."""
        return {WATCH: self._watch}

    def set(self, services: Mapping[str, bool]) -> None:
        """Whether each of the services serves from now on."""
        self._serves.update(services)
        self._tell()

    def announce_closing(self) -> None:
        """Nothing is served any more, whatever is set."""
        self._closing = True
        self._tell()

    def end(self) -> None:
        """Ends the checks that last; they would hold the server up."""
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _status(self, service: str) -> Status.ServingStatus | None:
        serves = self._serves.get(service)
        if serves is None:
            return None
        return Status.SERVING if serves and not self._closing else Status.NOT_SERVING

    async def _check(self, message: bytes, call: Call) -> bytes:
        service = parsed(health_pb2.HealthCheckRequest, message).service
        status = self._status(service)
        if status is None:
            raise NotFound(f"service {service[:100]!r} is not here")
        return Status(status=status).SerializeToString()

    async def _watch(self, messages: AsyncIterable[bytes], call: Call) -> AsyncGenerator[bytes]:
        async for message in messages:
            service, told = parsed(health_pb2.HealthCheckRequest, message).service, None
            while not self._ended:
                changed, status = self._changed, self._status(service) or Status.SERVICE_UNKNOWN
                if status != told:
                    yield Status(status=status).SerializeToString()
                    told = status
                await changed.wait()
            return
