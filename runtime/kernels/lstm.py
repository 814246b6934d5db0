"""Long short-term memory of tanh and sigmoid, in few passes over memory that lies together.

What belongs to a step is (6 * units, rows): the cell before it, c; candidate and gates, g f i o;
and tanh of the cell after it. In that order a step's products are of neighbours: (c, g) * (f, i).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..frame import Array, Frame
from ..op import Step, Steps
from .sequences import Sequences


def bind(at: Frame, reverse: bool) -> tuple[Steps, Steps]:
    """Both passes; parameters and their gates i, f, c, o are those of the operation."""
    layer = _Lstm(at, reverse)
    forward = (*layer.begin(), *layer.loop(), *layer.end())
    return forward, layer.back() if at.grads else None


class _Lstm:
    """The layer over its arrays.

    ``kernel`` (inputs + 1 + units, gates) is what ``Sequences.stack`` is multiplied with;
    ``halved`` is the same for tanh(z / 2), which the sigmoids are made of.
    """

    def __init__(self, at: Frame, reverse: bool) -> None:
        self.at, self.xp = at, at.xp
        self.rows, self.units = at.y[1].shape
        self.sequences = Sequences.of(at, reverse, 4 * self.units)
        self.held, self.stack = self.sequences.held, self.sequences.stack
        # Of the steps before, forward alone needs no more than the cell.
        self._kept = at.keep((self._places, 6, self.units, self.rows))
        shape = (len(self.stack), 4, self.units)
        self.kernel, self.halved = at.keep(shape), at.scratch(shape)
        self.half = at.hold((4, 1), fill=0.5)
        self.half[0] = 1

    @property
    def masked(self) -> bool:
        """Whether there are steps that do not count."""
        return self.held.counted is not None

    @property
    def _places(self) -> int:
        return len(self.sequences.steps) + 1 if self.at.grads else 2

    def of_step(self, s: int) -> Array:
        """(6, units, rows): c before the step, g, f, i, o, tanh of c after it."""
        return self._kept[s % self._places]

    def begin(self) -> list[Step]:
        """Lays the kernel out, and fills the states before the first step."""
        steps: list[Step] = []
        for name, part in self._parts(self.kernel):
            if name in self.at.p:
                pairs = zip(_gates(part), _laid(self.at.p[name]), strict=True)
                steps += [partial(self.xp.copyto, to, theirs) for to, theirs in pairs]
            else:
                steps.append(partial(part.fill, 0))
        steps.append(partial(self.xp.multiply, self.kernel, self.half, out=self.halved))
        first = self.sequences.initial(1, self.of_step(0)[0])
        return [*steps, *self.sequences.begin(), first]

    def loop(self) -> list[Step]:
        """The steps, forward."""
        h, pair = self.sequences.h, self.at.scratch((2, self.units, self.rows))
        found: list[Step] = []
        for s in self.sequences.steps:
            c, after = self.of_step(s)[0], self.of_step(s + 1)[0]
            found.append(self.forward(s, pair, after))
            found += self.held.hold(s, [(h[:, s + 1], h[:, s]), (after, c)])
        return found

    def forward(self, s: int, pair: Array, after: Array) -> Step:
        """Writes the states after a step."""
        xp, x, h = self.xp, self.stack[:, s], self.sequences.h[:, s + 1]
        step, kernel = self.of_step(s), _matrix(self.halved).T
        made, gates, values, factors = step[1:5], step[2:5], step[0:2], step[2:4]
        z, o, squashed, (kept, added) = made.reshape(-1, self.rows), step[4], step[5], pair

        def forward() -> None:
            xp.matmul(kernel, x, out=z)
            xp.tanh(z, out=z)
            xp.multiply(gates, 0.5, out=gates)
            xp.add(gates, 0.5, out=gates)
            xp.multiply(values, factors, out=pair)
            xp.add(kept, added, out=after)
            xp.tanh(after, out=squashed)
            xp.multiply(o, squashed, out=h)

        return forward

    def end(self) -> list[Step]:
        """The outputs."""
        last = self.of_step(len(self.sequences.steps))[0]
        return [*self.sequences.end(), self.sequences.last(1, last)]

    def back(self) -> tuple[Step, ...]:
        """The whole way back."""
        sequences, total = self.sequences, self.at.scratch(self.kernel.shape)
        prepare, dy = sequences.output_back()
        way = _Back(self, dy)
        kernel = _matrix(self.kernel[: sequences.inputs])
        steps = [*prepare, *(sequences.last_back(k, slope) for k, slope in enumerate(way.states))]
        for block in sequences.blocks:
            steps += way.block(block)
            dz = sequences.dz(block)
            if self.at.dp:
                steps += sequences.kernel_back(block, self.stack, dz, _matrix(total))
            steps += sequences.input_back(block, dz, kernel)
        for k, slope in enumerate(way.states):
            steps += sequences.initial_back(k, slope)
        return (*steps, *self._sums(total))

    def _sums(self, total: Array) -> list[Step]:
        """Hands out the gradients of the parameters."""
        steps: list[Step] = []
        for name, part in self._parts(total):
            if name in self.at.dp:
                pairs = zip(_laid(self.at.dp[name]), _gates(part), strict=True)
                steps += [partial(self.xp.copyto, theirs, ours) for theirs, ours in pairs]
        return steps

    def _parts(self, kernel: Array) -> Sequence[tuple[str, Array]]:
        """By the name of a parameter the part of a kernel that it is laid out in."""
        inputs = self.sequences.inputs
        return (
            ("kernel", kernel[:inputs]),
            ("bias", kernel[inputs]),
            ("recurrent_kernel", kernel[inputs + 1 :]),
        )


class _Back:
    """The steps of a layer backward, one at a time.

    ``states`` are the gradients of both states, first after a step and then before it; ``slope`` is
    laid out as what belongs to the step, each part's gradient; ``room`` as all but c.
    """

    def __init__(self, layer: _Lstm, dy: Array) -> None:
        self.layer, self.xp, self.dy = layer, layer.xp, dy
        at, state = layer.at, (layer.units, layer.rows)
        self.slope, self.room = at.scratch((6, *state)), at.scratch((5, *state))
        self.dh, self.dc = at.scratch(state), at.scratch(state)
        self.states = self.dh, self.slope[0]
        self.kernel = _matrix(layer.kernel[layer.sequences.inputs + 1 :])
        self.held_back = [at.scratch(state) for _ in self.states] if layer.masked else []

    def block(self, block: range) -> list[Step]:
        """Back through a block: writes ``dz``."""
        steps, dz, dh = list[Step](), self.layer.sequences.dz(block), self.dh
        for s in reversed(block):
            if self.dy is not None:
                steps.append(partial(self.xp.add, dh, self.dy[s], out=dh))
            steps += self.step(s, dz[:, s - block.start])
        part = slice(block.start, block.stop)
        return [*steps, *self.layer.held.drop([dz.swapaxes(0, 1)], part)]

    def step(self, s: int, dz: Array) -> list[Step]:
        """One that does not count hands the gradients of the states on."""
        copies: list[Step] = [
            partial(self.xp.copyto, kept, slope)
            for kept, slope in zip(self.held_back, self.states, strict=False)
        ]
        pairs = zip(self.states, self.held_back, strict=False)
        return [*copies, self.backward(s, dz), *self.layer.held.hold(s, pairs)]

    def backward(self, s: int, flat: Array) -> Step:
        """Writes dz of the step, (4 * units, rows), and over the gradients of the states."""
        xp, step, slope, room = self.xp, self.layer.of_step(s), self.slope, self.room
        dh, dc, kernel = self.dh, self.dc, self.kernel
        dz = flat.reshape(4, *dh.shape, copy=False)
        values, factors, gates, made = step[0:2], step[2:4], step[2:5], step[1:6]
        dvalues, dfactors, dmade, dsquashed = slope[0:2], slope[2:4], slope[1:5], slope[5]
        outputs, doutputs = step[:3:-1], slope[4:]  # each times the other one's gradient
        of_tanh, of_gates, of_made, of_squashed = room[::4], room[1:4], room[:4], room[4]

        def backward() -> None:
            xp.multiply(dh, outputs, out=doutputs)
            xp.multiply(made, made, out=room)
            xp.subtract(1, of_tanh, out=of_tanh)
            xp.subtract(gates, of_gates, out=of_gates)
            xp.multiply(dsquashed, of_squashed, out=dc)
            xp.add(dc, slope[0], out=dc)
            xp.multiply(dc, values, out=dfactors)
            xp.multiply(dc, factors, out=dvalues)
            xp.multiply(dmade, of_made, out=dz)
            xp.matmul(kernel, flat, out=dh)

        return backward


def _laid(theirs: Array) -> tuple[Array, Array]:
    """Gates i, f, c, o along the last axis as c, f, i and o, each an axis of its own."""
    parts = theirs.reshape(*theirs.shape[:-1], 4, -1)
    return parts[..., 2::-1, :], parts[..., 3, :]


def _gates(ours: Array) -> tuple[Array, Array]:
    """Gates g, f, i, o likewise."""
    return ours[..., :3, :], ours[..., 3, :]


def _matrix(kernel: Array) -> Array:
    """The gates and units as one axis."""
    return kernel.reshape(len(kernel), -1)
