"""A version that has been proved: awake, with a session, or asleep to spare memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from time import monotonic, perf_counter
from typing import TypeAlias

from ...runtime.errors import CortexError
from ..engine.engines import Engines
from ..engine.replay import Proof
from ..model import Model, OpenModel
from ..statistics import Statistics
from .budget import PAUSE, Budget
from .lacking import patiently
from .layout import FoundVersion, PlacedVersion
from .triton import Declared

log = logging.getLogger(__name__)

Identity: TypeAlias = tuple[FoundVersion, Declared]


class ServedVersion:
    """One version, from its first proof to its removal. ``model`` is None while it sleeps.

    Its counts outlive its sleep. ``lost`` is told, with the error, if it does not wake again.
    """

    def __init__(
        self,
        identity: Identity,
        engines: Engines,
        statistics: Statistics,
        budget: Budget,
        lost: Callable[[ServedVersion, Exception], None],
    ) -> None:
        self.found, self._declared = identity
        self.identity = identity
        self.path: Path | None = None  # where it was loaded from
        self.size = self.found.size * max(1, len(self._declared.config.devices))
        self.used = monotonic()
        self.model: Model | None = None
        self._closing: Model | None = None
        self._closed = False
        self._engines = engines
        self._statistics = statistics
        self._budget = budget
        self._lost = lost
        self._callers = 0  # that wait for it to wake
        self._waking: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The model's."""
        return self.found.name

    @property
    def version(self) -> str:
        """Its number."""
        return str(self.found.number)

    @property
    def idle(self) -> bool:
        """As ``Sleeper``."""
        return self.model is not None and not self._callers

    async def load(self) -> None:
        """Opens and proves it.

        Raises:
            Exception: it does not open or does not reproduce its check; a ``CortexError`` unless
                the fault is ours.
        """
        began = perf_counter()
        try:
            proof = await patiently(self.found.place, self._open)
        except Exception as error:
            self._statistics.loaded(perf_counter() - began, error)
            raise
        self._statistics.loaded(perf_counter() - began)
        self.used = monotonic()
        log.info("%s: ready%s", self.found.place, _proved(proof))

    async def _open(self) -> Proof | None:
        placed = await asyncio.to_thread(self.found.bring, self._declared)
        self.path = placed.path
        async with self._budget.room(self):
            opened = await asyncio.to_thread(open_proved, placed, self._declared, self._engines)
            self.model = await Model(opened, self._statistics).__aenter__()
        return opened.proof

    async def wake(self) -> None:
        """Has it loaded again, once for all who ask; then it is awake, or lost, or closed."""
        self._callers += 1
        try:
            if self._waking is None:
                self._waking = asyncio.create_task(self._wake())
            await asyncio.shield(self._waking)  # one caller that leaves must not end it for all
        finally:
            self._callers -= 1

    async def _wake(self) -> None:
        try:
            if self.model is None and not self._closed:
                await self.load()
        except Exception as error:
            self._lost(self, error)
        finally:
            self._waking = None
        if self._closed:
            await self.sleep()

    async def sleep(self) -> None:
        """As ``Sleeper``."""
        model, self.model = self.model, None
        if model is None:
            return
        self._closing = model
        await model.unused()
        await model.__aexit__()
        self._closing = None
        self._budget.freed(self)
        if not self._closed:  # else it may have a successor, whose queue is looked at now
            self._statistics.waiting = int
            log.info("%s: unloaded until it is asked again, to keep the budget", self.found.place)

    async def close(self) -> None:
        """Ends it when the requests that it has accepted are answered."""
        self._closed = True
        if self._waking:
            await self._waking
        await self.sleep()
        while self._closing:  # it was about to sleep anyway
            await asyncio.sleep(PAUSE)

    def stop(self) -> None:
        """Ends the runs under way, whose answers nobody waits for any more."""
        for model in (self.model, self._closing):
            if model is not None:
                model.stop()


def open_proved(placed: PlacedVersion, declared: Declared, engines: Engines) -> OpenModel:
    """Opens a version, replays its check and holds it against its settings; blocks.

    Raises:
        CortexError: it is not what it should be.
    """
    opened = OpenModel.open(placed, engines)
    declared.hold_against(opened.program.inputs, opened.program.outputs)
    return opened


def _proved(proof: Proof | None) -> str:
    if proof is None:
        return ""
    rows = ", ".join(map(str, proof.rows))
    batches = f" in batches of {rows} rows" if rows else ""
    return f": its check ({proof.evidence}) comes out within {proof.largest:.1e}{batches}"


def told(error: Exception) -> str:
    """Why something did not load, on one line; what is no ``CortexError`` is our own fault."""
    kind = "" if isinstance(error, CortexError) else f"unexpected {type(error).__name__}: "
    return kind + " ".join(str(error).split())
