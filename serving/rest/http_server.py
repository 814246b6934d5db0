"""uvicorn as a guest: on an open socket, within our event loop, under our signal handlers."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from ..address import BACKLOG, Address
from ..live import Live
from .patience import Patient

PATIENCE = 2  # seconds for answers under way when the server closes
HANDSHAKE = 10.0  # seconds for one of TLS
KEEP_ALIVE = 75  # seconds: longer than load balancers keep an idle connection, so that they end it


class _Guest(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leaves the signals to the host."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens with a limit on the TLS handshake, for which uvicorn has no option."""
        context: ssl.SSLContext | None = self.config.ssl
        make: Any = functools.partial(
            self.config.http_protocol_class,
            config=self.config,
            server_state=self.server_state,
            app_state={},
        )
        assert sockets
        self.servers = [
            await asyncio.get_running_loop().create_server(
                make,
                sock=sockets[0],
                ssl=context,
                backlog=BACKLOG,
                ssl_handshake_timeout=HANDSHAKE if context else None,
            )
        ]
        self.started = True


@asynccontextmanager
async def http_server(
    app: ASGIApp, address: Address, live: Live, context: ssl.SSLContext | None = None
) -> AsyncGenerator[Address]:
    """Serves ``app``, over TLS if there is a ``context``; yields where it listens.

    Raises:
        CannotListen: the port is taken, or the address is not this machine's.
    """
    protocol: Any = functools.partial(Patient, live)
    with (
        address.listen() as listener
    ):  # connections that come before uvicorn is up wait in its backlog
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            log_level="error",  # its warnings are about what clients send
            proxy_headers=False,  # who calls is who is connected
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=PATIENCE,
        )
        config.load()
        config.ssl = context
        server = _Guest(config)
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield address.at(listener.getsockname()[1])
        finally:
            server.should_exit = True
            await serving
