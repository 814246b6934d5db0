"""The batcher alone, on functions that wait until they are let go: nothing depends on timing."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from time import monotonic
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from cortex.serving.batching import batcher as batcher_module
from cortex.serving.batching.batcher import ALONE, Batcher
from cortex.serving.batching.pace import DOUBTFUL, SHORT, TRIAL, Paces
from cortex.serving.batching.queue import Arrays, Limits, share
from cortex.serving.errors import Expired, Overloaded, Unavailable

Array: TypeAlias = NDArray[Any]
FOREVER = 3600.0
PATIENCE = 20.0  # seconds until a test that hangs is ended


class Doubling:
    """Answers with twice the input once ``gate`` is open; remembers what it was given."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.batches: list[Array] = []

    def __call__(self, inputs: Arrays) -> Arrays:
        self.batches.append(inputs[0])
        self.started.release()
        assert self.gate.wait(PATIENCE)
        return [inputs[0] * 2]

    @property
    def rows(self) -> list[int]:
        """How many rows each batch had."""
        return [len(batch) for batch in self.batches]

    async def begun(self) -> None:
        """Waits until one more run has begun."""
        assert await asyncio.to_thread(self.started.acquire, timeout=PATIENCE)


class Witness:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.waited: list[float] = []

    def executed(
        self, rows: int, waited: Sequence[float], gathering: float, running: float, sharing: float
    ) -> None:
        assert min(gathering, running, sharing) >= 0
        self.rows.append(rows)
        self.waited += waited


def x(*values: float) -> list[Array]:
    """An input of one column."""
    return [np.array(values, np.float32)[:, np.newaxis]]


def run(
    body: Callable[[Batcher, Doubling], Awaitable[None]],
    limits: Limits | None = None,
    witness: Witness | None = None,
) -> Doubling:
    """Runs ``body`` with a batcher and a function that waits; opens its gate at the end."""
    double = Doubling()

    async def main() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            Batcher(limits or Limits(max_batch=4), witness or Witness()) as batcher,
        ):
            try:
                await body(batcher, double)
            finally:
                double.gate.set()

    asyncio.run(main())
    return double


async def waiting(
    batcher: Batcher, *requests: Coroutine[Any, Any, Arrays]
) -> list[asyncio.Task[Arrays]]:
    """Starts requests and returns their tasks when all of them wait in the queue, or have begun."""
    tasks = [asyncio.create_task(request) for request in requests]
    await asyncio.sleep(0)
    return tasks


async def settled(tasks: Sequence[asyncio.Task[Arrays]]) -> list[Any]:
    """What each task returned or raised."""
    return list(await asyncio.gather(*tasks, return_exceptions=True))


async def held(batcher: Batcher, double: Doubling) -> asyncio.Task[Arrays]:
    """Makes the one thread busy, so that what comes next gathers."""
    (task,) = await waiting(batcher, batcher.infer(double, x(0)))
    await double.begun()
    return task


def test_requests_gather_while_a_batch_runs() -> None:
    witness = Witness()

    async def body(batcher: Batcher, double: Doubling) -> None:
        first = await held(batcher, double)
        tasks = await waiting(batcher, *(batcher.infer(double, x(n)) for n in range(1, 10)))
        assert batcher.waiting == 9
        double.gate.set()
        answers = await asyncio.gather(first, *tasks)
        assert [answer[0].tolist() for answer in answers] == [[[2 * n]] for n in range(10)]

    assert run(body, witness=witness).rows == [1, 4, 4, 1]
    assert witness.rows == [1, 4, 4, 1]
    assert len(witness.waited) == 10


def test_requests_that_arrive_together_run_together_though_the_thread_is_free() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        double.gate.set()
        await asyncio.gather(*(batcher.infer(double, x(n)) for n in range(3)))

    assert run(body).rows == [3]


def test_a_request_may_bring_several_rows_and_is_never_cut() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        await held(batcher, double)
        tasks = await waiting(
            batcher,
            batcher.infer(double, x(1, 2, 3)),
            batcher.infer(double, x(4, 5)),  # does not fit behind the first: begins the next batch
            batcher.infer(double, x(6)),
            batcher.infer(double, x(*range(9))),  # more than a batch may have: runs alone
            batcher.infer(double, x(7)),
        )
        double.gate.set()
        answers = await asyncio.gather(*tasks)
        assert [len(answer[0]) for answer in answers] == [3, 2, 1, 9, 1]
        assert answers[1][0].tolist() == [[8], [10]]

    assert run(body).rows == [1, 3, 3, 9, 1]


def test_shapes_dtypes_and_functions_never_mix() -> None:
    other = Doubling()
    other.gate.set()

    async def body(batcher: Batcher, double: Doubling) -> None:
        await held(batcher, double)
        tasks = await waiting(
            batcher,
            batcher.infer(double, x(1)),
            batcher.infer(double, [np.zeros((1, 2), np.float32)]),
            batcher.infer(double, [np.zeros((1, 1), np.float64)]),
            batcher.infer(other, x(1)),
            batcher.infer(double, x(2)),
        )
        double.gate.set()
        await asyncio.gather(*tasks)

    double = run(body)
    assert [(batch.shape, batch.dtype.name) for batch in double.batches] == [
        ((1, 1), "float32"),
        ((2, 1), "float32"),
        ((1, 2), "float32"),
        ((1, 1), "float64"),
    ]
    assert other.rows == [1]


def test_of_several_groups_the_one_that_has_waited_longest_is_next() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        await held(batcher, double)
        early = [batcher.infer(double, x(n)) for n in range(5)]
        wide = batcher.infer(double, [np.zeros((1, 2), np.float32)])
        late = [batcher.infer(double, x(n)) for n in range(4)]
        tasks = await waiting(batcher, *early, wide, *late)
        double.gate.set()
        await asyncio.gather(*tasks)

    shapes = [batch.shape for batch in run(body).batches]
    assert shapes == [(1, 1), (4, 1), (4, 1), (1, 2), (1, 1)]


def ordered(*priorities: int, limits: Limits | None = None) -> list[float]:
    """Asks with these priorities, one after the other, and returns who ran in which order."""

    async def body(batcher: Batcher, double: Doubling) -> None:
        await held(batcher, double)
        tasks = await waiting(
            batcher,
            *(batcher.infer(double, x(n), priority=at) for n, at in enumerate(priorities, 1)),
        )
        double.gate.set()
        await asyncio.gather(*tasks)

    found = run(body, limits or Limits(max_batch=1)).batches[1:]
    return [float(value) for batch in found for value in batch.reshape(-1)]


@pytest.mark.parametrize(
    ("priorities", "order"),
    [
        ((3, 2, 1), [3, 2, 1]),
        ((2, 1, 2, 1), [2, 4, 1, 3]),  # first come, first served, within a priority
        ((0, 11, 9), [3, 1, 2]),  # who names none has the limits' 10
        ((10**6, 1), [2, 1]),
    ],
)
def test_the_lowest_priority_number_is_first(priorities: Sequence[int], order: list[float]) -> None:
    assert ordered(*priorities) == order


def test_a_batch_is_filled_in_the_order_of_priority() -> None:
    assert ordered(2, 2, 1, 1, limits=Limits(max_batch=3)) == [3, 4, 1, 2]


def test_who_has_waited_long_is_held_up_by_no_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortex.serving.batching.batcher.LEVEL", 1e-9)
    assert ordered(3, 2, 1) == [1, 2, 3]


def test_a_running_batch_is_never_interrupted_by_a_priority() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        first = await held(batcher, double)
        (urgent,) = await waiting(batcher, batcher.infer(double, x(1), priority=1))
        await asyncio.sleep(0.02)
        assert not urgent.done()
        double.gate.set()
        await asyncio.gather(first, urgent)

    assert run(body).rows == [1, 1]


def test_a_busy_model_does_not_hold_up_another() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        await held(batcher, double)
        await waiting(batcher, *(batcher.infer(double, x(n)) for n in range(50)))
        quick = Doubling()
        quick.gate.set()
        async with Batcher(Limits(), Witness()) as other:
            assert (await other.infer(quick, x(3)))[0].tolist() == [[6]]
        assert batcher.waiting == 50

    run(body)


class Threads:
    """Remembers on which threads it ran."""

    def __init__(self, seconds: float) -> None:
        self.names: list[str] = []
        self._seconds = seconds

    def __call__(self, inputs: Arrays) -> Arrays:
        self.names.append(threading.current_thread().name)
        if self._seconds:
            time.sleep(self._seconds)
        if (inputs[0] < 0).any():
            raise ValueError("negative")
        return [inputs[0] * 2]


@pytest.mark.parametrize(("seconds", "here"), [(0.0, True), (0.001, False)])
def test_runs_known_to_be_short_are_made_on_the_event_loop(seconds: float, here: bool) -> None:
    threads, witness = Threads(seconds), Witness()
    followed: list[int] = []

    async def body(batcher: Batcher, double: Doubling) -> None:
        for n in range(20):
            answer = await batcher.infer(
                threads, x(n), follow=lambda ran, since: followed.append(ran.rows)
            )
            assert answer[0].tolist() == [[2 * n]]
        with pytest.raises(ValueError, match="negative"):
            await batcher.infer(threads, x(-1))

    run(body, Limits(), witness)
    own = threading.current_thread().name
    assert threads.names[0] == "runner-0"
    assert (own in threads.names) is here
    assert witness.rows == [1] * 20 == followed


def test_short_runs_gather_too_and_who_comes_alone_does_not_wait() -> None:
    threads, witness = Threads(0.0), Witness()

    async def body(batcher: Batcher, double: Doubling) -> None:
        for _ in range(3):  # the first shows how long runs of so many rows take
            threads.names.clear()
            await asyncio.gather(*(batcher.infer(threads, x(n)) for n in range(4)))
        assert threads.names == [threading.current_thread().name]
        for n in range(20):
            request = batcher.infer(threads, x(n))
            if n % (ALONE + 1) < 2:
                await request
                continue
            with pytest.raises(StopIteration):  # it awaited nothing
                request.send(None)

    run(body, Limits(), witness)
    assert witness.rows == [4] * 3 + [1] * 20


@pytest.mark.parametrize(
    ("seconds", "here"), [(SHORT / 2, 2 * TRIAL), (SHORT, 2), (DOUBTFUL, 0), (math.inf, 0)]
)
def test_what_only_seems_long_is_tried_now_and_then(seconds: float, here: int) -> None:
    paces = Paces()
    paces.ran("kind", 1, seconds)
    assert sum(paces.short("kind", 1) for _ in range(2 * TRIAL)) == here


def test_no_run_is_made_on_the_event_loop_before_others_that_wait() -> None:
    threads = Threads(0.0)

    async def body(batcher: Batcher, double: Doubling) -> None:
        for n in range(20):
            await batcher.infer(threads, x(n))
        await held(batcher, double)
        threads.names.clear()
        big = batcher.infer(threads, [np.zeros((5000, 1), np.float32)])
        tasks = await waiting(batcher, big, batcher.infer(threads, x(1)))
        double.gate.set()
        await asyncio.gather(*tasks)

    run(body, Limits(max_batch=4))
    assert set(threads.names) == {"runner-0"}


def test_one_array_is_handed_on_uncopied_and_several_are_copied_once() -> None:
    class Same:
        given: Arrays = ()

        def __call__(self, inputs: Arrays) -> Arrays:
            self.given = inputs
            time.sleep(0.001)  # else it would run on the event loop, alone
            return inputs

    async def body(batcher: Batcher, double: Doubling) -> None:
        same, big = Same(), np.ones((1, 224 * 224 * 3), np.float32)
        answer = await batcher.infer(same, [big])
        assert same.given[0] is big
        assert answer[0] is big
        await held(batcher, double)
        tasks = await waiting(batcher, *(batcher.infer(same, [big]) for _ in range(3)))
        double.gate.set()
        answers = await asyncio.gather(*tasks)
        assert same.given[0].shape[0] == 3
        assert all(np.shares_memory(answer[0], same.given[0]) for answer in answers)

    run(body)


def test_a_request_that_must_be_alone_is_alone() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        await held(batcher, double)
        scalar = [np.array(3, np.float32)]
        tasks = await waiting(
            batcher,
            batcher.infer(double, scalar, alone=True),
            batcher.infer(double, x(1, 2), alone=True),
            batcher.infer(double, x(1, 2), alone=True),
        )
        double.gate.set()
        answers = await asyncio.gather(*tasks)
        assert answers[0][0] == 6

    assert [batch.shape for batch in run(body).batches] == [(1, 1), (), (2, 1), (2, 1)]


def test_a_full_queue_refuses_at_once() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        await held(batcher, double)
        await waiting(batcher, *(batcher.infer(double, x(n)) for n in range(3)))
        with pytest.raises(Overloaded, match="3 requests are waiting already; try again later"):
            await batcher.infer(double, x(9))

    run(body, Limits(max_batch=4, max_queue=3))


@pytest.mark.parametrize("leaver", [0, 1, 2])
def test_who_cancels_while_waiting_is_not_run_and_harms_nobody(leaver: int) -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        await held(batcher, double)
        tasks = await waiting(batcher, *(batcher.infer(double, x(n)) for n in range(3)))
        tasks[leaver].cancel()
        await asyncio.wait([tasks[leaver]])
        assert batcher.waiting == 2  # its place is free again
        double.gate.set()
        answers = await settled(tasks)
        assert isinstance(answers.pop(leaver), asyncio.CancelledError)
        stayed = [n for n in range(3) if n != leaver]
        assert [answer[0].tolist() for answer in answers] == [[[2 * n]] for n in stayed]

    assert run(body).rows == [1, 2]


@pytest.mark.parametrize("leaver", [0, 1, 2])
def test_who_cancels_while_the_batch_runs_harms_nobody(leaver: int) -> None:
    later = Doubling()

    async def body(batcher: Batcher, double: Doubling) -> None:
        await held(batcher, double)
        tasks = await waiting(batcher, *(batcher.infer(later, x(n)) for n in range(3)))
        double.gate.set()
        await later.begun()
        tasks[leaver].cancel()
        await asyncio.wait([tasks[leaver]])
        later.gate.set()
        answers = await settled(tasks)
        assert isinstance(answers.pop(leaver), asyncio.CancelledError)
        stayed = [n for n in range(3) if n != leaver]
        assert [answer[0].tolist() for answer in answers] == [[[2 * n]] for n in stayed]

    run(body)
    assert later.rows == [3]


def test_who_cancels_a_run_that_has_begun_leaves_the_next_ones_unharmed() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        first = await held(batcher, double)
        first.cancel()
        await asyncio.wait([first])
        (second,) = await waiting(batcher, batcher.infer(double, x(5)))
        double.gate.set()
        assert (await second)[0].tolist() == [[10]]

    assert run(body).rows == [1, 1]


def test_an_expired_request_is_not_run() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        await held(batcher, double)
        late = batcher.infer(double, x(1), deadline=monotonic() - 1)
        in_time = batcher.infer(double, x(2), deadline=monotonic() + FOREVER)
        tasks = await waiting(batcher, late, in_time)
        with pytest.raises(Expired, match="the deadline passed before the answer was there"):
            await tasks[0]
        double.gate.set()
        assert (await tasks[1])[0].tolist() == [[4]]

    assert [batch.tolist() for batch in run(body).batches] == [[[0]], [[2]]]


def test_a_deadline_that_passes_during_the_run_ends_the_wait() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        with pytest.raises(Expired):
            await batcher.infer(double, x(1), deadline=monotonic() + 0.05)

    run(body)


def test_the_threads_drop_what_expired_before_the_loop_has_noticed() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        first = await held(batcher, double)
        (late,) = await waiting(batcher, batcher.infer(double, x(1), deadline=monotonic() - 1))
        double.gate.set()  # from here on the thread is free, while the loop has run no timer yet
        await asyncio.gather(first, late, return_exceptions=True)
        assert isinstance(late.exception(), Expired)

    assert run(body).rows == [1]


class Picky:
    """Refuses batches that hold a negative number."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, inputs: Arrays) -> Arrays:
        self.rows.append(len(inputs[0]))
        if (inputs[0] < 0).any():
            raise ValueError("negative")
        return inputs


def test_a_request_that_fails_its_batch_fails_alone() -> None:
    picky = Picky()

    async def body(batcher: Batcher, double: Doubling) -> None:
        await held(batcher, double)
        tasks = await waiting(batcher, *(batcher.infer(picky, x(n)) for n in (1, -1, 2)))
        double.gate.set()
        answers = await settled(tasks)
        assert isinstance(answers[1], ValueError)
        assert [answers[n][0].tolist() for n in (0, 2)] == [[[1]], [[2]]]
        assert (await batcher.infer(picky, x(3)))[0].tolist() == [[3]]

    run(body)
    assert picky.rows == [3, 1, 1, 1, 1]


def test_outputs_that_are_not_by_row_are_computed_one_request_at_a_time() -> None:
    def total(inputs: Arrays) -> Arrays:
        return [inputs[0].sum(axis=0)]

    async def body(batcher: Batcher, double: Doubling) -> None:
        await held(batcher, double)
        tasks = await waiting(batcher, *(batcher.infer(total, x(n, n)) for n in (1, 2)))
        double.gate.set()
        answers = await asyncio.gather(*tasks)
        assert [answer[0].tolist() for answer in answers] == [[2], [4]]

    run(body)


@pytest.mark.parametrize(
    ("rows", "runners", "taken"), [(8, 1, 4), (8, 2, 4), (5, 2, 3), (1, 2, 1), (3, 8, 1), (0, 2, 0)]
)
def test_threads_share_what_waits(rows: int, runners: int, taken: int) -> None:
    assert share(rows, Limits(max_batch=4, runners=runners)) == taken


def test_what_was_gathered_by_waiting_is_not_shared() -> None:
    assert share(4, Limits(max_batch=8, delay=0.001, runners=2)) == 4


def test_threads_run_batches_side_by_side() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        await held(batcher, double)
        await held(batcher, double)  # begins while the first still runs

    assert run(body, Limits(max_batch=4, runners=2)).rows == [1, 1]


def test_with_a_delay_a_full_batch_does_not_wait() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        double.gate.set()
        tasks = await waiting(batcher, *(batcher.infer(double, x(n)) for n in range(4)))
        await asyncio.gather(*tasks)

    assert run(body, Limits(max_batch=4, delay=FOREVER)).rows == [4]


def test_with_a_delay_a_lone_request_waits_for_it() -> None:
    witness, delay = Witness(), 0.05

    async def body(batcher: Batcher, double: Doubling) -> None:
        double.gate.set()
        tasks = await waiting(batcher, *(batcher.infer(double, x(n)) for n in range(2)))
        await asyncio.gather(*tasks)

    assert run(body, Limits(max_batch=4, delay=delay), witness).rows == [2]
    assert max(witness.waited) >= delay


def test_with_a_delay_what_must_be_alone_does_not_wait() -> None:
    async def body(batcher: Batcher, double: Doubling) -> None:
        double.gate.set()
        await batcher.infer(double, x(1), alone=True)

    assert run(body, Limits(max_batch=4, delay=FOREVER)).rows == [1]


def test_closing_runs_what_waits() -> None:
    double = Doubling()

    async def main() -> None:
        async with Batcher(Limits(max_batch=4, delay=FOREVER), Witness()) as batcher:
            double.gate.set()
            tasks = await waiting(batcher, *(batcher.infer(double, x(n)) for n in range(3)))
        answers = await asyncio.gather(*tasks)
        assert [answer[0].tolist() for answer in answers] == [[[0]], [[2]], [[4]]]

        with pytest.raises(Unavailable, match="the model is being closed"):
            await batcher.infer(double, x(1))

    before = threading.active_count()
    asyncio.run(main())
    assert double.rows == [3]
    assert threading.active_count() <= before


def runners() -> int:
    """How many threads of batchers there are."""
    return sum(thread.name.startswith("runner-") for thread in threading.enumerate())


def test_threads_begin_when_they_are_needed_and_end_when_they_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batcher_module, "IDLE", 0.05)

    async def body(batcher: Batcher, double: Doubling) -> None:
        assert runners() == 0
        for each in (double, Doubling()):
            task = await held(batcher, each)
            assert runners() == 1
            each.gate.set()
            await task
            while runners():
                await asyncio.sleep(0.01)

    run(body)
    assert runners() == 0


def test_no_request_is_forgotten_while_threads_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher_module, "IDLE", 1e-4)
    rng = np.random.default_rng(0)

    async def body(batcher: Batcher, double: Doubling) -> None:
        double.gate.set()
        for n in range(300):
            answers = await asyncio.gather(
                *(batcher.infer(double, x(n, at)) for at in range(n % 4))
            )
            assert [answer[0][0, 0] for answer in answers] == [2 * n] * (n % 4)
            await asyncio.sleep(rng.uniform(0, 3e-4))

    run(body, Limits(max_batch=4, runners=2, delay=1e-4))


def test_a_machine_without_a_thread_to_give_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher_module, "AGAIN", 0.01)
    start, tries = threading.Thread.start, list[str]()

    def refused(thread: threading.Thread) -> None:
        if thread.name.startswith("runner-") and (tries.append(thread.name) or len(tries) < 3):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)

    async def body(batcher: Batcher, double: Doubling) -> None:
        double.gate.set()
        assert (await batcher.infer(double, x(2)))[0].tolist() == [[4]]

    run(body)
    assert len(tries) == 3
