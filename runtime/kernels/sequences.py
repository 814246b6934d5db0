"""What comes before and after the steps of a recurrent layer whose arrays have their units first.

A state is (units, rows): each gate of a step is one block of memory, so that NumPy goes over
several of them in one call. Time is in the order in which steps are computed: a reversed layer
begins with the last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..frame import Array, Frame, Scratch
from ..op import Step
from .held import Held

CACHED = 1 << 19
"""Bytes that a block of steps works on: half of a core's second cache."""
LEAST_ROWS = 256


@dataclass(frozen=True)
class Sequences:
    """The sequences of a layer of (x, mask, *initial states), giving (sequences, *last states).

    ``stack`` (inputs + 1 + units, steps + 1, rows) has under each step its input, a one, and the
    state before it, so that one product adds up what all of them give, the bias with them.
    """

    at: Frame
    stack: Array
    held: Held
    reverse: bool
    _width: int
    _dz: Array
    _turn: Frame

    @classmethod
    def of(cls, at: Frame, reverse: bool, width: int) -> Sequences:
        """Takes the memory; ``width``: of the gradients of a step's pre-activations."""
        (rows, steps, inputs), units = at.x[0].shape, at.y[0].shape[2]
        mask = _ordered(at.x[1], reverse) if len(at.x) > 1 and at.x[1] is not None else None
        given = len(at.x) > 2 and at.x[2] is not None
        stack = at.keep((inputs + 1 + units, steps + 1, rows))
        held, turn = Held.of_columns(at, mask, given), replace(at, scratch_memory=Scratch(at.xp))
        longest = len(_blocks(steps, rows * width * stack.itemsize, rows)[0])
        dz = at.scratch((width * longest * rows,)) if at.grads else None
        return cls(at, stack, held, reverse, width, dz, turn)

    @property
    def inputs(self) -> int:
        """The size of an input."""
        return self.at.x[0].shape[2]

    @property
    def steps(self) -> range:
        """The numbers of the steps."""
        return range(self.at.x[0].shape[1])

    @property
    def h(self) -> Array:
        """The first state before each step, and after the last: (units, steps + 1, rows)."""
        return self.stack[self.inputs + 1 :]

    @property
    def blocks(self) -> list[range]:
        """The steps in parts, the last first: what is kept of a part stays in a core's cache."""
        rows = self.stack.shape[2]
        return _blocks(len(self.steps), rows * self._width * self.stack.itemsize, rows)

    def dz(self, block: range) -> Array:
        """The gradient of a block's pre-activations, (width, steps, rows); blocks share memory."""
        shape = self._width, len(block), self.stack.shape[2]
        return self._dz[: math.prod(shape)].reshape(shape)

    def begin(self) -> list[Step]:
        """The inputs, and the first state before the first step."""
        xp, x = self.at.xp, self._timed(self.at.x[0])
        return [
            partial(xp.copyto, self.stack[: self.inputs, :-1], x),
            partial(self.stack[self.inputs].fill, 1),
            self.initial(0, self.h[:, 0]),
            *self.held.prepare(),
        ]

    def end(self) -> list[Step]:
        """The outputs, and the first state after the last step."""
        last = self.last(0, self.h[:, -1])
        if 0 in self.at.unread:
            return [last]
        h, y = self.h[:, 1:].swapaxes(0, 1), self._timed(self.at.y[0]).swapaxes(0, 1)
        return [self.held.copy(h, y), last]

    def initial(self, k: int, state: Array) -> Step:
        """Writes state k before the first step: the one that was given, or zeros."""
        given = self.at.x[2 + k] if len(self.at.x) > 2 + k else None
        return _set(self.at.xp, state, given)

    def last(self, k: int, state: Array) -> Step:
        """Hands out state k after the last step."""
        return partial(self.at.xp.copyto, self.at.y[1 + k], state.T)

    def last_back(self, k: int, slope: Array) -> Step:
        """Writes the gradient of state k after the last step."""
        return _set(self.at.xp, slope, self.at.dy[1 + k])

    def initial_back(self, k: int, slope: Array) -> list[Step]:
        """Hands out the gradient of state k before the first step."""
        dx = self.at.dx[2 + k] if len(self.at.dx) > 2 + k else None
        return [] if dx is None else [partial(self.at.xp.copyto, dx, slope.T)]

    def output_back(self) -> tuple[list[Step], Array]:
        """The gradient of the outputs, (steps, units, rows), or None; and what prepares it."""
        if self.at.dy[0] is None:
            return [], None
        dy = self._timed(self.at.dy[0]).swapaxes(0, 1)
        room = self.at.scratch(dy.shape)
        return [self.held.copy(dy, room)], room

    def input_back(self, block: range, dz: Array, kernel: Array) -> list[Step]:
        """The gradient of a block's inputs; dz is (width, steps, rows), kernel (inputs, width)."""
        if self.at.dx[0] is None:
            return []
        xp, dx = self.at.xp, self._timed(self.at.dx[0])[:, block.start : block.stop]
        room = self.room(dx.shape)
        return [
            partial(xp.matmul, kernel, _flat(dz), out=_flat(room)),
            partial(xp.copyto, dx, room),
        ]

    def kernel_back(self, block: range, x: Array, dz: Array, dkernel: Array) -> list[Step]:
        """Adds what a block gives the gradient of the kernel that x, as the stack, came under.

        The block of the last steps, which come first on the way back, writes it.
        """
        xp, count = self.at.xp, self.stack.shape[2]
        under = _flat(x)[:, block.start * count : block.stop * count]
        if block.stop == len(self.steps):
            return [partial(xp.matmul, under, _flat(dz).T, out=dkernel)]
        part = self.room(dkernel.shape)
        return [
            partial(xp.matmul, under, _flat(dz).T, out=part),
            partial(xp.add, dkernel, part, out=dkernel),
        ]

    def room(self, shape: tuple[int, ...]) -> Array:
        """Scratch memory that every other caller gets, too."""
        self._turn.scratch_memory.rewind()
        return self._turn.scratch(shape)

    def _timed(self, array: Array) -> Array:
        """Sequences (rows, steps, units) as (units, steps, rows)."""
        return _ordered(array, self.reverse).transpose(2, 1, 0)


def _blocks(steps: int, size: int, rows: int) -> list[range]:
    """So many steps that they fit a cache, but enough to be worth a sum of their products."""
    most = max(1, CACHED // size, -(-LEAST_ROWS // rows))
    return [range(max(0, end - most), end) for end in range(steps, 0, -most)]


def _ordered(array: Array, reverse: bool) -> Array:
    """Sequences, rows first, in the order in which steps are computed."""
    return array[:, ::-1] if reverse else array


def _flat(array: Array) -> Array:
    """Time and rows as one axis."""
    return array.reshape(len(array), -1)


def _set(xp: Any, state: Array, value: Array) -> Step:
    """A step that gives a state a value, rows first, or zeros if that is None."""
    return partial(state.fill, 0) if value is None else partial(xp.copyto, state, value.T)
