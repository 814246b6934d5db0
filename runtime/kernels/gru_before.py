"""Gated recurrent units whose reset gate comes before the product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from ..frame import Array, Frame
from ..op import Step
from .gru import Gru, matrix, split


class ResetBefore(Gru):
    """The reset gate before the product, as Cho et al. 2014 and Keras 1 have it.

    To a step belong update, reset gate and candidate: u r n. ``left`` is a stack with r * h in the
    place of h, which gives the candidate.
    """

    parts = 3
    sigmoids = slice(0, 2), slice(0, 0)

    def __init__(self, at: Frame, reverse: bool) -> None:
        super().__init__(at, reverse)
        self.left = at.keep(self.sequences.stack.shape)

    def shapes(self) -> Sequence[tuple[int, int, int]]:
        return [(len(self.sequences.stack), gates, self.units) for gates in (2, 1)]

    def begin(self) -> list[Step]:
        inputs = self.sequences.inputs + 1
        source, to = self.sequences.stack[:inputs], self.left[:inputs]
        return [*super().begin(), partial(self.xp.copyto, to, source)]

    def pairs(
        self, theirs: Mapping[str, Array], kernels: Sequence[Array]
    ) -> list[tuple[Array, Array]]:
        pairs: list[tuple[Array, Array]] = []
        inputs = self.sequences.inputs
        for name, place in (
            ("kernel", slice(0, inputs)),
            ("bias", inputs),
            ("recurrent_kernel", slice(inputs + 1, None)),
        ):
            if name in theirs:
                parts = split(theirs[name])
                pairs.append((parts[..., :2, :], kernels[0][place]))
                pairs.append((parts[..., 2:, :], kernels[1][place]))
        return pairs

    def forward(self, s: int) -> Step:
        xp, step, spare = self.xp, self.of_step(s), self.spare
        x, left, before, after = (
            self.sequences.stack[:, s], self.left[:, s], self.h[:, s], self.h[:, s + 1],
        )  # fmt: skip
        of_gates, of_candidate = (matrix(kernel).T for kernel in self.halved)
        gates, (update, reset, candidate) = step[:2], step
        flat, rest = gates.reshape(-1, self.rows), left[self.sequences.inputs + 1 :]

        def forward() -> None:
            xp.matmul(of_gates, x, out=flat)
            xp.tanh(flat, out=flat)
            xp.multiply(flat, 0.5, out=flat)
            xp.add(flat, 0.5, out=flat)
            xp.multiply(reset, before, out=rest)
            xp.matmul(of_candidate, left, out=candidate)
            xp.tanh(candidate, out=candidate)
            xp.subtract(before, candidate, out=spare)
            xp.multiply(spare, update, out=spare)
            xp.add(candidate, spare, out=after)

        return forward

    def backward(self, s: int, flat: Array) -> Step:
        xp, made, dh, before = self.xp, self.of_step(s), self.dh, self.dbefore
        dz = flat.reshape(3, *self.state, copy=False)
        gates, (update, reset, candidate), state = made[:2], made, self.h[:, s]
        of_gates, of_candidate, spare = self.room[:2], self.room[2], self.spare
        dgates, (dupdate, dreset, dcandidate) = dz[:2], dz
        inputs, flat_gates = self.sequences.inputs + 1, flat[: 2 * self.units]
        kernel, kernel_n = (matrix(kernel[inputs:]) for kernel in self.kernels)

        def backward() -> None:
            xp.multiply(made, made, out=self.room)
            xp.subtract(1, of_candidate, out=of_candidate)  # of tanh
            xp.subtract(gates, of_gates, out=of_gates)  # of the sigmoid
            xp.multiply(dh, update, out=before)
            xp.subtract(dh, before, out=spare)
            xp.multiply(spare, of_candidate, out=dcandidate)
            xp.matmul(kernel_n, dcandidate, out=spare)
            xp.multiply(spare, state, out=dreset)
            xp.multiply(spare, reset, out=spare)
            xp.add(before, spare, out=before)
            xp.subtract(state, candidate, out=spare)
            xp.multiply(spare, dh, out=dupdate)
            xp.multiply(dgates, of_gates, out=dgates)
            xp.matmul(kernel, flat_gates, out=spare)
            xp.add(before, spare, out=before)

        return backward

    def products_back(self, block: range, dz: Array, totals: Sequence[Array]) -> list[Step]:
        sequences = self.sequences
        gates, candidate = dz[: 2 * self.units], dz[2 * self.units :]
        steps: list[Step] = []
        if self.at.dp:
            steps += sequences.kernel_back(block, sequences.stack, gates, matrix(totals[0]))
            steps += sequences.kernel_back(block, self.left, candidate, matrix(totals[1]))
        return [*steps, *sequences.input_back(block, dz, self.at.p["kernel"])]
