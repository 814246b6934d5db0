"""Random numbers that depend on the row they are for, not on how a batch is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

LANES = 8  # float32 numbers that one turn of Philox 4x64's counter gives


@dataclass(slots=True)
class Clock:
    """The step that all random numbers of a plan are drawn for."""

    step: int = 0


def uniform(
    seed: int, node: int, clock: Clock, xp: Any = np
) -> Callable[[tuple[int, ...], int], Callable[[], Any]]:
    """From a shape, and the number of its first row: a function that draws float32 in [0, 1).

    The numbers are those of Philox 4x64 with key (seed, node) and counter (row, step): (seed, step)
    is all the state there is to save. Each row starts at a counter of its own.
    """

    def shaped(shape: tuple[int, ...], first_row: int) -> Callable[[], Any]:
        rows, width = shape[0], int(np.prod(shape[1:], dtype=np.int64))
        turns = -(-width // LANES)
        drawn = np.empty((rows, turns * LANES), np.float32)
        part = drawn[:, :width].reshape(shape)
        on_device: Any = None if isinstance(xp.empty(0), np.ndarray) else xp.empty(shape, "float32")
        philox = np.random.Philox(key=np.array([seed, node], np.uint64))
        generator = np.random.Generator(philox)
        state: Any = philox.state
        counter = state["state"]["counter"]

        def draw() -> Any:
            counter[:] = first_row * turns, clock.step, 0, 0
            state["buffer_pos"], state["has_uint32"] = 4, 0
            philox.state = state
            generator.random(dtype=np.float32, out=drawn)
            if on_device is None:
                return part
            on_device.set(part)
            return on_device

        return draw

    return shaped
