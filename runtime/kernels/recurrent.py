"""The loop of a recurrent layer over its steps, there and back.

Time is the first axis of every array here, in the order in which steps are computed: a reversed
layer begins with the last. A state is (rows, *places, units), without places where the products
are of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Protocol

from ..frame import Array, Frame, Scratch
from ..op import Step, Steps
from .bias import add_bias, bias_gradient
from .held import Held


class Product(Protocol):
    """How a kernel is applied: to (rows, *places, inputs), giving (rows, *places, outputs)."""

    def forward(self, at: Frame, x: Array, kernel: Array, y: Array) -> Step:
        """Writes y."""
        ...

    def kernel_gradient(self, at: Frame, x: Array, dy: Array, dkernel: Array) -> Step:
        """Writes dkernel."""
        ...

    def input_gradient(self, at: Frame, dy: Array, kernel: Array, dx: Array) -> Step:
        """Writes dx."""
        ...


class Cell(Protocol):
    """What a recurrent layer computes in a step."""

    gates: ClassVar[int]
    """How many pre-activations a unit has."""

    def bind(self, run: Run) -> Bound:
        """The cell over these arrays."""
        ...


class Bound(Protocol):
    """A cell over the arrays of a ``Run``."""

    def forward(self, s: int) -> Step:
        """Writes the states s + 1 from the states s."""
        ...

    def backward(self, s: int) -> Step:
        """Writes ``run.dz[s]``, and ``run.slope(s, state)`` from ``run.slope(s + 1, state)``."""
        ...

    @property
    def slopes(self) -> Sequence[Array]:
        """All gradients of pre-activations, to be made zero where a step does not count."""
        ...

    def sums(self) -> list[Step]:
        """When that is done: the gradients of the recurrent parameters."""
        ...


@dataclass(frozen=True)
class Run:
    """The arrays of one layer.

    ``z`` (steps, rows, *places, gates * units) is what the inputs give the pre-activations; a cell
    adds what its states give, and may then write over it. ``dz`` is its gradient, None where there
    is no backward pass. ``states`` are (steps + 1, *state).
    """

    at: Frame
    z: Array
    dz: Array
    states: Sequence[Array]
    _slopes: Sequence[Sequence[Array]]
    _turn: Frame

    @classmethod
    def of(cls, at: Frame, gates: int) -> Run:
        """Takes the memory."""
        steps, state = at.x[0].shape[1], at.y[1].shape
        shape = (steps, *state[:-1], gates * state[-1])
        count, pair = len(at.y) - 1, range(2 if at.grads else 0)
        return cls(
            at,
            at.keep(shape),
            at.scratch(shape) if at.grads else None,
            [at.keep((steps + 1, *state)) for _ in range(count)],
            [[at.scratch(state) for _ in pair] for _ in range(count)],
            replace(at, scratch_memory=Scratch(at.xp)),
        )

    @property
    def steps(self) -> range:
        """The numbers of the steps."""
        return range(len(self.z))

    @property
    def units(self) -> int:
        """Units of a state."""
        return self.states[0].shape[-1]

    def slope(self, s: int, state: int = 0) -> Array:
        """The gradient of a state before step s. It shares memory with that before step s + 2."""
        return self._slopes[state][s % 2]

    def turn(self) -> Frame:
        """A frame whose scratch memory the next turn has, too: what is bound to it runs at once."""
        self._turn.scratch_memory.rewind()
        return self._turn

    def gated(self, z: Array) -> Array:
        """Pre-activations of all steps as (steps, rows * places, gates, units)."""
        return z.reshape(len(self.z), -1, z.shape[-1] // self.units, self.units)

    def lines(self, array: Array) -> Array:
        """Anything of one step, or of all, with its rows and places as one axis."""
        lead = array.shape[: array.ndim - self.states[0].ndim + 1]
        return array.reshape(*lead, -1, array.shape[-1])


def bind(at: Frame, cell: Cell, inputs: Product | None, reverse: bool) -> tuple[Steps, Steps]:
    """Both passes of a layer of (x, mask, *initial states), giving (sequences, *last states).

    ``inputs``: how the kernel is applied; None where x already is what a kernel gave.

    A step that the mask does not count hands the states on, and repeats the output before it: zeros
    where there is none.
    """
    run = Run.of(at, cell.gates)
    layer, bound = _Layer.of(at, run, inputs, reverse), cell.bind(run)
    forward = (*layer.begin(), *layer.loop(bound), *layer.end())
    if not at.grads:
        return forward, None
    return forward, (
        *layer.begin_back(),
        *layer.loop_back(bound),
        *layer.held.drop(bound.slopes),
        *bound.sums(),
        *layer.end_back(),
    )


@dataclass(frozen=True)
class _Layer:
    """What comes before, between and after the steps of any cell.

    ``x`` and ``y``, and their gradients, are views of the sequences with time first; ``room`` is
    for the input, or its gradient, in that order.
    """

    at: Frame
    run: Run
    inputs: Product | None
    held: Held
    x: Array
    y: Array
    dx: Array
    dy: Array
    room: Array

    @classmethod
    def of(cls, at: Frame, run: Run, inputs: Product | None, reverse: bool) -> _Layer:
        def timed(array: Array) -> Array:
            return None if array is None else array.swapaxes(0, 1)[:: -1 if reverse else 1]

        mask, given = timed(_input(at, 1)), _input(at, 2) is not None
        held = Held.of(at, mask, run.states[0].ndim - 1, given)
        x, y = timed(at.x[0]), timed(at.y[0])
        dx, dy = (timed(at.dx[0]), timed(at.dy[0])) if at.grads else (None, None)
        return cls(at, run, inputs, held, x, y, dx, dy, at.scratch(x.shape))

    def begin(self) -> list[Step]:
        """What the inputs give, and the states before the first step."""
        at, run, xp = self.at, self.run, self.at.xp
        steps: list[Step] = []
        if self.inputs:
            product = self.inputs.forward(at, _merged(self.room), at.p["kernel"], _merged(run.z))
            steps += [partial(xp.copyto, self.room, self.x), product]
        else:
            steps.append(partial(xp.copyto, run.z, self.x))
        if "bias" in at.p:
            steps.append(add_bias(at, run.lines(run.z), self._of_inputs(at.p["bias"])))
        for i, state in enumerate(run.states, 2):
            steps.append(_set(xp, state[0], _input(at, i)))
        return [*steps, *self.held.prepare()]

    def loop(self, cell: Bound) -> list[Step]:
        """The steps of the cell, forward."""
        found: list[Step] = []
        for s in self.run.steps:
            found += [cell.forward(s)]
            found += self.held.hold(s, [(h[s + 1], h[s]) for h in self.run.states])
        return found

    def end(self) -> list[Step]:
        """The outputs."""
        xp, states = self.at.xp, self.run.states
        last = zip(self.at.y[1:], states, strict=True)
        copies = [partial(xp.copyto, y, state[-1]) for y, state in last]
        return [self.held.copy(states[0][1:], self.y), *copies]

    def begin_back(self) -> list[Step]:
        """The gradients of the states after the last step."""
        count = len(self.run.steps)
        return [
            _set(self.at.xp, self.run.slope(count, k), dy) for k, dy in enumerate(self.at.dy[1:])
        ]

    def loop_back(self, cell: Bound) -> list[Step]:
        """The steps of the cell, backward."""
        xp, run, dy, found = self.at.xp, self.run, self.dy, list[Step]()
        if dy is not None and self.held.seen is not None:
            dy = self.at.scratch(dy.shape)
            found.append(self.held.copy(self.dy, dy))
        for s in reversed(run.steps):
            slopes = [(run.slope(s, k), run.slope(s + 1, k)) for k in range(len(run.states))]
            if dy is not None:
                found.append(partial(xp.add, slopes[0][1], dy[s], out=slopes[0][1]))
            found += [cell.backward(s), *self.held.hold(s, slopes)]
        return found

    def end_back(self) -> list[Step]:
        """The gradients of initial states, of the parameters of the inputs, and of the inputs."""
        at, run, xp, room = self.at, self.run, self.at.xp, _merged(self.room)
        steps = [_set(xp, dx, run.slope(0, k)) for k, dx in enumerate(at.dx[2:]) if dx is not None]
        dz, copy = _merged(run.dz), partial(xp.copyto, self.room, self.x)
        if self.inputs and "kernel" in at.dp:
            steps += [copy, self.inputs.kernel_gradient(at, room, dz, at.dp["kernel"])]
        if "bias" in at.dp:
            steps.append(bias_gradient(at, run.lines(run.dz), self._of_inputs(at.dp["bias"])))
        if self.dx is None:
            return steps
        if not self.inputs:
            return [*steps, partial(xp.copyto, self.dx, run.dz)]
        steps.append(self.inputs.input_gradient(at, dz, at.p["kernel"], room))
        return [*steps, partial(xp.copyto, self.dx, self.room)]

    def _of_inputs(self, bias: Array) -> Array:
        """The bias of the inputs: the first, where the recurrent product has one of its own."""
        return bias.reshape(-1, self.run.z.shape[-1])[0]


def _input(at: Frame, i: int) -> Array:
    """An input, or None where it is left out."""
    return at.x[i] if i < len(at.x) else None


def _set(xp: Any, array: Array, value: Array) -> Step:
    """A step that gives an array a value, or zeros if that is None."""
    return partial(array.fill, 0) if value is None else partial(xp.copyto, array, value)


def _merged(sequences: Array) -> Array:
    """Sequences with time and rows as one axis."""
    return sequences.reshape(-1, *sequences.shape[2:])
