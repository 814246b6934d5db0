"""Threads that work on the shards of a batch side by side, with BLAS at one thread each."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

from threadpoolctl import ThreadpoolController

from .ir import Graph, infer, node_parameters

SHARED_WORK = 5_000_000
"""Multiplications below which a step is over before a second thread has woken up (about 0.3 ms)."""


def worth_sharing(graph: Graph, sizes: Mapping[str, int]) -> bool:
    """Whether a step is long enough to cut into shards.

    A rule on sizes, so that the same network gives the same bits.
    """
    types = infer(graph, sizes)
    work = 0
    for node in graph.nodes:
        *positions, channels = (int(n) for n in types[node.name].shape)
        weights = sum(param.size for param in node_parameters(node, types).values())
        work += math.prod(positions) * max(weights, channels)
    return work >= SHARED_WORK


class _OneBlasThread:
    """Holds BLAS, the whole process's, at one thread while any team works."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before: list[int] = []

    @functools.cached_property
    def _libraries(self) -> list[tuple[Callable[[], int], Callable[[int], object]]]:
        """How each library's number of threads is read and set."""
        pools = ThreadpoolController().select(user_api="blas").lib_controllers
        return [_reached(pool) for pool in pools]

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._before = [read() for read, _ in self._libraries]
                for _, limit in self._libraries:
                    limit(1)
            self._users += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                for (_, limit), number in zip(self._libraries, self._before, strict=True):
                    limit(number)


def _reached(pool: Any) -> tuple[Callable[[], int], Callable[[int], object]]:
    """A library's own functions where they are known: a small step is as short as what finds them.

    In threadpoolctl only the first thread that ever asked may set OpenBLAS, and others are ignored,
    lest they fight; here they take turns.
    """
    find = getattr(pool, "_get_symbol", None)
    if find and pool.internal_api == "openblas" and pool.threading_layer == "pthreads":
        read, limit = (find(f"openblas_{verb}_num_threads") for verb in ("get", "set"))
        if read and limit:
            return read, limit
    return pool.get_num_threads, getattr(pool, "_real_set_num_threads", pool.set_num_threads)


_one_blas_thread = _OneBlasThread()


class Team:
    """``count`` threads, the caller's among them, started once.

    NumPy lets go of the interpreter while it computes, so threads over single-threaded BLAS share a
    machine's cores; and unlike BLAS's own threads they do not spin when the machine is busy.
    """

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count)
        self._turn = threading.Lock()
        self._starts = [threading.Semaphore(0) for _ in range(count - 1)]
        self._done = [threading.Event() for _ in self._starts]
        self._work: Callable[[int], None] | None = None
        self._errors: list[BaseException] = []
        for i, (start, done) in enumerate(zip(self._starts, self._done, strict=True), 1):
            threading.Thread(
                target=self._follow, args=(i, start, done), name=f"cortex shard {i}", daemon=True
            ).start()

    @staticmethod
    @functools.cache
    def of(count: int) -> Team:
        """The process's team of that size."""
        return Team(count)

    def meet(self) -> None:
        """Waits until all threads are here: the marker in a plan's steps where shards exchange."""
        if self._starts:
            self._barrier.wait()

    def run(self, work: Callable[[int], None]) -> None:
        """Calls ``work(i)`` on each thread, and returns when all have returned.

        Raises:
            Exception: the first that any of them raised; the team works on.
        """
        with self._turn, _one_blas_thread:
            if not self._starts:  # a small step is as short as what starts it
                work(0)
                return
            self._work = work
            for start, done in zip(self._starts, self._done, strict=True):
                done.clear()
                start.release()
            self._try(0)
            for done in self._done:
                self._wait(done)
            self._work = None
            errors, self._errors = self._errors, []
            if errors:
                self._barrier.reset()
                # Those that were waiting for the one that failed have a broken barrier to report,
                # which says nothing.
                raise next(
                    (e for e in errors if not isinstance(e, threading.BrokenBarrierError)),
                    errors[0],
                )

    def _wait(self, done: threading.Event) -> None:
        """Waits for a thread even when interrupted: it writes to memory that must not be reused."""
        while not done.is_set():
            try:
                done.wait()
            except KeyboardInterrupt as error:
                self._fail(error)

    def _follow(self, index: int, start: threading.Semaphore, done: threading.Event) -> None:
        while True:
            start.acquire()
            self._try(index)
            done.set()

    def _try(self, index: int) -> None:
        try:
            assert self._work is not None
            self._work(index)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._errors.append(error)
        self._barrier.abort()
