"""Random numbers that depend on the row they are for, not on how a batch is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

LANES = 8  # float32 numbers that one turn of Philox 4x64's counter gives
WORDS = 16  # 16-bit words likewise
BLOCK = 4096
"""Numbers of 64 bits made at a time: an array this small comes from memory that is at hand."""

Draw = Callable[[], Any]


@dataclass(slots=True)
class Clock:
    """The step that all random numbers of a plan are drawn for."""

    step: int = 0


def uniform(
    seed: int, node: int, clock: Clock, xp: Any = np
) -> Callable[[tuple[int, ...], int], Draw]:
    """From a shape, and the number of its first row: a function that draws float32 in [0, 1).

    The numbers are those of Philox 4x64 with key (seed, node) and counter (row, step): (seed, step)
    is all the state there is to save. Each row starts at a counter of its own.
    """

    def shaped(shape: tuple[int, ...], first_row: int) -> Draw:
        philox = np.random.Philox(key=np.array([seed, node], np.uint64))
        generator = np.random.Generator(philox)

        def fill(drawn: Any) -> None:
            generator.random(dtype=np.float32, out=drawn)

        return _drawing(philox, fill, shape, first_row, LANES, np.float32, clock, xp)

    return shaped


def words(
    seed: int, node: int, clock: Clock, xp: Any = np
) -> Callable[[tuple[int, ...], int], Draw]:
    """The same for uint16: all there is to toss a coin with, four of them of 64 bits."""

    def shaped(shape: tuple[int, ...], first_row: int) -> Draw:
        philox = np.random.Philox(key=np.array([seed, node], np.uint64))

        def fill(drawn: Any) -> None:
            into = drawn.reshape(-1).view(np.uint64)
            for first in range(0, into.size, BLOCK):
                part = into[first : first + BLOCK]
                part[...] = philox.random_raw(part.size)

        return _drawing(philox, fill, shape, first_row, WORDS, np.uint16, clock, xp)

    return shaped


def _drawing(
    philox: Any,
    fill: Callable[[Any], None],
    shape: tuple[int, ...],
    first_row: int,
    lanes: int,
    dtype: Any,
    clock: Clock,
    xp: Any,
) -> Draw:
    """Sets the counter, has all rows filled and gives what the shape needs of them."""
    rows, width = shape[0], int(np.prod(shape[1:], dtype=np.int64))
    turns = -(-width // lanes)
    drawn = np.empty((rows, turns * lanes), dtype)
    part = drawn[:, :width].reshape(shape)
    on_device: Any = None if isinstance(xp.empty(0), np.ndarray) else xp.empty(shape, dtype)
    state: Any = philox.state
    counter = state["state"]["counter"]

    def draw() -> Any:
        counter[:] = first_row * turns, clock.step, 0, 0
        state["buffer_pos"], state["has_uint32"] = 4, 0
        philox.state = state
        fill(drawn)
        if on_device is None:
            return part
        on_device.set(part)
        return on_device

    return draw
