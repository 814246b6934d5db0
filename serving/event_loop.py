"""The event loop of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def event_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Makes loops of uvloop's kind, which cost a tenth of a small request less; else asyncio's."""
    try:
        import uvloop
    except ImportError:  # it does not build everywhere
        return asyncio.new_event_loop
    return uvloop.new_event_loop
