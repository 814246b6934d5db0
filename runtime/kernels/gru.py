"""Gated recurrent units of tanh and sigmoid, in few passes over memory that lies together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from ..frame import Array, Frame
from ..op import Step, Steps
from .sequences import Sequences


class Gru:
    """A layer over its arrays, of either kind.

    What belongs to a step is (parts, units, rows), and (width, rows) what its pre-activations'
    gradients are, in ``dz``. ``kernels`` are what parts of stacks like that of ``Sequences`` are
    multiplied with, and ``halved`` the same for tanh(z / 2), which the sigmoids are made of.
    """

    parts: int
    """Of what belongs to a step; the gradients of pre-activations are as many."""
    sigmoids: Sequence[slice]
    """Of each kernel, the gates."""

    def __init__(self, at: Frame, reverse: bool) -> None:
        self.at, self.xp = at, at.xp
        self.rows, self.units = at.y[1].shape
        self.state = self.units, self.rows
        self.sequences = Sequences.of(at, reverse, self.parts * self.units)
        self.held, self.h = self.sequences.held, self.sequences.h
        self._kept = at.keep((self._places, self.parts, *self.state))
        shapes = self.shapes()
        self.kernels = [at.keep(shape) for shape in shapes]
        self.halved = [at.scratch(shape) for shape in shapes]
        self.spare = at.scratch(self.state)
        if at.grads:
            self.dh, self.dbefore = (at.scratch(self.state) for _ in range(2))
            self.room = at.scratch((3, *self.state))

    def shapes(self) -> Sequence[tuple[int, int, int]]:
        """Of each kernel: (rows of a stack, gates, units)."""
        raise NotImplementedError

    def pairs(
        self, theirs: Mapping[str, Array], kernels: Sequence[Array]
    ) -> list[tuple[Array, Array]]:
        """Parts of the parameters that are there, and of the kernels, that correspond."""
        raise NotImplementedError

    def forward(self, s: int) -> Step:
        """Writes the state after a step."""
        raise NotImplementedError

    def backward(self, s: int, flat: Array) -> Step:
        """Writes dz of the step, (width, rows), and ``dbefore``, of the state before it."""
        raise NotImplementedError

    def products_back(self, block: range, dz: Array, totals: Sequence[Array]) -> list[Step]:
        """What dz of a block gives the gradients of kernels, in ``totals``, and of inputs."""
        raise NotImplementedError

    @property
    def _places(self) -> int:
        return len(self.sequences.steps) if self.at.grads else 1

    def of_step(self, s: int) -> Array:
        """What belongs to a step."""
        return self._kept[s % self._places]

    def bind(self) -> tuple[Steps, Steps]:
        """Both passes."""
        forward = (*self.begin(), *self._loop(), *self.sequences.end())
        return forward, self._back() if self.at.grads else None

    def begin(self) -> list[Step]:
        """Lays the kernels out, and fills the state before the first step."""
        xp, steps = self.xp, list[Step]()
        if "bias" not in self.at.p:
            steps += [partial(kernel.fill, 0) for kernel in self.kernels]
        pairs = self.pairs(self.at.p, self.kernels)
        steps += [partial(xp.copyto, ours, theirs) for theirs, ours in pairs]
        for kernel, halved, gates in zip(self.kernels, self.halved, self.sigmoids, strict=True):
            steps.append(partial(xp.copyto, halved, kernel))
            steps.append(partial(xp.multiply, kernel[:, gates], 0.5, out=halved[:, gates]))
        return [*steps, *self.sequences.begin()]

    def _loop(self) -> list[Step]:
        found: list[Step] = []
        for s in self.sequences.steps:
            found.append(self.forward(s))
            found += self.held.hold(s, [(self.h[:, s + 1], self.h[:, s])])
        return found

    def _back(self) -> tuple[Step, ...]:
        sequences = self.sequences
        totals = [self.at.scratch(kernel.shape) for kernel in self.kernels]
        prepare, dy = sequences.output_back()
        steps = [*prepare, sequences.last_back(0, self.dh)]
        for block in sequences.blocks:
            dz = sequences.dz(block)
            for s in reversed(block):
                steps += self._step_back(s, dz[:, s - block.start], dy)
            steps += self.held.drop([dz.swapaxes(0, 1)], slice(block.start, block.stop))
            steps += self.products_back(block, dz, totals)
        steps += sequences.initial_back(0, self.dh)
        pairs = self.pairs(self.at.dp, totals)
        return (*steps, *(partial(self.xp.copyto, theirs, ours) for theirs, ours in pairs))

    def _step_back(self, s: int, dz: Array, dy: Array) -> list[Step]:
        """A step, backward; one that does not count hands ``dh`` on."""
        xp, dh, counted = self.xp, self.dh, self.held.counted
        steps: list[Step] = [] if dy is None else [partial(xp.add, dh, dy[s], out=dh)]
        where = {} if counted is None else {"where": counted[s]}
        return [*steps, self.backward(s, dz), partial(xp.copyto, dh, self.dbefore, **where)]


class ResetAfter(Gru):
    """The reset gate after the product, as in cuDNN and Keras 2 and 3.

    To a step belong what the state gives the candidate, then update, reset gate and candidate: g u
    r n. Products with the state give g u r, those with the input u r n, each a stretch of it. The
    kernels' parts of the stack are the input and the one, and the one and the state.
    """

    parts = 4
    sigmoids = slice(0, 2), slice(1, 3)

    def __init__(self, at: Frame, reverse: bool) -> None:
        super().__init__(at, reverse)
        self.z = at.scratch((3, *self.state))

    @property
    def stacks(self) -> tuple[Array, Array]:
        """What is under each kernel."""
        stack, inputs = self.sequences.stack, self.sequences.inputs
        return stack[: inputs + 1], stack[inputs:]

    def shapes(self) -> Sequence[tuple[int, int, int]]:
        return [(len(stack), 3, self.units) for stack in self.stacks]

    def pairs(
        self, theirs: Mapping[str, Array], kernels: Sequence[Array]
    ) -> list[tuple[Array, Array]]:
        of_inputs, of_state = kernels
        pairs: list[tuple[Array, Array]] = []
        if "kernel" in theirs:
            pairs.append((split(theirs["kernel"]), of_inputs[:-1]))
        if "bias" in theirs:
            of_input, beside = split(theirs["bias"])
            pairs.append((of_input, of_inputs[-1]))
            pairs += [(beside[:2], of_state[0, 1:]), (beside[2], of_state[0, 0])]
        if "recurrent_kernel" in theirs:
            kernel = split(theirs["recurrent_kernel"])
            pairs += [(kernel[:, :2], of_state[1:, 1:]), (kernel[:, 2], of_state[1:, 0])]
        return pairs

    def forward(self, s: int) -> Step:
        xp, step, z, spare = self.xp, self.of_step(s), self.z, self.z[0]
        (x, state), before, after = (a[:, s] for a in self.stacks), self.h[:, s], self.h[:, s + 1]
        of_inputs, of_state = (matrix(kernel).T for kernel in self.halved)
        product, beside = z.reshape(-1, self.rows), step[:3].reshape(-1, self.rows)
        gates, (given, update, reset, candidate), z_gates, z_n = step[1:3], step, z[:2], z[2]

        def forward() -> None:
            xp.matmul(of_inputs, x, out=product)
            xp.matmul(of_state, state, out=beside)
            xp.add(gates, z_gates, out=gates)
            xp.tanh(gates, out=gates)
            xp.multiply(gates, 0.5, out=gates)
            xp.add(gates, 0.5, out=gates)
            xp.multiply(reset, given, out=candidate)
            xp.add(candidate, z_n, out=candidate)
            xp.tanh(candidate, out=candidate)
            xp.subtract(before, candidate, out=spare)
            xp.multiply(spare, update, out=spare)
            xp.add(candidate, spare, out=after)

        return forward

    def backward(self, s: int, flat: Array) -> Step:
        xp, step, dh, before = self.xp, self.of_step(s), self.dh, self.dbefore
        dz = flat.reshape(4, *self.state, copy=False)
        made, gates, update, candidate, values = step[1:], step[1:3], step[1], step[3], step[0:3:2]
        of_made, of_gates, of_candidate = self.room, self.room[:2], self.room[2]
        spare, kernel, state = self.spare, matrix(self.kernels[1][1:]), self.h[:, s]
        dgates, dupdate, dcandidate, dvalues = dz[1:3], dz[1], dz[3], dz[2::-2]
        dbeside = flat[: 3 * self.units]

        def backward() -> None:
            xp.multiply(made, made, out=of_made)
            xp.subtract(1, of_candidate, out=of_candidate)  # of tanh
            xp.subtract(gates, of_gates, out=of_gates)  # of the sigmoid
            xp.multiply(dh, update, out=before)
            xp.subtract(dh, before, out=spare)
            xp.multiply(spare, of_candidate, out=dcandidate)
            xp.multiply(dcandidate, values, out=dvalues)  # each times the other one
            xp.subtract(state, candidate, out=spare)
            xp.multiply(spare, dh, out=dupdate)
            xp.multiply(dgates, of_gates, out=dgates)
            xp.matmul(kernel, dbeside, out=spare)
            xp.add(before, spare, out=before)

        return backward

    def products_back(self, block: range, dz: Array, totals: Sequence[Array]) -> list[Step]:
        sequences, parts = self.sequences, (dz[self.units :], dz[: -self.units])
        steps: list[Step] = []
        if self.at.dp:
            for stack, part, total in zip(self.stacks, parts, totals, strict=True):
                steps += sequences.kernel_back(block, stack, part, matrix(total))
        return [*steps, *sequences.input_back(block, parts[0], matrix(self.kernels[0][:-1]))]


def split(theirs: Array) -> Array:
    """The gates u, r, h along the last axis, as an axis of their own."""
    return theirs.reshape(*theirs.shape[:-1], 3, -1)


def matrix(kernel: Array) -> Array:
    """The gates and units as one axis."""
    return kernel.reshape(len(kernel), -1)
