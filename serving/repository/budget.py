"""A bound on the memory of all models: whoever was asked longest ago sleeps until asked again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol

from ...runtime.errors import RepositoryError

PAUSE = 0.001  # seconds between looks at versions that are busy


class Sleeper(Protocol):
    """What takes ``size`` bytes while it is awake, and was last ``used`` at some time."""

    size: int
    used: float

    @property
    def idle(self) -> bool:
        """Whether it is awake and nobody is just about to ask it."""
        ...

    async def sleep(self) -> None:
        """Gives its memory back when the requests that it has accepted are answered."""
        ...


class Budget:
    """What all that is awake may take, in bytes; None: anything."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._awake: dict[Sleeper, None] = {}
        self._one = asyncio.Lock()

    @asynccontextmanager
    async def room(self, sleeper: Sleeper) -> AsyncGenerator[None]:
        """Makes room and holds it while ``sleeper`` wakes: after that it is counted.

        Where there is a limit only one wakes at a time.

        Raises:
            RepositoryError: it takes more than there is by itself.
        """
        if self._limit is None:
            yield
            self._awake[sleeper] = None
            return
        if sleeper.size > self._limit:
            raise RepositoryError(
                f"it takes {sleeper.size / 1e6:.1f} MB, more than --memory-budget-mb allows for all"
            )
        async with self._one:
            while sum(each.size for each in self._awake) + sleeper.size > self._limit:
                idle = [each for each in self._awake if each.idle]
                if idle:
                    await min(idle, key=lambda each: each.used).sleep()
                else:
                    await asyncio.sleep(PAUSE)
            yield
            self._awake[sleeper] = None

    def freed(self, sleeper: Sleeper) -> None:
        """It takes nothing any more."""
        self._awake.pop(sleeper, None)
