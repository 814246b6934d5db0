"""A server in a thread of this process, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cortex.serving.event_loop import event_loop
from cortex.serving.server import Server, serving
from cortex.serving.settings import Settings


def anywhere(root: Path, **settings: Any) -> Settings:
    """Settings on free ports."""
    return Settings((str(root),), http_port=0, grpc_port=0, metrics_port=0, **settings)


@contextmanager
def running(root: Path, **settings: Any) -> Generator[Server]:
    """Serves ``root`` until the block ends."""
    started: Future[tuple[Server, asyncio.Event]] = Future()
    loop = event_loop()()

    async def serve() -> None:
        try:
            async with serving(anywhere(root, **settings)) as server:
                leave = asyncio.Event()
                started.set_result((server, leave))
                await leave.wait()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        server, leave = started.result()
        try:
            yield server
        finally:
            loop.call_soon_threadsafe(leave.set)
    finally:
        thread.join()
