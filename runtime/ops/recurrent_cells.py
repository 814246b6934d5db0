"""What recurrent layers compute in a step: on arrays, there and back, and in ONNX.

In both, z is what the inputs give the pre-activations, and the output is the first state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar, Protocol

from ..frame import Array, Frame
from ..kernels import recurrent
from ..kernels.recurrent import Run
from ..kernels.steps import in_turn
from ..op import Step
from .recurrent_activations import CellActivation

if TYPE_CHECKING:
    from ..tape import Tape, Value

Body = Callable[["Value", Sequence["Value"]], Sequence["Value"]]
"""Emits a step: from z and the states, the new states."""


class Product(recurrent.Product, Protocol):
    """How a kernel is applied, in ONNX too."""

    def onnx(
        self, tape: Tape, kernel: Value, bias: Value | None = None
    ) -> Callable[[Value], Value]:
        """Emits what depends on the kernel alone; the function emits a product, plus the bias."""
        ...


class RecurrentCell(recurrent.Cell, Protocol):
    """A cell, in ONNX too."""

    states: ClassVar[int]
    """How many states it has."""

    def onnx(self, tape: Tape, p: Mapping[str, Value]) -> Body:
        """Emits what depends on the parameters alone; the function emits a step."""
        ...


class Matrix:
    """x @ kernel."""

    def forward(self, at: Frame, x: Array, kernel: Array, y: Array) -> Step:
        return partial(at.xp.matmul, x, kernel, out=y)

    def kernel_gradient(self, at: Frame, x: Array, dy: Array, dkernel: Array) -> Step:
        return partial(at.xp.matmul, x.T, dy, out=dkernel)

    def input_gradient(self, at: Frame, dy: Array, kernel: Array, dx: Array) -> Step:
        return partial(at.xp.matmul, dy, kernel.T, out=dx)

    def onnx(
        self, tape: Tape, kernel: Value, bias: Value | None = None
    ) -> Callable[[Value], Value]:
        def product(x: Value) -> Value:
            y = tape.op("MatMul", [x, kernel])
            return y if bias is None else tape.op("Add", [y, bias])

        return product


MATRIX = Matrix()


class BoundCell:
    """What bound cells have in common.

    ``z``, ``dz`` and ``h`` are the arrays of the run with rows and places as one axis.
    """

    product: Product = MATRIX

    def __init__(self, run: Run) -> None:
        self.run, self.at, self.xp = run, run.at, run.at.xp
        self.kernel = run.at.p["recurrent_kernel"]
        self.beside: Array = run.at.scratch(run.z.shape[1:])
        """What the states give the pre-activations."""
        self.z, self.h = run.gated(run.z), run.lines(run.states[0])
        self.dz: Array = run.gated(run.dz) if run.at.grads else None

    @property
    def slopes(self) -> Sequence[Array]:
        return [self.run.dz]

    def recur(self, s: int) -> Step:
        """Writes ``beside``."""
        turn, h = self.run.turn(), self.run.states[0][s]
        return self.product.forward(turn, h, self.kernel, self.beside)

    def recur_back(self, s: int) -> Step:
        """Writes the gradient of the state before s."""
        turn, dz = self.run.turn(), self.run.dz[s]
        kernel = self._laid_back
        step = self.product.input_gradient(turn, dz, kernel, self.run.slope(s))
        if kernel is self.kernel or s < self.run.steps[-1]:
            return step
        return in_turn([partial(self.xp.copyto, kernel, self.kernel), step])

    @cached_property
    def _laid_back(self) -> Array:
        """The kernel for the way back: a matrix is copied once, with its transpose contiguous.

        The products of a step are too small for BLAS to make up for reading across rows.
        """
        if self.kernel.ndim > 2:
            return self.kernel
        return self.at.scratch(self.kernel.T.shape).T

    def sums(self) -> list[Step]:
        if "recurrent_kernel" not in self.at.dp:
            return []
        h, dz = (a.reshape(-1, *a.shape[2:]) for a in (self.run.states[0][:-1], self.run.dz))
        return [self.product.kernel_gradient(self.at, h, dz, self.at.dp["recurrent_kernel"])]


@dataclass(frozen=True)
class SimpleCell:
    """h = f(z + h @ R)."""

    activation: CellActivation

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    def bind(self, run: Run) -> recurrent.Bound:
        return BoundSimple(self, run)

    def onnx(self, tape: Tape, p: Mapping[str, Value]) -> Body:
        recur = MATRIX.onnx(tape, p["recurrent_kernel"])

        def body(z: Value, states: Sequence[Value]) -> Sequence[Value]:
            return [self.activation.onnx(tape, tape.op("Add", [z, recur(states[0])]))]

        return body


class BoundSimple(BoundCell):
    """A simple cell over its arrays."""

    def __init__(self, cell: SimpleCell, run: Run) -> None:
        super().__init__(run)
        self.activation = cell.activation

    def forward(self, s: int) -> Step:
        xp, z, beside, recur = self.xp, self.run.z[s], self.beside, self.recur(s)
        activate = self.activation.forward(self.run.turn(), self.z[s], self.h[s + 1, :, None])

        def forward() -> None:
            recur()
            xp.add(z, beside, out=z)
            activate()

        return forward

    def backward(self, s: int) -> Step:
        turn, run, h = self.run.turn(), self.run, self.h[s + 1, :, None]
        dh = run.lines(run.slope(s + 1))[:, None]
        through = self.activation.backward(turn, self.z[s], h, dh, self.dz[s])
        recur = self.recur_back(s)

        def backward() -> None:
            through()
            recur()

        return backward


@dataclass(frozen=True)
class LstmCell:
    """c = s(z_f) * c + s(z_i) * f(z_c); h = s(z_o) * f(c).

    Before that, h @ R is added to z, whose gates are i, f, c, o.
    """

    activation: CellActivation
    gate: CellActivation
    product: Product = MATRIX

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def bind(self, run: Run) -> recurrent.Bound:
        return BoundLstm(self, run)

    def onnx(self, tape: Tape, p: Mapping[str, Value]) -> Body:
        recur, gate, act = (
            self.product.onnx(tape, p["recurrent_kernel"]),
            self.gate,
            self.activation,
        )

        def body(z: Value, states: Sequence[Value]) -> Sequence[Value]:
            h, c = states
            z = tape.op("Add", [z, recur(h)])
            parts = tape.op("Split", [z], outputs=4, axis=tape.axis(z, -1), num_outputs=4)
            i, f, o = (gate.onnx(tape, parts[k]) for k in (0, 1, 3))
            added = tape.op("Mul", [i, act.onnx(tape, parts[2])])
            c = tape.op("Add", [tape.op("Mul", [f, c]), added])
            return [tape.op("Mul", [o, act.onnx(tape, c)]), c]

        return body


class BoundLstm(BoundCell):
    """An LSTM cell over its arrays.

    The gates are made all at once, the candidate among them, whose pre-activation has been used
    before: one pass over what lies together is faster than two over parts.
    """

    def __init__(self, cell: LstmCell, run: Run) -> None:
        super().__init__(run)
        self.cell, self.product, self.c = cell, cell.product, run.lines(run.states[1])
        apart = not (cell.gate.from_output and cell.activation.from_output)
        shape = self.h[1:].shape
        self.made: Array = self.at.keep(self.z.shape) if apart and self.at.grads else self.z
        self.candidate, self.squashed = self.at.keep(shape), self.at.keep(shape)
        self.spare, self.dcandidate = self.at.scratch(shape[1:]), self.at.scratch(shape[1:])

    def forward(self, s: int) -> Step:
        xp, turn, recur, spare = self.xp, self.run.turn(), self.recur(s), self.spare
        z, whole, beside = self.z[s], self.run.z[s], self.beside
        (i, f, _, o), candidate, squashed = (
            self._gates(self.made[s]),
            self.candidate[s],
            self.squashed[s],
        )
        before, c, h = self.c[s], self.c[s + 1], self.h[s + 1]
        propose = self.cell.activation.forward(turn, z[:, 2], candidate)
        open_gates = self.cell.gate.forward(turn, z, self.made[s])
        squash = self.cell.activation.forward(turn, c, squashed)

        def forward() -> None:
            recur()
            xp.add(whole, beside, out=whole)
            propose()
            open_gates()
            xp.multiply(f, before, out=c)
            xp.multiply(i, candidate, out=spare)
            xp.add(c, spare, out=c)
            squash()
            xp.multiply(o, squashed, out=h)

        return forward

    def backward(self, s: int) -> Step:
        xp, turn, run, cell = self.xp, self.run.turn(), self.run, self.cell
        (i, f, _, o), (di, df, dz_c, do) = self._gates(self.made[s]), self._gates(self.dz[s])
        candidate, squashed, before = self.candidate[s], self.squashed[s], self.c[s]
        dh, dc, dc_before = (
            run.lines(a) for a in (run.slope(s + 1), run.slope(s + 1, 1), run.slope(s, 1))
        )
        dcell, dcandidate, recur = self.spare, self.dcandidate, self.recur_back(s)
        unsquash = cell.activation.backward(turn, self.c[s + 1], squashed, dcell, dcell)
        x = candidate if self.made is self.z else self.z[s][:, 2]
        unpropose = cell.activation.backward(turn, x, candidate, dz_c, dcandidate)
        close = cell.gate.backward(turn, self.z[s], self.made[s], self.dz[s], self.dz[s])

        def backward() -> None:
            xp.multiply(dh, squashed, out=do)
            xp.multiply(dh, o, out=dcell)
            unsquash()
            xp.add(dcell, dc, out=dcell)
            xp.multiply(dcell, candidate, out=di)
            xp.multiply(dcell, before, out=df)
            xp.multiply(dcell, i, out=dz_c)
            unpropose()
            close()
            xp.copyto(dz_c, dcandidate)
            xp.multiply(dcell, f, out=dc_before)
            recur()

        return backward

    def _gates(self, array: Array) -> tuple[Array, Array, Array, Array]:
        return array[:, 0], array[:, 1], array[:, 2], array[:, 3]
