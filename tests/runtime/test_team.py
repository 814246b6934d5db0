"""A team of threads: all work, the first real error is raised, and the team works on."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from threadpoolctl import threadpool_info

from cortex.runtime.errors import CortexError
from cortex.runtime.team import Team, worth_sharing

from .networks import mlp

SIZES = [1, 2, 3, 5]


class Wrong(CortexError):
    """What a shard raises."""


def assert_works(team: Team, size: int) -> None:
    """Every thread has its turn, and they meet."""
    done: list[int] = []

    def work(index: int) -> None:
        team.meet()
        done.append(index)
        team.meet()
        assert len(done) == size

    team.run(work)
    assert sorted(done) == list(range(size))


@pytest.mark.parametrize("size", SIZES)
def test_every_thread_works_and_the_caller_is_one_of_them(size: int) -> None:
    team = Team(size)
    threads = [threading.current_thread()] * size

    def work(index: int) -> None:
        threads[index] = threading.current_thread()

    for _ in range(3):
        team.run(work)
    assert threads[0] is threading.current_thread()
    assert len(set(threads)) == size
    assert_works(team, size)


def fails_at_once(team: Team, index: int) -> None:
    if index == 1:
        raise Wrong("the second")
    team.meet()


def fails_after_a_meeting(team: Team, index: int) -> None:
    team.meet()
    if index == 0:
        raise Wrong("the first")
    team.meet()
    team.meet()


def all_fail(team: Team, index: int) -> None:
    raise Wrong(f"number {index}")


def one_fails_late(team: Team, index: int) -> None:
    if index == 1:
        time.sleep(0.02)
        raise Wrong("late")


FAILURES = [fails_at_once, fails_after_a_meeting, all_fail, one_fails_late]


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("work", FAILURES)
def test_the_first_real_error_is_raised_and_the_team_works_on(
    work: Callable[[Team, int], None], size: int
) -> None:
    team = Team(size)
    for _ in range(3):
        with pytest.raises(Wrong):
            team.run(lambda index: work(team, index))
        assert_works(team, size)


def test_an_error_that_is_no_exception_is_raised_too() -> None:
    team = Team(2)

    def work(index: int) -> None:
        if index == 1:
            raise SystemExit(3)
        team.meet()

    with pytest.raises(SystemExit):
        team.run(work)
    assert_works(team, 2)


def test_two_callers_take_turns() -> None:
    team, inside, most = Team(2), 0, 0
    lock = threading.Lock()

    def work(index: int) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        team.meet()
        time.sleep(0.001)
        with lock:
            inside -= 1

    callers = [threading.Thread(target=lambda: team.run(work)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert most == 2


def test_a_process_has_one_team_of_a_size() -> None:
    assert Team.of(2) is Team.of(2)
    assert Team.of(2) is not Team.of(3)


def blas_threads() -> list[int]:
    """Of the BLAS that NumPy uses: another test may have loaded another library's."""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return [pool["num_threads"] for pool in pools if "numpy" in pool["filepath"]]


def test_blas_has_one_thread_while_a_team_works_and_its_own_again_afterwards() -> None:
    before, during = blas_threads(), list[int]()

    def work(index: int) -> None:
        if index == 0:
            during.extend(blas_threads())

    Team.of(2).run(work)
    assert set(during) == {1}
    assert blas_threads() == before


def test_blas_has_one_thread_until_the_last_of_several_teams_is_done() -> None:
    before, both, gone = blas_threads(), threading.Barrier(2), threading.Event()
    seen: list[int] = []

    def first(index: int) -> None:
        if index == 0:
            both.wait()

    def second(index: int) -> None:
        if index == 0:
            both.wait()  # now both teams are at work
            assert gone.wait(10)
            seen.extend(blas_threads())

    caller = threading.Thread(target=Team(3).run, args=(second,))
    caller.start()
    Team(2).run(first)
    gone.set()
    caller.join()
    assert set(seen) == {1}
    assert blas_threads() == before


INTERRUPTED = """
import os, signal, threading, time
from cortex.runtime.team import Team

signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been started ignoring it
team, finished = Team(2), []

def work(index):
    if index == 1:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        finished.append(True)

try:
    team.run(work)
except KeyboardInterrupt:
    assert finished  # the other thread was waited for
    done = []
    team.run(done.append)
    assert sorted(done) == [0, 1]
    raise
"""


def test_an_interruption_waits_for_the_others_and_leaves_a_team_that_works() -> None:
    found = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False
    )
    assert found.returncode == -signal.SIGINT, found.stderr
    assert "AssertionError" not in found.stderr


@pytest.mark.parametrize(("rows", "worth"), [(1, False), (32, False), (1000, True)])
def test_small_steps_are_not_shared(rows: int, worth: bool) -> None:
    assert worth_sharing(mlp(64, 128, 128, 10), {"N": rows}) == worth
