"""Many requests on one stream, answered in their order and computed side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import Any

MOST = 64  # requests of a stream that are computed or wait to be sent; then it is read no further


async def in_order(
    requests: AsyncIterable[bytes], answer: Callable[[bytes], Awaitable[bytes]]
) -> AsyncGenerator[bytes]:
    """The answer to each request, in the order they came; ``answer`` raises nothing.

    Whoever closes this generator, or cancels who waits for it, ends what it has begun.
    """
    begun: asyncio.Queue[asyncio.Future[bytes] | None] = asyncio.Queue()
    room = asyncio.Semaphore(MOST)
    tasks: set[asyncio.Future[bytes]] = set()

    async def read() -> None:
        try:
            await room.acquire()
            async for request in requests:
                task = asyncio.ensure_future(answer(request))
                tasks.add(task)
                begun.put_nowait(task)
                await room.acquire()
        finally:
            begun.put_nowait(None)

    reading = asyncio.create_task(read())
    try:
        while task := await begun.get():
            yield await task
            tasks.discard(task)
            room.release()
        await reading  # what it raised
    finally:
        ended: list[asyncio.Future[Any]] = [reading, *tasks]
        for each in ended:
            each.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
