"""The latest news of a training, for readers who come and go at their own pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

QUIET = 15.0
"""Seconds after which a reader is told that there is nothing new: so the dead are noticed."""


class Board:
    """Holds one text. Any thread may write; readers are coroutines of one event loop.

    There is no queue: who is slow misses what stood there in between, and holds nobody up.

    Attributes:
        readers: how many there are.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._latest = 0, ""  # one assignment, so that a reader never sees half of it
        self._changed = asyncio.Event()
        self._closed = False
        self.readers = 0

    def write(self, text: str) -> None:
        """Replaces the text."""
        self._latest = self._latest[0] + 1, text
        self._wake()

    def close(self) -> None:
        """Readers get what stands here now, and then no more."""
        self._closed = True
        self._wake()

    async def read(self) -> AsyncIterator[str | None]:
        """The text now and whenever it has changed; None after a while of silence."""
        self.readers += 1
        try:
            seen = 0
            while True:
                changed, closed = self._changed, self._closed  # first, or a change is missed
                number, text = self._latest
                if number > seen:
                    seen = number
                    yield text
                elif closed:
                    return
                elif not await _within(QUIET, changed):
                    yield None
        finally:
            self.readers -= 1

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop is gone: so are the readers
            self._loop.call_soon_threadsafe(self._turn)

    def _turn(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Whether something happens in time."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
