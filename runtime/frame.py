"""What an operation is given when it is bound: arrays, what is asked of it, memory to work in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .memory import ALIGNMENT
from .op import Step
from .shard import ALONE, Shard

Array = Any
"""A NumPy or a CuPy array."""


Draw = Callable[[tuple[int, ...], int], Callable[[], Array]]
"""From a shape and the number of its first row, a function that draws (see ``random``)."""


class Scratch:
    """Memory that lives for one node's turn and that all nodes of a plan share.

    It grows while a plan is bound; what was handed out before stays valid.
    """

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        self._block: Array = xp.empty(0, "uint8")
        self._used = self._wanted = 0

    def rewind(self) -> None:
        """The next node's turn."""
        self._used = self._wanted = 0

    def take(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """A C-contiguous array with undefined contents."""
        size = math.prod(shape) * self._xp.dtype(dtype).itemsize
        room = -(-size // ALIGNMENT) * ALIGNMENT
        self._wanted += room
        if self._used + room > self._block.size:
            # Room for all this turn has asked for, so that the next such turn needs no other block.
            self._block = self._xp.empty(self._wanted * 5 // 4, "uint8")
            self._used = 0
        array = self._block[self._used : self._used + size].view(dtype).reshape(shape)
        self._used += room
        return array


@dataclass(slots=True)
class Frame:
    """One node's view of a plan.

    All arrays are C-contiguous. ``x[i]`` is None where an optional input is left out, ``dx[i]``
    where it is not needed, ``dy[i]`` where nobody differentiates that output. ``dp`` lacks frozen
    parameters and state.
    """

    xp: Any
    dtype: Any
    x: tuple[Array, ...]
    y: tuple[Array, ...]
    dx: tuple[Array, ...]
    dy: tuple[Array, ...]
    p: Mapping[str, Array]
    dp: Mapping[str, Array]
    training: bool
    """Dropout is on, and statistics are the batch's."""
    frozen: bool
    """The layer keeps its parameters and, even in training, its moving averages."""
    grads: bool
    """Something is differentiated through this node."""
    name: str
    scratch_memory: Scratch
    draw: Draw
    draw_words: Draw
    shard: Shard = ALONE
    rows: int = 1
    weight: float = 1.0
    """Of a loss: what one row's loss counts."""
    unread: tuple[int, ...] = ()
    """The outputs that nobody looks at: an operation may leave them as they are."""
    fused: bool = False
    """Of a loss: dx[0] is the gradient of the input of the operation it is fused with."""
    _exchanges: int = field(default=0, init=False)

    @property
    def first_row(self) -> int:
        """Where this shard's rows start in the batch."""
        return self.shard.first_row

    @property
    def total(self) -> int:
        """Rows of all shards together."""
        return self.shard.total or self.rows

    @property
    def lead(self) -> bool:
        """Whether this shard is the one that updates state."""
        return self.shard.index == 0

    @property
    def meet(self) -> Step | None:
        """The marker between two steps where all shards wait for each other; None for one shard."""
        return self.shard.meet

    def scratch(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """Memory for this node's turn only: what it holds is gone when the next node runs."""
        return self.scratch_memory.take(shape, self.dtype if dtype is None else dtype)

    def keep(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """Memory that lasts from forward to backward; scratch where there is no backward."""
        return self.hold(shape, dtype) if self.grads else self.scratch(shape, dtype)

    def hold(self, shape: tuple[int, ...], dtype: Any = None, fill: Any = None) -> Array:
        """The node's own memory for the plan's life, filled once with ``fill`` if that is given."""
        array = self.xp.empty(shape, self.dtype if dtype is None else dtype)
        if fill is not None:
            array[...] = fill
        return array

    def exchange(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """(mine, every): a row of (shards, *shape) to write, and all rows, valid after ``meet``."""
        self._exchanges += 1
        every = self.shard.slot(
            f"{self.name}:{self._exchanges}",
            lambda count: self.xp.empty((count, *shape), self.dtype),
        )
        return every[self.shard.index], every

    def random(self, shape: tuple[int, ...], shared: bool = False) -> Callable[[], Array]:
        """A function that draws float32 in [0, 1) of a shape whose first axis is this shard's rows.

        The same numbers come for the same (seed, node, step, row), however the batch is cut into
        shards. ``shared``: the first axis is one that holds for every row.
        """
        return self.draw(shape, 0 if shared else self.first_row)

    def random_words(self, shape: tuple[int, ...], shared: bool = False) -> Callable[[], Array]:
        """The same for uint16 of all values alike: enough for a mask, and sooner drawn."""
        return self.draw_words(shape, 0 if shared else self.first_row)
