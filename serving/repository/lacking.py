"""What this machine lacks now and may have again: it says nothing of a model that did not load."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

LACKING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)  # files, memory, threads
SAID = tuple(os.strerror(number) for number in LACKING)  # onnxruntime passes on the text alone
PAUSES = (0.25, 1.0, 4.0)  # seconds


def lacking(error: BaseException) -> bool:
    """Whether an error, or what led to it, is that files, memory or threads have run out."""
    return any(
        isinstance(each, MemoryError)
        or (isinstance(each, OSError) and each.errno in LACKING)
        or any(text in str(each) for text in SAID)
        for each in _chain(error)
    )


async def patiently(what: str, work: Callable[[], Awaitable[T]]) -> T:
    """Does ``work``; while this machine is lacking something, again after each of ``PAUSES``."""
    for pause in PAUSES:
        try:
            return await work()
        except Exception as error:
            if not lacking(error):
                raise
            log.warning("%s: %s; trying again in %g s", what, " ".join(str(error).split()), pause)
            await asyncio.sleep(pause)
    return await work()


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
