"""The arithmetic of sizes: the text of an open one says what numbers would come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import product as combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.runtime.tensor import (
    Param,
    Size,
    Symbol,
    Tensor,
    broadcast,
    product,
    quotient,
    scaled,
    total,
    window,
)

from .networks import evaluated

STEPS: Mapping[str, Callable[[Size], Size]] = {
    **{
        f"window {minus} {stride}": lambda n, minus=minus, stride=stride: window(n, minus, stride)
        for minus, stride in [(0, 2), (1, 2), (2, 2), (2, 1), (-1, 2), (0, 3), (2, 3), (0, 4)]
    },
    **{
        f"scaled {times} {plus}": lambda n, times=times, plus=plus: scaled(n, times, plus)
        for times, plus in [(1, 2), (1, -1), (2, 0), (2, 1), (3, -2), (4, 0)]
    },
    "total": lambda n: total([n, 3, n]),
    "product": lambda n: product([2, n, 3]),
}
NUMBERS = range(200, 260)  # large enough for no window to be clamped, long enough for every residue


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_text_computes_what_numbers_do(length: int) -> None:
    for names in combinations(STEPS, repeat=length):
        size: Size = "H"
        for name in names:
            size = STEPS[name](size)
        for n in (200, 201, 207, 250):
            number: Size = n
            for name in names:
                number = STEPS[name](number)
            assert evaluated(size, H=n) == number, (names, size)


def test_equal_functions_have_equal_text() -> None:
    text_of: dict[tuple[int, ...], Size] = {}
    for names in [*combinations(STEPS, repeat=2), *combinations(STEPS, repeat=3)]:
        size: Size = "H"
        for name in names:
            size = STEPS[name](size)
        function = tuple(evaluated(size, H=n) for n in NUMBERS)
        assert text_of.setdefault(function, size) == size, names
    # The other way round, equal text is an equal function, as the text is what is evaluated.
    assert len(set(text_of.values())) == len(text_of) > 1000


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (window("H", 0, 2), "ceil(H/2)"),
        (window(window("H", 0, 2), 0, 2), "ceil(H/4)"),
        (window("H", 2, 1), "H-2"),
        (window("H", 1, 2), "ceil((H-1)/2)"),
        (window("H", 2, 2), "ceil(H/2)-1"),
        (scaled(window("H", 0, 2), 2), "2*ceil(H/2)"),
        (window(scaled(window("H", 0, 2), 2), 0, 2), "ceil(H/2)"),
        (window(scaled("H", 3), 1, 2), "H+ceil((H-1)/2)"),
        (window("H", 0, 1), "H"),
        (scaled("H", -1, 5), "-H+5"),
        (total(["H", 2, "W", "H"]), "2*H+W+2"),
        (total([scaled("H", -1), "H", 4]), 4),
        (product(["W", 2, "H", 3]), "6*H*W"),
        (product([window("H", 0, 2), window("W", 0, 2), 64]), "64*ceil(H/2)*ceil(W/2)"),
        (product(["H", total(["W", 1])]), "H+H*W"),
        (product(["H", 0]), 0),
        (window(product(["H", "W", 4]), 0, 6), "ceil(2*H*W/3)"),
        (product([]), 1),
        (total([]), 0),
    ],
)
def test_the_text_of_a_size(size: Size, text: Size) -> None:
    assert size == text
    assert type(size) in (int, str, Symbol)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (product(["H", "W"]), product(["W", "H"])),
        (total(["H", "W", 1]), total([1, "W", "H"])),
        (product([total(["H", 1]), 2]), total(["H", "H", 2])),
        (scaled(window("H", 2, 1), 3), scaled("H", 3, -6)),
        (scaled(window("H", 3, 2), 2), scaled(window("H", 1, 2), 2, -2)),
        (product([total(["H", "W"]), total(["H", "W"])]), total([
            product(["H", "H"]), product([2, "H", "W"]), product(["W", "W"]),
        ])),
    ],
)  # fmt: skip
def test_several_ways_to_one_size(one: Size, other: Size) -> None:
    assert one == other


def test_sums_and_products_are_not_confused() -> None:
    assert product(["H", total(["W", 1])]) != total([product(["H", "W"]), 1])
    assert scaled(total(["H", "W"]), 2) != total([scaled("H", 2), "W"])
    assert product([total(["H", 2]), "W", 3]) != total([scaled("H", 3), scaled("W", 2)])


sizes = st.recursive(
    st.sampled_from(["H", "W"]) | st.integers(1, 9),
    lambda inner: st.one_of(
        st.tuples(st.just("total"), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.just("product"), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.just("window"), st.tuples(inner, st.integers(0, 6), st.integers(1, 6))),
        st.tuples(st.just("scaled"), st.tuples(inner, st.integers(1, 5), st.integers(-3, 3))),
    ),
    max_leaves=8,
)


def compute(formula: object, **names: int) -> Size:
    """The formula with numbers for names, or without: as the product's functions compute it."""
    match formula:
        case int():
            return formula
        case str():
            return names.get(formula, formula)
        case ("total", [*parts]):
            return total([compute(part, **names) for part in parts])
        case ("product", [*parts]):
            return product([compute(part, **names) for part in parts])
        case ("window", (inner, int(minus), int(stride))):
            return window(compute(inner, **names), minus, stride)
        case ("scaled", (inner, int(times), int(plus))):
            return scaled(compute(inner, **names), times, plus)
        case _:
            raise AssertionError(formula)


def exactly(formula: object, **names: int) -> int:
    """As ``compute``, but a window of too little is negative rather than empty."""
    match formula:
        case ("window", (inner, int(minus), int(stride))) if isinstance(compute(inner), str):
            return -((minus - exactly(inner, **names)) // stride)
        case ("scaled", (inner, int(times), int(plus))):
            return times * exactly(inner, **names) + plus
        case ("total", [*parts]):
            return sum(exactly(part, **names) for part in parts)
        case ("product", [*parts]):
            return math.prod(exactly(part, **names) for part in parts)
        case _:
            found = compute(formula, **names)
            assert isinstance(found, int)
            return found


@given(sizes, st.integers(1, 500), st.integers(1, 500))
def test_any_formula_computes_what_numbers_do(formula: object, h: int, w: int) -> None:
    found = evaluated(compute(formula), H=Fraction(h), W=Fraction(w))
    assert found == exactly(formula, H=h, W=w)


def test_a_window_of_too_little_is_empty() -> None:
    assert window(3, 5, 1) == 0
    assert window(3, 5, 2) == 0


@pytest.mark.parametrize(
    ("shapes", "found"),
    [
        ([("N", 3), ("N", 3)], ("N", 3)),
        ([("N", 1, 4), ("N", 3, 1)], ("N", 3, 4)),
        ([("N", 3, 4), (4,)], ("N", 3, 4)),
        ([("N", "T"), ("N", 1)], ("N", "T")),
        ([("N", "T"), ("N", 5)], ("N", 5)),
        ([("N", 1), ("N", 1)], ("N", 1)),
    ],
)
def test_broadcasting(shapes: list[tuple[Size, ...]], found: tuple[Size, ...]) -> None:
    assert broadcast(shapes) == found


@pytest.mark.parametrize(
    ("size", "by", "found"),
    [
        (12, 4, 3),
        ("N", "N", 1),
        (product(["N", "T", 12]), product(["T", 4]), product(["N", 3])),
        (total([scaled("N", 6), 9]), 3, scaled("N", 2, 3)),
        (product([window("H", 0, 2), "N"]), "N", window("H", 0, 2)),
    ],
)
def test_a_quotient(size: Size, by: Size, found: Size) -> None:
    assert quotient(size, by) == found
    assert product([found, by]) == size


@pytest.mark.parametrize(("size", "by"), [(12, 5), ("N", 2), ("N", "T"), (4, "N"), ("N", 0)])
def test_a_quotient_that_is_not_known(size: Size, by: Size) -> None:
    with pytest.raises(ValueError, match="not known to be a multiple"):
        quotient(size, by)


def test_what_does_not_broadcast_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sizes \[3, 4\] do not match"):
        broadcast([("N", 3), ("N", 4)])


def test_tensors_and_parameters() -> None:
    assert Tensor(("N", 2, 3)).rank == 3
    assert Tensor((4, 2)).sizes == (4, 2)
    assert Param((2, 3)).size == 6
    assert Param(()).size == 1
