"""Programs that answer with layers inside a model, made when they are first asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from .session import Program

MOST = 4  # programs kept; each may hold its own copy of the weights that lead to its layers


class LayerPrograms:
    """The programs for the sets of layers asked for lately, the least recent first.

    One is made at a time, off the event loop; requests for the same set share it. ``make`` is given
    the names in order and returns a program with these outputs, in that order.
    """

    def __init__(self, make: Callable[[Sequence[str]], Program]) -> None:
        self._make = make
        self._one = asyncio.Lock()
        self._programs: dict[tuple[str, ...], asyncio.Task[Program]] = {}

    async def get(self, names: tuple[str, ...]) -> Program:
        """The program whose outputs are ``names``, in that order."""
        task = self._programs.pop(names, None) or asyncio.create_task(self._build(names))
        self._programs[names] = task
        if len(self._programs) > MOST:
            del self._programs[next(iter(self._programs))]
        try:
            return await asyncio.shield(task)  # a caller that leaves must not end it for the others
        except Exception:
            self._programs.pop(names, None)  # the next request tries again
            raise

    async def _build(self, names: tuple[str, ...]) -> Program:
        async with self._one:
            return await asyncio.to_thread(self._make, names)
