"""What waits to be run: requests in groups that may share a batch, the most urgent first."""

from __future__ import annotations

import asyncio
import math
from bisect import insort
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

Array = NDArray[Any]
Arrays: TypeAlias = Sequence[Array]
Execute: TypeAlias = Callable[[Arrays], Arrays]

LEVEL = 1.0
"""Seconds of waiting that weigh as much as one level of priority: that long, times the levels
between them, is the most by which later requests of a higher priority can hold one up."""


@dataclass(slots=True)
class Ran:
    """A batch that has run; times are on the clock of ``time.monotonic``.

    ``mark`` is for whoever is told of it several times, once for each request.
    """

    rows: int
    requests: int
    began: float
    gathered: float
    ran: float
    ended: float
    mark: Any = None


Follow: TypeAlias = Callable[[Ran, float], None]
"""Told, on the event loop, of the batch in which a request ran, and since when it had waited."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is gathered, and for how long.

    Attributes:
        max_batch: most rows gathered into one execution. A request that brings more by itself runs
            alone, uncut.
        delay: seconds that a batch which is not full waits for more.
        max_queue: most requests that wait.
        runners: threads that execute batches side by side.
        priority: of requests that name none; 1 is the highest.
    """

    max_batch: int = 32
    delay: float = 0.0
    max_queue: int = 1024
    runners: int = 1
    priority: int = 10


@dataclass(slots=True, eq=False)
class Request:
    """One request that waits or runs.

    ``kind``: what it executes, on what shapes and dtypes. ``mates``: requests with equal ones may
    share a batch. ``ripe``: when it has waited for mates long enough. The lowest ``order`` runs
    first.
    """

    execute: Execute
    inputs: Arrays
    rows: int
    kind: Hashable
    mates: Hashable
    since: float
    ripe: float
    order: float
    deadline: float
    reply: asyncio.Future[Arrays]
    follow: Follow | None

    def __lt__(self, other: Request) -> bool:
        return self.order < other.order

    def dropped(self, now: float) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.reply.done() or now >= self.deadline


class Group:
    """Requests that may share a batch, in their order."""

    __slots__ = ("requests", "rows")

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.rows = 0


class Queue:
    """All that waits for one batcher, which sees to it that one thread uses this at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._groups: dict[Hashable, Group] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __contains__(self, mates: Hashable) -> bool:
        return mates in self._groups

    def add(self, request: Request) -> None:
        """Puts a request behind those of its order."""
        group = self._groups.get(request.mates)
        if group is None:
            group = self._groups[request.mates] = Group()
        insort(group.requests, request)
        group.rows += request.rows
        self._length += 1

    def remove(self, request: Request) -> None:
        """Takes a request out if it still waits."""
        group = self._groups.get(request.mates)
        if group and request in group.requests:
            group.requests.remove(request)
            self._left(request.mates, group, [request])

    def next(self, now: float, hurry: bool) -> tuple[Hashable, float]:
        """The group to run next, and when it may: 0 for at once, infinity for never.

        It is the one with the most urgent request of those that are ripe by ``now``; with none
        ripe, the one that will be first. ``hurry``: all are ripe.
        """
        best: tuple[Hashable, float] = (None, math.inf)
        order = math.inf
        for mates, group in self._groups.items():
            at = 0.0 if hurry else self._ripe(group)
            first = group.requests[0].order
            if at <= now and first < order:
                best, order = (mates, 0.0), first
            elif order == math.inf and at < best[1]:
                best = mates, at
        return best

    def ahead(self, mates: Hashable) -> tuple[Hashable, int]:
        """Of what kind the next batch of a group is, and how many rows the whole of it has."""
        group = self._groups[mates]
        first = group.requests[0]
        return first.kind, max(first.rows, min(group.rows, self._limits.max_batch))

    def take(self, mates: Hashable, now: float, *, whole: bool = False) -> list[Request]:
        """The next batch of a group, without those for which nobody waits; it may be empty.

        ``whole``: all that fits into it, and not only a thread's part.
        """
        group = self._groups[mates]
        most = self._limits.max_batch
        room = min(group.rows, most) if whole else share(group.rows, self._limits)
        count = 0
        batch: list[Request] = []
        for request in group.requests:
            if request.dropped(now):
                count += 1
                continue
            if batch and request.rows > room:
                break
            batch.append(request)
            room -= request.rows
            count += 1
        taken = group.requests[:count]
        del group.requests[:count]
        self._left(mates, group, taken)
        return batch

    def _left(self, mates: Hashable, group: Group, requests: Sequence[Request]) -> None:
        self._length -= len(requests)
        group.rows -= sum(request.rows for request in requests)
        if not group.requests:
            del self._groups[mates]

    def _ripe(self, group: Group) -> float:
        """When a group may run, by the clock."""
        if not self._limits.delay or group.rows >= self._limits.max_batch:
            return 0.0
        return min(request.ripe for request in group.requests)


def share(rows: int, limits: Limits) -> int:
    """How many of the ``rows`` that wait a thread may take: its part of them.

    Whoever took all would leave the others idle, and its answers would bring the next requests all
    at once again: half the cores for good. Rows that were gathered by waiting stay together.
    """
    fair = rows if limits.delay else math.ceil(rows / limits.runners)
    return min(fair, limits.max_batch)
