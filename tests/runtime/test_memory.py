"""Buffers that are needed at the same time never share memory, and those that are not mostly do."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.runtime.memory import ALIGNMENT, FOREVER, Arena, Buffer, place

sizes, steps = st.integers(0, 500), st.integers(0, 12)


@st.composite
def drawn(draw: st.DrawFn) -> Buffer:
    first, last = sorted((draw(steps), draw(steps)))
    return Buffer(draw(sizes), first, last)


buffers = drawn()


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def together(placed: list[Buffer], step: int) -> int:
    """Bytes needed at one step."""
    return sum(aligned(b.size) for b in placed if b.first <= step <= b.last)


@given(st.lists(buffers, max_size=25))
def test_buffers_alive_together_do_not_overlap(placed: list[Buffer]) -> None:
    end = place(placed)
    for one, other in combinations(placed, 2):
        if one.alive_with(other) and one.size and other.size:
            apart = one.offset + one.size <= other.offset or other.offset + other.size <= one.offset
            assert apart, (one, other)
    for buffer in placed:
        assert buffer.offset % ALIGNMENT == 0
        assert buffer.offset + buffer.size <= end


@given(st.lists(buffers, max_size=25))
def test_the_whole_is_no_more_than_all_and_no_less_than_what_one_step_needs(
    placed: list[Buffer],
) -> None:
    end = place(placed)
    assert end <= sum(aligned(b.size) for b in placed)
    assert aligned(end) >= max((together(placed, step) for step in range(13)), default=0)


def test_one_after_the_other_share() -> None:
    assert place([Buffer(100, step, step) for step in range(20)]) == 100


def test_a_chain_needs_two_buffers() -> None:
    chain = [Buffer(64, step, step + 1) for step in range(50)]
    assert place(chain) == 128


def test_nothing_needs_nothing() -> None:
    assert place([]) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_arrays_of_an_arena(dtype: str) -> None:
    size = 6 * np.dtype(dtype).itemsize
    kept, early, late = Buffer(size, 0, FOREVER), Buffer(size, 0, 1), Buffer(size, 2, 3)
    empty = Buffer(0, 0, 3)
    arena = Arena(np, [kept, early, late, empty])
    first = arena.array(early, (2, 3), np.dtype(dtype))
    assert first.flags.c_contiguous
    assert first.ctypes.data % ALIGNMENT == 0
    assert arena.array(early, (2, 3), np.dtype(dtype)) is first
    assert arena.array(early, (-1,), np.dtype(dtype)).shape == (6,)
    assert np.shares_memory(first, arena.array(late, (6,), np.dtype(dtype)))
    assert not np.shares_memory(first, arena.array(kept, (6,), np.dtype(dtype)))
    assert arena.array(empty, (0, 3), np.dtype(dtype)).shape == (0, 3)
