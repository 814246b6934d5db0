"""uvicorn as a guest: on an open socket, within our event loop, under our signal handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette

from ..address import Address

PATIENCE = 2  # seconds for answers under way when the server closes


class _Guest(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leaves the signals to the host."""
        yield


@asynccontextmanager
async def http_server(app: Starlette, address: Address) -> AsyncGenerator[Address]:
    """Serves ``app``; yields where it listens.

    Raises:
        CannotListen: the port is taken, or the address is not this machine's.
    """
    with (
        address.listen() as listener
    ):  # connections that come before uvicorn is up wait in its backlog
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=PATIENCE,
        )
        server = _Guest(config)
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield address.at(listener.getsockname()[1])
        finally:
            server.should_exit = True
            await serving
