"""Gathers requests into batches and runs them on threads of its own.

It knows neither gRPC nor ONNX nor Prometheus: what to run is given with each request, and an
``Observer`` is told what happened. It waits for nobody by default: requests gather while the
threads are busy, and while the event loop has more of them to read, and whichever thread is free
next takes what fits. One call brings a whole finished batch back to the event loop. Even that
hand-over costs several times what the smallest models take: batches that have shown to be that
short are run on the event loop, and a request that comes alone is not even made to wait for others.

Every model has threads of its own, as many as there are cores at most, begun when they are needed
and ended when they are not. So the kernel's scheduler shares the cores out between the models, and,
unlike a queue that they had in common, it takes a core back from a long run for the sake of a short
one.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Hashable, Sequence
from time import monotonic
from typing import Any, Protocol, Self

import numpy as np

from ..errors import Expired, Overloaded, Unavailable
from .pace import Paces
from .queue import LEVEL, Arrays, Execute, Follow, Limits, Queue, Ran, Request

ALONE = 8
"""Short runs made at once after one for which nobody else had come along. Then it is tried again:
the run of a small model brings its weights into the caches, which costs more than the run."""
CALM = 8
"""Turns of the event loop without a new request after which what waits is handed over. While it has
more to read, a run that began would take a core from it for the sake of a row or two."""
PATIENCE = 0.002  # seconds until it is handed over in any case
IDLE = 10.0
"""Seconds until a thread without anything to do ends: models that nobody asks have none."""
AGAIN = 0.1  # seconds until a thread is tried to be had again, where the machine gave none


class Observer(Protocol):
    """Who is told, on the event loop, what the batcher did. All times are in seconds."""

    def executed(
        self, rows: int, waited: Sequence[float], gathering: float, running: float, sharing: float
    ) -> None:
        """A batch was gathered, run and shared out; each of its requests had ``waited``."""


class Batcher:
    """One queue and its threads; one per model. Use it as ``async with Batcher(...) as batcher``.

    On leaving, the requests that still wait are run, then the threads end.
    """

    def __init__(self, limits: Limits, observer: Observer) -> None:
        self._limits = limits
        self._observer = observer
        self._paces = Paces()
        self._arrived = 0  # requests, so far
        self._handing_over = False
        self._alone = 0  # short runs to be made at once
        self._changed = threading.Condition()  # guards what follows
        self._queue = Queue(limits)
        self._closed = False
        self._threads: set[threading.Thread] = set()
        self._free = 0  # of them, those that wait for something to do

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *error: object) -> None:
        with self._changed:
            self._closed = True
            self._wake()
            self._changed.notify_all()
        while threads := tuple(self._threads):
            await asyncio.to_thread(threads[0].join)
            self._threads.discard(threads[0])

    @property
    def waiting(self) -> int:
        """How many requests wait now."""
        return len(self._queue)

    async def infer(
        self,
        execute: Execute,
        inputs: Arrays,
        *,
        alone: bool = False,
        priority: int = 0,
        deadline: float | None = None,
        follow: Follow | None = None,
    ) -> Arrays:
        """Runs ``execute`` on ``inputs``, perhaps with others', and returns these inputs' outputs.

        Requests share a run where ``execute`` is equal and the inputs agree in dtype and in all
        axes but the first, over which they are joined and the outputs shared out again. ``alone``:
        this request shares with none. ``priority``: 1 is the highest, 0 that of ``Limits``; who
        has waited long moves up (``LEVEL``). ``deadline``: on the clock of ``time.monotonic``; a
        request is not run after it. ``follow`` is told when it ran.

        Raises:
            Overloaded: too many requests wait.
            Unavailable: the batcher is closed.
            Expired: the deadline passed first.
            Exception: whatever ``execute`` raised for this request.
        """
        now = monotonic()
        if deadline is not None and deadline <= now:
            raise _expired()
        kind = (execute, *[(array.shape[1:], array.dtype) for array in inputs])
        rows = 1 if alone else len(inputs[0])
        if self._alone and self._paces.short(kind, rows) and self._idle(kind):
            self._alone -= 1
            return self._run_here(execute, inputs, kind, rows, now, follow)
        request = Request(
            execute,
            inputs,
            rows,
            kind,
            mates=object() if alone else kind,
            since=now,
            ripe=now if alone else now + self._limits.delay,
            order=now + (priority or self._limits.priority) * LEVEL,
            deadline=math.inf if deadline is None else deadline,
            reply=self._loop.create_future(),
            follow=follow,
        )
        self._enqueue(request)
        return await self._answer(request)

    def _idle(self, kind: Hashable) -> bool:
        """Whether a request of this kind would overtake none and need not wait for any."""
        return not self._limits.delay and not self._closed and kind not in self._queue

    def _run_here(
        self,
        execute: Execute,
        inputs: Arrays,
        kind: Hashable,
        rows: int,
        began: float,
        follow: Follow | None,
    ) -> Arrays:
        outputs = execute(inputs)
        ran = monotonic()
        self._paces.ran(kind, rows, ran - began)
        self._observer.executed(rows, (0.0,), 0.0, ran - began, 0.0)
        if follow is not None:
            follow(Ran(rows, 1, began, began, ran, ran), began)
        return outputs

    def _enqueue(self, request: Request) -> None:
        with self._changed:
            if self._closed:
                raise Unavailable("the model is being closed")
            if (waiting := len(self._queue)) >= self._limits.max_queue:
                raise Overloaded(f"{waiting} requests are waiting already; try again later")
            self._queue.add(request)
        self._arrived += 1
        if not self._handing_over:
            self._handing_over = True
            self._loop.call_soon(self._hand_over, self._arrived, 0, monotonic() + PATIENCE)

    def _hand_over(self, arrived: int, calm: int, latest: float) -> None:
        """Has what waits run once the event loop brings nothing more, by ``latest`` anyway."""
        calm = calm + 1 if arrived == self._arrived else 0
        if calm < CALM and monotonic() < latest:
            self._loop.call_soon(self._hand_over, self._arrived, calm, latest)
            return
        with self._changed:
            batch = self._short()
            if not batch:
                self._handing_over = False
                self._wake()
                return
        self._alone = ALONE if len(batch) == 1 else 0
        self._run(batch, _at_once)
        self._handing_over = len(self._queue) > 0
        if self._handing_over:
            self._loop.call_soon(self._hand_over, self._arrived, CALM, latest)

    def _short(self) -> list[Request]:
        """The next batch, if it can run at once and has shown to be short; else none."""
        now = monotonic()
        mates, at = self._queue.next(now, hurry=self._closed)
        if at > now or not self._paces.short(*self._queue.ahead(mates)):
            return []
        return self._queue.take(mates, now, whole=True)

    def _wake(self) -> None:
        """Has a thread see to what waits: one that is free, else one more if there may be more."""
        if not len(self._queue):
            return
        if self._free or len(self._threads) >= self._limits.runners:
            self._changed.notify()
            return
        name = f"runner-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # there are too many on this machine
            if not self._threads:
                self._loop.call_soon_threadsafe(self._loop.call_later, AGAIN, self._wake_later)
            return
        self._threads.add(thread)

    def _wake_later(self) -> None:
        with self._changed:
            self._wake()

    async def _answer(self, request: Request) -> Arrays:
        expiry = None
        if request.deadline < math.inf:
            expiry = self._loop.call_later(request.deadline - monotonic(), self._expire, request)
        try:
            return await request.reply
        except asyncio.CancelledError:
            self._withdraw(request)
            raise
        finally:
            if expiry is not None:
                expiry.cancel()

    def _expire(self, request: Request) -> None:
        if not request.reply.done():
            request.reply.set_exception(_expired())
            self._withdraw(request)

    def _withdraw(self, request: Request) -> None:
        with self._changed:
            self._queue.remove(request)

    def _work(self) -> None:
        while batch := self._take():
            self._run(batch, self._loop.call_soon_threadsafe)

    def _take(self) -> list[Request]:
        """The next batch, as soon as there is one.

        Empty, for the thread to end, when there was nothing to do for ``IDLE``, or the batcher is
        closed and everything has run.
        """
        batch: list[Request] = []
        with self._changed:
            idle = False
            while not batch and (len(self._queue) or not (idle or self._closed)):
                now = monotonic()
                mates, at = self._queue.next(now, hurry=self._closed)
                if at > now:
                    self._free += 1
                    idle = not self._changed.wait(min(at - now, IDLE))
                    self._free -= 1
                else:
                    batch = self._queue.take(mates, now)
            if batch:
                self._wake()  # another thread can take the rest
            elif not self._closed:  # else it is waited for
                self._threads.discard(threading.current_thread())
        return batch

    def _run(self, batch: list[Request], tell: Callable[..., object]) -> None:
        """Runs a batch, and has ``tell`` call on the event loop what its requests wait for."""
        began = monotonic()
        try:
            inputs = _joined(batch)
            gathered = monotonic()
            outputs = batch[0].execute(inputs)
            ran = monotonic()
            answers = _shares(outputs, batch)
        except Exception as error:
            if len(batch) > 1:  # one bad request must not fail its mates: each runs alone
                for request in batch:
                    if not request.dropped(monotonic()):
                        self._run([request], tell)
                return
            tell(_reply, batch, [error])
            return
        rows = sum(request.rows for request in batch)
        done = Ran(rows, len(batch), began, gathered, ran, monotonic())
        tell(self._deliver, batch, answers, done)

    def _deliver(self, batch: list[Request], answers: Sequence[Arrays], done: Ran) -> None:
        _reply(batch, answers)
        self._paces.ran(batch[0].kind, done.rows, done.ran - done.gathered)
        self._observer.executed(
            done.rows,
            [done.began - request.since for request in batch],
            done.gathered - done.began,
            done.ran - done.gathered,
            done.ended - done.ran,
        )
        for request in batch:
            if request.follow is not None:
                request.follow(done, request.since)


def _at_once(call: Callable[..., object], *arguments: Any) -> None:
    """Stands for ``call_soon_threadsafe`` on the event loop itself."""
    call(*arguments)


def _expired() -> Expired:
    return Expired("the deadline passed before the answer was there")


def _reply(batch: list[Request], answers: Sequence[Arrays | Exception]) -> None:
    for request, answer in zip(batch, answers, strict=True):
        if request.reply.done():
            continue  # cancelled while it ran; its mates are not concerned
        if isinstance(answer, Exception):
            request.reply.set_exception(answer)
        else:
            request.reply.set_result(answer)


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
    shares: list[Arrays] = []
    begin = 0
    for request in batch:
        end = begin + request.rows
        shares.append([output[begin:end] for output in outputs])
        begin = end
    return shares
