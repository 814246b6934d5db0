"""HTTP connections that end when their client is too slow, says too much, or is one too many.

What can be sent in one go is given ``receive_seconds``; a large body is given longer, as if its
client had sent no slower than ``SLOWEST``. Without this a client that sends a byte a second would
keep its connection for days, and a thousand of those would keep everybody else out.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from ..live import Live

Protocol: Any = H11Protocol  # what uvicorn always has, whatever else is installed
SLOWEST = 16 << 10  # bytes a second
LARGEST_HEAD = 64 << 10  # bytes of a request line and its headers
CERTIFICATE = "certificate"
"""Under which an ASGI scope's state has the name in the client's certificate."""


class Patient(Protocol):
    """uvicorn's protocol within limits."""

    def __init__(self, live: Live, **given: Any) -> None:
        super().__init__(**given)
        self._live = live
        self._began = 0.0  # when the request that is being received did
        self._received = 0  # bytes of it
        self._timer: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, CERTIFICATE: _common_name(transport)}
        if len(self.connections) > self._live.settings.max_connections:
            transport.abort()
        else:
            self._begin()
            self._watch_reading(self._live.settings.receive_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._timer is None:
            self._begin()
        before, self._received = self.cycle, self._received + len(data)
        super().data_received(data)
        if self.transport.is_closing() or not self._receiving():
            self._end()
            return
        if self.cycle is before and not self._in_body() and self._received > LARGEST_HEAD:
            self._refuse(431, f"the headers take more than {LARGEST_HEAD} bytes; send fewer")
        elif self._timer is None:
            self._watch_reading(self._live.settings.receive_seconds)

    def pause_writing(self) -> None:
        """The client does not read its answer as fast as it is written."""
        super().pause_writing()
        self._watch_writing(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck:
            self._stuck.cancel()
            self._stuck = None

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        # What the client has not read until now would keep the connection open after its end.
        self.loop.call_later(self._live.settings.receive_seconds, self.transport.abort)

    def _in_body(self) -> bool:
        return self.cycle is not None and self.cycle.more_body

    def _receiving(self) -> bool:
        """Whether a request is incomplete; asked after bytes have arrived."""
        return self.cycle is None or self.cycle.more_body or self.cycle.response_complete

    def _begin(self) -> None:
        self._began, self._received = time.monotonic(), 0

    def _end(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _watch_reading(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._check_reading)

    def _check_reading(self) -> None:
        allowed = self._live.settings.receive_seconds + self._received / SLOWEST
        left = self._began + allowed - time.monotonic()
        if self.flow.read_paused:  # it is we who are slow
            self._began = time.monotonic()
            left = allowed
        if left > 0:
            self._watch_reading(left)
        else:
            self._refuse(408, f"no whole request came within {allowed:.0f} s; send it faster")

    def _watch_writing(self, waiting: int) -> None:
        self._stuck = self.loop.call_later(
            self._live.settings.receive_seconds, self._check_writing, waiting
        )

    def _check_writing(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting < before:
            self._watch_writing(waiting)
        else:
            self.transport.abort()

    def _refuse(self, status: int, message: str) -> None:
        """Answers if nothing was answered yet, and closes the connection."""
        self._end()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = json.dumps({"error": message}).encode()
            self.transport.write(
                b"HTTP/1.1 %d \r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%s" % (status, len(body), body)
            )
        self.transport.close()
        self.loop.call_later(1, self.transport.abort)


def _common_name(transport: asyncio.Transport) -> str:
    """The name in the client's certificate; empty if it showed none."""
    found: Mapping[str, Any] = transport.get_extra_info("peercert") or {}
    subject: Sequence[Sequence[tuple[str, str]]] = found.get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    return names[0] if names else ""
