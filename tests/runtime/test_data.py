"""Datasets: their order, their parts, what is made of them ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from cortex.runtime import data
from cortex.runtime.errors import UsageError

ROWS = np.arange(10)
CLASSES = np.array([0] * 7 + [1] * 2 + [2])


def numbers(rows: int = 10, **options: Any) -> data.Arrays:
    """The numbers from 0, one a row, and a class for each."""
    return data.Arrays({"input": np.arange(rows), "target": CLASSES[:rows]}, **options)


def order(dataset: Any, epoch: int | None, size: int = 4) -> list[int]:
    """The rows of an epoch as they come."""
    return [int(row) for batch in dataset.batches(size, epoch) for row in batch["input"]]


@pytest.mark.parametrize(
    ("size", "sizes"), [(4, [4, 4, 2]), (5, [5, 5]), (99, [10]), (1, [1] * 10)]
)
def test_the_last_batch_is_what_is_left(size: int, sizes: list[int]) -> None:
    for epoch in (None, 3):
        assert [len(batch["input"]) for batch in numbers().batches(size, epoch)] == sizes


def test_an_epoch_has_an_order_of_its_own_and_the_same_again() -> None:
    orders = [order(numbers(), epoch) for epoch in range(4)]
    assert all(sorted(each) == [*ROWS] for each in orders)
    assert len({tuple(each) for each in orders}) == 4
    assert orders == [order(numbers(), epoch) for epoch in range(4)]
    assert orders[0] != order(numbers(seed=1), 0)
    assert order(numbers(), None) == order(numbers(shuffle=False), 0) == [*ROWS]


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: data.Arrays({}), "empty"),
    "no rows": (lambda: data.Arrays({"x": np.empty((0, 3))}), "empty"),
    "a number": (lambda: data.Arrays({"x": 3}), "'x' is one number"),
    "unequal": (lambda: data.Arrays({"x": ROWS, "y": ROWS[1:]}), "as many rows"),
    "no batch": (lambda: [*numbers().batches(0)], "a batch of 0"),
    "no such column": (lambda: numbers().column("z"), "no 'z'; they have input, target"),
    "all for one part": (lambda: data.split(numbers(), 10), "do not split"),
    "too much": (lambda: data.split(numbers(), 8, 3), "do not split"),
    "a negative part": (lambda: data.split(numbers(), -1), "do not split"),
    "more than all": (
        lambda: data.split(numbers(), 1.5),
        "neither a fraction below 1 nor a number",
    ),
    "an epoch of nothing": (lambda: data.Endless(numbers(), 0), "an epoch of 0"),
    "no workers": (lambda: data.Ahead(numbers(), workers=0), "0 workers"),
    "no such name": (
        lambda: [*data.selected(numbers(), {"x": "y"}).batches(2)],
        "no 'y'; they have input, target",
    ),
    "a class too many": (lambda: data.one_hot([0, 3], 3), "3 at 1 is not from 0 to 2"),
    "a class below 0": (lambda: data.one_hot([[0, -1]], 3), "-1 at 0, 1 is not"),
    "classes with a point": (lambda: data.one_hot([0.5], 3), "float64 are no numbers of classes"),
    "an unknown value": (lambda: data.Categories.of("ab").ids("c"), "'c' is none of a, b"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG)
def test_what_makes_no_sense_is_told(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize(
    ("sizes", "expected"), [((0.8,), [8, 2]), ((7,), [7, 3]), ((0.5, 2), [5, 2, 3])]
)
def test_parts_are_what_is_asked_for_and_share_nothing(
    sizes: tuple[float, ...], expected: list[int]
) -> None:
    for seed in (None, 5):
        parts = data.split(numbers(), *sizes, seed=seed)
        assert [len(part) for part in parts] == expected
        rows = [row for part in parts for row in order(part, None)]
        assert sorted(rows) == [*ROWS]
        assert (rows == [*ROWS]) == (seed is None)
        assert [*parts[0].column("target")] == [*CLASSES[order(parts[0], None)]]


def test_endless_epochs_go_on_where_the_last_one_ended() -> None:
    endless = data.Endless(numbers(), 4)
    rows = [row for epoch in range(10) for row in order(endless, epoch, 3)]
    rounds = np.reshape(rows, (4, 10))
    assert (np.sort(rounds, axis=1) == ROWS).all()
    assert len({tuple(each) for each in rounds}) == 4
    assert len(endless) == 4
    assert order(endless, None) == [*ROWS]


@pytest.mark.parametrize("one_hot", [False, True])
def test_balanced_classes_take_turns(one_hot: bool) -> None:
    target = data.one_hot(CLASSES, 3) if one_hot else CLASSES
    balanced = data.Balanced(data.Arrays({"input": ROWS, "target": target}), 30)
    first, second = (order(balanced, epoch, 7) for epoch in range(2))
    for rows in (first, second):
        assert (np.sort(CLASSES[rows].reshape(-1, 3), axis=1) == [0, 1, 2]).all()
    zeros = [row for row in first + second if CLASSES[row] == 0]
    assert sorted(zeros[:7]) == sorted(zeros[7:14]) == [*range(7)]
    assert first != second
    assert first == order(balanced, 0, 4)


def test_arrays_get_other_names() -> None:
    (batch,) = data.selected(numbers(), {"x": "input", "y": "input"}).batches(10)
    assert sorted(batch) == ["x", "y"]
    assert [*batch["x"]] == [*batch["y"]] == [*ROWS]


def test_one_hot_and_back() -> None:
    categories = data.Categories.of(["b", "a", "b"])
    rows = categories.one_hot(["b", "a"])
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 1], [1, 0]]
    assert categories.columns("x") == ("x_a", "x_b")
    assert categories.decode(rows) == ["b", "a"]
    assert data.one_hot([[0], [1]], 2).shape == (2, 1, 2)


class Listed:
    """A dataset that is only iterated over, by one thread, and fails where it is told to."""

    def __init__(self, fails_at: int = -1) -> None:
        self.fails_at, self.threads = fails_at, set[int]()

    def __len__(self) -> int:
        return 10

    def batches(self, size: int, epoch: int | None = None) -> Iterator[Mapping[str, Any]]:
        for row in range(10):
            self.threads.add(threading.get_ident())
            if row == self.fails_at:
                raise ValueError(f"row {row}")
            yield {"input": np.array([row])}


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


@pytest.mark.parametrize("dataset", [numbers(), Listed(), data.Endless(numbers(), 23)])
@pytest.mark.parametrize("ahead", [1, 3, 99])
def test_ahead_changes_nothing(dataset: Any, ahead: int) -> None:
    for epoch in (None, 1):
        found = order(data.Ahead(dataset, workers=3, ahead=ahead), epoch, 3)
        assert found == order(dataset, epoch, 3)
    assert not workers()


def test_batches_are_made_by_other_threads_and_not_too_far_ahead() -> None:
    made = list[str]()

    def note(batch: data.Batch) -> data.Batch:
        made.append(threading.current_thread().name)
        return batch

    batches = data.Ahead(data.Mapped(numbers(), note), ahead=3).batches(1)
    next(batches)
    time.sleep(0.02)
    assert 1 <= len(made) <= 3
    assert all(name.startswith("batches") for name in made)
    del batches
    assert not workers()


@pytest.mark.parametrize("within", [False, True])
def test_what_fails_in_a_thread_is_raised_where_its_batch_would_come(within: bool) -> None:
    def fail(batch: data.Batch) -> data.Batch:
        if batch["input"][0] == 4:
            raise ValueError("row 4")
        return batch

    dataset = data.Mapped(numbers(), fail) if within else Listed(fails_at=4)
    batches = data.Ahead(dataset, ahead=1).batches(1)
    assert [int(next(batches)["input"][0]) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="row 4"):
        next(batches)
    assert not workers()
