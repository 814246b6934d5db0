"""Placing buffers in one stretch of memory, so that those never alive together can share it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

ALIGNMENT = 64  # bytes: a cache line, and the widest vector

FOREVER = 1 << 60


@dataclass(slots=True, eq=False)
class Buffer:
    """``size`` bytes, needed from step ``first`` to step ``last``, both included.

    ``dtype`` is that of what they hold, where one array is all they are for.
    """

    size: int
    first: int
    last: int
    offset: int = 0
    dtype: Any = None

    def alive_with(self, other: Buffer) -> bool:
        """Whether the two are needed at the same time."""
        return self.first <= other.last and other.first <= self.last


def place(buffers: Iterable[Buffer]) -> int:
    """Gives each buffer its offset and returns the size of the whole, in bytes.

    Largest first, each at the lowest offset that is free for its life: the greedy order that
    TensorFlow Lite's planner uses (Pisarchyk and Lee, 2020).
    """
    placed: list[Buffer] = []
    end = 0
    for buffer in sorted(buffers, key=lambda b: -b.size):
        offset = 0
        for other in placed:  # in order of offset
            if not buffer.alive_with(other):
                continue
            if other.offset - offset >= buffer.size:
                break
            offset = max(offset, _aligned(other.offset + other.size))
        buffer.offset = offset
        placed.append(buffer)
        placed.sort(key=lambda b: b.offset)
        end = max(end, offset + buffer.size)
    return end


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


class Arena:
    """The memory of placed buffers."""

    def __init__(self, xp: Any, buffers: Iterable[Buffer]) -> None:
        self.size = place(buffers)
        raw = xp.empty(self.size + ALIGNMENT, "uint8")
        start = -raw.ctypes.data % ALIGNMENT if hasattr(raw, "ctypes") else 0
        self._raw = raw[start : start + self.size]
        self._arrays: dict[tuple[Buffer, tuple[int, ...], Any], Any] = {}

    def array(self, buffer: Buffer, shape: tuple[int, ...], dtype: Any) -> Any:
        """A buffer as an array that fills it; asked for twice, it is the same object."""
        key = (buffer, shape, dtype)
        if key not in self._arrays:
            raw = self._raw[buffer.offset : buffer.offset + buffer.size]
            self._arrays[key] = raw.view(dtype).reshape(shape)
        return self._arrays[key]
