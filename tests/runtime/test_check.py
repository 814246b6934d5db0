"""The measure of how far two computations of a value are apart, and what is recorded of values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cortex.runtime import check
from cortex.runtime.check import SAMPLE, Check, Recorded, Statistics, difference

from .networks import Array, drawn

NAN, INF = math.nan, math.inf

CASES: Mapping[str, tuple[Sequence[float], Sequence[float], float]] = {
    "the same": ([1, -2, 3], [1, -2, 3], 0),
    "by the largest": ([1, 2, 4.4], [1, 2, 4], 0.1),
    "by the mean of squares": ([1, 0, 0, 0], [0, 0, 0, 1], math.sqrt(2)),
    "all off by a little": ([1.1, 1.1], [1, 1], 0.1),
    "one large, many small": ([10, 1, 1, 1], [10, 0, 0, 0], math.sqrt(3) / 10),
    "zeros": ([0, 0], [0, 0], 0),
    "a little beside zeros": ([1e-9, 0], [0, 0], 1e-3),
    "much beside zeros": ([1e-3, 0], [0, 0], 1e3),
    "nothing": ([], [], 0),
    "not a number in one": ([1, NAN], [1, 2], INF),
    "not a number in the other": ([1, 2], [1, NAN], INF),
    "not a number in both": ([1, NAN], [1, NAN], 0),
    "only not numbers": ([NAN, NAN], [NAN, NAN], INF),
    "an infinity in one": ([1, INF], [1, 2], INF),
    "the same infinity": ([2, INF], [1, INF], 1),
    "infinities of two signs": ([1, -INF], [1, INF], INF),
    "not a number for an infinity": ([1, NAN], [1, INF], INF),
    "huge": ([1e300, 2e300], [1e300, 1e300], 1),
    "huge of two signs": ([1.7e308], [-1.7e308], INF),
    "tiny": ([1e-320], [0], 0),
}


@pytest.mark.parametrize("block", [check.BLOCK, 1])
@pytest.mark.parametrize(("actual", "expected", "relative"), CASES.values(), ids=CASES)
def test_the_difference(
    actual: Sequence[float],
    expected: Sequence[float],
    relative: float,
    block: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check, "BLOCK", block)
    found = difference(np.array(actual, float), np.array(expected, float))
    assert found.relative == pytest.approx(relative, rel=1e-12, abs=1e-300)
    assert found.within(1e-4) == (relative <= 1e-4)


def test_the_difference_of_other_shapes_is_infinite() -> None:
    assert difference(np.zeros((2, 3)), np.zeros((3, 2))).relative == INF
    assert difference(np.zeros(3), np.zeros((1, 3))).relative == INF


def test_the_difference_says_what_it_is_relative_to() -> None:
    found = difference(np.array([1, -4.5]), np.array([1, -4.0]))
    assert (found.max_abs, found.scale) == (0.5, 4)
    assert found.relative == 0.125
    assert found.within(0.125)
    assert not found.within(0.1249)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "bool"])
def test_other_dtypes_are_compared_exactly(dtype: str) -> None:
    one = np.array([1, 0, 1]).astype(dtype)
    assert difference(one, one).relative == 0
    assert difference(one, 1 - one.astype(float)).relative > 1
    # In float16 the difference of these would be lost.
    assert difference(np.array([65000], np.float32), np.array([64999.9])).relative > 1e-7


values = arrays.arrays(
    np.float64, st.integers(0, 6), elements=st.floats(allow_nan=True, allow_infinity=True)
)


@given(values, values)
def test_nothing_is_hidden(actual: Array, expected: Array) -> None:
    """Whatever comes, the answer is a number or infinity; zero means equal."""
    found = difference(actual, expected)
    assert found.relative >= 0
    assert not math.isnan(found.max_abs)
    if found.relative == 0:
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-300 * scale)


@pytest.mark.parametrize(
    ("size", "most", "stride", "kept"),
    [(10, 100, 1, 10), (10, 10, 1, 10), (11, 10, 2, 6), (100, 10, 10, 10), (101, 10, 11, 10),
     (1, 1, 1, 1), (0, 10, 1, 0), (SAMPLE * 3 + 1, SAMPLE, 4, 12289)],
)  # fmt: skip
def test_a_record_is_thinned_out_evenly(size: int, most: int, stride: int, kept: int) -> None:
    value = drawn((size,), dtype=np.float64)
    record = Recorded.of(value, most)
    assert (record.stride, record.values.size) == (stride, kept)
    assert np.array_equal(record.values, value[::stride])
    assert record.difference(value).relative == 0


def test_a_record_finds_what_differs_where_it_looked() -> None:
    value = drawn((4, 5, 6), dtype=np.float64)
    record = Recorded.of(value, 30)
    assert record.stride == 4
    seen, unseen = value.copy(), value.copy()
    seen.reshape(-1)[8] += 1
    unseen.reshape(-1)[9] += 1
    assert record.difference(seen).max_abs == pytest.approx(1)
    assert record.difference(unseen).relative == 0
    assert record.difference(value.reshape(4, 30)).relative == INF


def test_a_record_of_a_transposed_value_is_in_its_own_order() -> None:
    value = drawn((3, 4)).T
    assert Recorded.of(value).difference(np.ascontiguousarray(value)).relative == 0


def test_statistics_of_a_value() -> None:
    value = np.array([[1.0, 2], [3, -6]], np.float32)
    found = Statistics.of(value, 3)
    assert (found.mean, found.min, found.max) == (0, -6, 3)
    assert found.std == pytest.approx(math.sqrt(12.5))
    assert found.first.tolist() == [1, 2, 3]
    assert found.difference(value).relative == 0


BASE = drawn((100,), dtype=np.float64)
LATE, EARLY = np.arange(100) == 90, np.arange(100) == 0


@pytest.mark.parametrize(
    ("value", "relative"),
    [
        (BASE * 1.01, 0.01),
        (BASE + 0.01 * np.abs(BASE).max(), 0.01),
        (np.where(LATE, BASE * 2, BASE), None),  # moves the moments
        (np.where(EARLY, -BASE, BASE), None),  # moves the first elements
        (np.where(LATE, NAN, BASE), INF),
        (BASE.reshape(10, 10), INF),
    ],
)
def test_statistics_find_what_differs(value: Array, relative: float | None) -> None:
    found = Statistics.of(BASE, 8).difference(value)
    assert found.relative > 1e-4
    if relative is not None:
        assert found.relative == pytest.approx(relative, rel=1e-6)


def test_statistics_of_values_that_are_not_finite() -> None:
    value = np.array([1.0, -INF, 2, -INF])
    expected = Statistics.of(np.array([1.0, -INF, 2, -INF]), 4)
    assert expected.difference(value).relative == 0
    assert expected.difference(np.array([1.5, -INF, 2, -INF])).relative == pytest.approx(0.25, 0.1)
    assert expected.difference(np.array([1.0, 0, 2, -INF])).relative == INF


def test_statistics_of_nothing() -> None:
    assert Statistics.of(np.zeros((0, 3))).difference(np.zeros((0, 3))).relative == 0


def test_a_check_names_what_differs_in_order() -> None:
    one, two, three = (drawn((4,), i, np.float64) for i in range(3))
    records = {name: Recorded.of(v) for name, v in (("a", one), ("b", two), ("c", three))}
    check = Check({}, {"c": records["c"]}, records, tolerance=1e-3)
    asked: list[str] = []

    def value(name: str) -> Array:
        asked.append(name)
        return {"a": one, "b": two * 1.01, "c": three * 1.0001}[name]

    (name, found), *others = check.differing_layers(value)
    assert (name, others) == ("b", [])
    assert found.relative == pytest.approx(0.01)
    assert asked == ["a", "b", "c"]
    assert next(check.differing_layers(value))[0] == "b"
    assert list(check.differing_outputs({"c": three})) == []
    assert [name for name, _ in check.differing_outputs({"c": three + 1})] == ["c"]
