"""Gathers requests into batches and runs them on threads of its own.

It knows neither gRPC nor ONNX nor Prometheus: what to run is given with each request, and an
``Observer`` is told what happened. It never waits by default: while the threads are busy, requests
gather, and whichever thread is free next takes what fits. One call brings a whole finished batch
back to the event loop; a hand-over for each request would cost more than running a small model.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from time import monotonic
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import Expired, Overloaded, Unavailable

Array = NDArray[Any]
Arrays: TypeAlias = Sequence[Array]
Execute: TypeAlias = Callable[[Arrays], Arrays]


class Observer(Protocol):
    """Who is told, on the event loop, what the batcher did. All times are in seconds."""

    def executed(self, rows: int, seconds: float, waited: Sequence[float]) -> None:
        """A batch ran for ``seconds``; each of its requests had ``waited``."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is gathered, and for how long.

    Attributes:
        max_batch: most rows gathered into one execution. A request that brings more by itself runs
            alone, uncut.
        delay: seconds that a batch which is not full waits for more.
        max_queue: most requests that wait.
        runners: threads that execute batches side by side.
    """

    max_batch: int = 32
    delay: float = 0.0
    max_queue: int = 1024
    runners: int = 1


@dataclass(slots=True, eq=False)
class Request:
    """One request that waits or runs."""

    execute: Execute
    inputs: Arrays
    rows: int
    mates: Hashable  # requests with equal ``mates`` may share a batch
    since: float
    ripe: float  # when it has waited for mates long enough
    deadline: float
    reply: asyncio.Future[Arrays]

    def dropped(self, now: float) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.reply.done() or now >= self.deadline


class Batcher:
    """One queue and its threads; one per model. Use it as ``async with Batcher(...) as batcher``.

    On leaving, the requests that still wait are run, then the threads end.
    """

    def __init__(self, limits: Limits, observer: Observer) -> None:
        self._limits = limits
        self._observer = observer
        self._changed = threading.Condition()  # guards the next four
        self._waiting: dict[Hashable, deque[Request]] = {}  # by mates; who is next stands first
        self._length = 0  # of all that waits
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"runner-{n}", daemon=True)
            for n in range(limits.runners)
        ]

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    @property
    def waiting(self) -> int:
        """How many requests wait now."""
        return self._length

    async def infer(
        self,
        execute: Execute,
        inputs: Arrays,
        *,
        alone: bool = False,
        deadline: float | None = None,
    ) -> Arrays:
        """Runs ``execute`` on ``inputs``, perhaps with others', and returns these inputs' outputs.

        Requests share a run where ``execute`` is equal and the inputs agree in dtype and in all
        axes but the first, over which they are joined and the outputs shared out again. ``alone``:
        this request shares with none. ``deadline``: on the clock of ``time.monotonic``; a request
        is not run after it.

        Raises:
            Overloaded: too many requests wait.
            Unavailable: the batcher is closed.
            Expired: the deadline passed first.
            Exception: whatever ``execute`` raised for this request.
        """
        request = self._request(execute, inputs, alone, deadline)
        self._enqueue(request)
        try:
            async with asyncio.timeout_at(deadline):
                return await request.reply
        except TimeoutError:
            raise Expired("the deadline passed before the answer was there") from None
        finally:
            if request.reply.cancelled():
                self._withdraw(request)

    def _request(
        self, execute: Execute, inputs: Arrays, alone: bool, deadline: float | None
    ) -> Request:
        now = monotonic()
        kinds = tuple((array.shape[1:], array.dtype) for array in inputs)
        return Request(
            execute,
            inputs,
            rows=1 if alone else len(inputs[0]),
            mates=object() if alone else (execute, kinds),
            since=now,
            ripe=now if alone else now + self._limits.delay,
            deadline=math.inf if deadline is None else deadline,
            reply=self._loop.create_future(),
        )

    def _enqueue(self, request: Request) -> None:
        with self._changed:
            if self._closed:
                raise Unavailable("the model is being closed")
            if self._length >= self._limits.max_queue:
                raise Overloaded(f"{self._length} requests are waiting already; try again later")
            self._waiting.setdefault(request.mates, deque()).append(request)
            self._length += 1
            self._changed.notify()

    def _withdraw(self, request: Request) -> None:
        with self._changed:
            group = self._waiting.get(request.mates, deque())
            if request in group:
                group.remove(request)
                self._length -= 1
                if not group:
                    del self._waiting[request.mates]

    def _work(self) -> None:
        while batch := self._take():
            self._run(batch)

    def _take(self) -> list[Request]:
        """The next batch, as soon as there is one; empty when closed and everything has run."""
        batch: list[Request] = []
        with self._changed:
            while not batch and (self._waiting or not self._closed):
                now = monotonic()
                mates, at = self._ripest(now)
                if at > now:
                    self._changed.wait(None if at == math.inf else at - now)
                else:
                    batch = self._cut(mates, now)
        return batch

    def _ripest(self, now: float) -> tuple[Hashable, float]:
        """The group to run, and when: the first that is ripe by ``now``, else the next to be."""
        next_one: tuple[Hashable, float] = (None, math.inf)
        for mates, group in self._waiting.items():
            at = self._ripe(group)
            if at <= now:
                return mates, at
            next_one = min(next_one, (mates, at), key=itemgetter(1))
        return next_one

    def _ripe(self, group: deque[Request]) -> float:
        """When a group may run, by the clock."""
        if self._closed or not self._limits.delay:
            return 0.0
        full = sum(request.rows for request in group) >= self._limits.max_batch
        return 0.0 if full else group[0].ripe

    def _cut(self, mates: Hashable, now: float) -> list[Request]:
        """Takes a batch from the front of a group; what remains of it goes behind the others."""
        group = self._waiting.pop(mates)
        room = share(sum(request.rows for request in group), self._limits)
        batch: list[Request] = []
        while group and (not batch or group[0].rows <= room):
            request = group.popleft()
            self._length -= 1
            if not request.dropped(now):
                batch.append(request)
                room -= request.rows
        if group:
            self._waiting[mates] = group
            self._changed.notify()
        return batch

    def _run(self, batch: list[Request]) -> None:
        began = monotonic()
        answers: Sequence[Arrays | Exception]
        try:
            answers = _shares(batch[0].execute(_joined(batch)), batch)
        except Exception as error:
            if len(batch) > 1:  # one bad request must not fail its mates: each runs alone
                for request in batch:
                    if not request.dropped(monotonic()):
                        self._run([request])
                return
            answers = [error]
        self._loop.call_soon_threadsafe(self._deliver, batch, answers, began, monotonic())

    def _deliver(
        self,
        batch: list[Request],
        answers: Sequence[Arrays | Exception],
        began: float,
        ended: float,
    ) -> None:
        for request, answer in zip(batch, answers, strict=True):
            if request.reply.done():
                continue  # cancelled while it ran; its mates are not concerned
            if isinstance(answer, Exception):
                request.reply.set_exception(answer)
            else:
                request.reply.set_result(answer)
        rows = sum(request.rows for request in batch)
        self._observer.executed(rows, ended - began, [began - at.since for at in batch])


def share(rows: int, limits: Limits) -> int:
    """How many of the ``rows`` that wait a thread may take: its part of them.

    Whoever took all would leave the others idle, and its answers would bring the next requests all
    at once again: half the cores for good. Rows that were gathered by waiting stay together.
    """
    fair = rows if limits.delay else math.ceil(rows / limits.runners)
    return min(fair, limits.max_batch)


def _joined(batch: list[Request]) -> Arrays:
    if len(batch) == 1:
        return batch[0].inputs
    columns = zip(*(request.inputs for request in batch), strict=True)
    return [np.concatenate(arrays) for arrays in columns]


def _shares(outputs: Arrays, batch: list[Request]) -> Sequence[Arrays]:
    if len(batch) == 1:
        return [outputs]
    rows = sum(request.rows for request in batch)
    for output in outputs:
        if output.shape[:1] != (rows,):
            raise ValueError(f"an output of shape {output.shape} for a batch of {rows} rows")
    ends = np.cumsum([request.rows for request in batch]).tolist()
    begins = [0, *ends[:-1]]
    return [
        [output[begin:end] for output in outputs] for begin, end in zip(begins, ends, strict=True)
    ]
