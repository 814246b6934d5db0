"""The two cells of gated recurrent units: the reset gate after the product, or before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..frame import Array
from ..kernels import recurrent
from ..kernels.bias import bias_gradient
from ..kernels.recurrent import Run
from ..op import Step
from .recurrent_activations import CellActivation
from .recurrent_cells import MATRIX, Body, BoundCell

if TYPE_CHECKING:
    from ..tape import Tape, Value


@dataclass(frozen=True)
class GruCell:
    """h = u * h + (1 - u) * f(z_h + what the state gives).

    u = s(z_u + h @ R_u) and r = s(z_r + h @ R_r); the state gives r * (h @ R_h + b), or, where the
    reset is not after the product, (r * h) @ R_h. The gates of z are u, r, h; Keras calls u z.
    """

    activation: CellActivation
    gate: CellActivation
    reset_after: bool

    gates: ClassVar[int] = 3
    states: ClassVar[int] = 1

    def bind(self, run: Run) -> recurrent.Bound:
        return (BoundResetAfter if self.reset_after else BoundResetBefore)(self, run)

    def onnx(self, tape: Tape, p: Mapping[str, Value]) -> Body:
        given = self._after(tape, p) if self.reset_after else self._before(tape, p)

        def body(z: Value, states: Sequence[Value]) -> Sequence[Value]:
            (h,) = states
            update, candidate = given(z, h)
            kept = tape.op("Mul", [update, tape.op("Sub", [h, candidate])])
            return [tape.op("Add", [candidate, kept])]

        return body

    def _after(self, tape: Tape, p: Mapping[str, Value]) -> Any:
        bias = p.get("bias")
        if bias is not None:
            bias = tape.op("Gather", [bias, tape.constant(1)], rank=1, axis=0)
        recur = MATRIX.onnx(tape, p["recurrent_kernel"], bias)

        def given(z: Value, h: Value) -> tuple[Value, Value]:
            (z_u, z_r, z_h), (u, r, given_h) = _split(tape, z, 3), _split(tape, recur(h), 3)
            u, r = (self.gate.onnx(tape, tape.op("Add", pair)) for pair in ((z_u, u), (z_r, r)))
            reset = tape.op("Add", [z_h, tape.op("Mul", [r, given_h])])
            return u, self.activation.onnx(tape, reset)

        return given

    def _before(self, tape: Tape, p: Mapping[str, Value]) -> Any:
        recur = [MATRIX.onnx(tape, part) for part in _split(tape, p["recurrent_kernel"], 3)]

        def given(z: Value, h: Value) -> tuple[Value, Value]:
            z_u, z_r, z_h = _split(tape, z, 3)
            u, r = (
                self.gate.onnx(tape, tape.op("Add", [part, apply(h)]))
                for part, apply in zip((z_u, z_r), recur[:2], strict=True)
            )
            reset = recur[2](tape.op("Mul", [r, h]))
            return u, self.activation.onnx(tape, tape.op("Add", [z_h, reset]))

        return given


def _split(tape: Tape, value: Value, parts: int) -> tuple[Value, ...]:
    return tape.op("Split", [value], outputs=parts, axis=value.rank - 1, num_outputs=parts)


class BoundGru(BoundCell):
    """What both cells have in common: the blend of the state with the candidate."""

    def __init__(self, cell: GruCell, run: Run) -> None:
        super().__init__(run)
        self.cell = cell
        apart = not (cell.gate.from_output and cell.activation.from_output)
        self.made: Array = self.at.keep(self.z.shape) if apart and self.at.grads else self.z
        self.spare: Array = self.at.scratch(self.h.shape[1:])

    def open_gates(self, s: int) -> Step:
        """Makes the update and the reset gate of their pre-activations."""
        return self.cell.gate.forward(self.run.turn(), self.z[s][:, :2], self.made[s][:, :2])

    def close_gates(self, s: int) -> Step:
        """Back through them, in place."""
        dz = self.dz[s][:, :2]
        x, y = self.z[s][:, :2], self.made[s][:, :2]
        return self.cell.gate.backward(self.run.turn(), x, y, dz, dz)

    def propose(self, s: int) -> Step:
        """Makes the candidate of its pre-activation, and blends it with the state."""
        xp, spare, before, h = self.xp, self.spare, self.h[s], self.h[s + 1]
        update, candidate = self.made[s][:, 0], self.made[s][:, 2]
        activate = self.cell.activation.forward(self.run.turn(), self.z[s][:, 2], candidate)

        def propose() -> None:
            activate()
            xp.subtract(before, candidate, out=spare)
            xp.multiply(spare, update, out=spare)
            xp.add(candidate, spare, out=h)

        return propose

    def unpropose(self, s: int) -> Step:
        """Back through that: writes what the state before s gets, and dz of candidate and update.

        The update's is not yet through its gate.
        """
        xp, run, spare, before = self.xp, self.run, self.spare, self.h[s]
        update, candidate = self.made[s][:, 0], self.made[s][:, 2]
        dupdate, dcandidate = self.dz[s][:, 0], self.dz[s][:, 2]
        dh, dbefore = (run.lines(run.slope(at)) for at in (s + 1, s))
        through = self.cell.activation.backward(
            run.turn(), self.z[s][:, 2], candidate, dcandidate, dcandidate
        )

        def unpropose() -> None:
            xp.multiply(dh, update, out=dbefore)
            xp.subtract(before, candidate, out=spare)
            xp.multiply(dh, spare, out=dupdate)
            xp.subtract(dh, dbefore, out=dcandidate)
            through()

        return unpropose


class BoundResetAfter(BoundGru):
    """The reset gate after the product.

    ``given`` is what the state gives the pre-activations, ``dgiven`` the gradient of that.
    """

    def __init__(self, cell: GruCell, run: Run) -> None:
        super().__init__(cell, run)
        self.bias: Array = self.at.p["bias"][1] if "bias" in self.at.p else None
        self.given: Array = self.at.keep(run.z.shape)
        self.dgiven: Array = self.at.scratch(run.z.shape) if self.at.grads else None

    @property
    def slopes(self) -> Sequence[Array]:
        return [self.run.dz, self.dgiven]

    def forward(self, s: int) -> Step:
        xp, bias, spare, whole = self.xp, self.bias, self.spare, self.given[s]
        recur = self.product.forward(self.at, self.h[s], self.kernel, whole)
        z, given, reset = self.z[s], self.run.gated(self.given)[s], self.made[s][:, 1]
        z_gates, z_h, given_gates, given_h = z[:, :2], z[:, 2], given[:, :2], given[:, 2]
        open_gates, propose = self.open_gates(s), self.propose(s)

        def forward() -> None:
            recur()
            if bias is not None:
                xp.add(whole, bias, out=whole)
            xp.add(z_gates, given_gates, out=z_gates)
            open_gates()
            xp.multiply(reset, given_h, out=spare)
            xp.add(z_h, spare, out=z_h)
            propose()

        return forward

    def backward(self, s: int) -> Step:
        xp, spare, dbefore = self.xp, self.spare, self.run.slope(s)
        reset, given_h = self.made[s][:, 1], self.run.gated(self.given)[s][:, 2]
        dz, dgiven = self.dz[s], self.run.gated(self.dgiven)[s]
        dz_gates, dreset, dz_h, dgiven_gates, dgiven_h = (
            dz[:, :2], dz[:, 1], dz[:, 2], dgiven[:, :2], dgiven[:, 2],
        )  # fmt: skip
        unpropose, close_gates = self.unpropose(s), self.close_gates(s)
        recur = self.product.input_gradient(self.at, self.dgiven[s], self.kernel, spare)

        def backward() -> None:
            unpropose()
            xp.multiply(dz_h, given_h, out=dreset)
            close_gates()
            xp.copyto(dgiven_gates, dz_gates)
            xp.multiply(dz_h, reset, out=dgiven_h)
            recur()
            xp.add(dbefore, spare, out=dbefore)

        return backward

    def sums(self) -> list[Step]:
        at, steps = self.at, list[Step]()
        h, dgiven = (a.reshape(-1, a.shape[-1]) for a in (self.h[:-1], self.dgiven))
        if "recurrent_kernel" in at.dp:
            dkernel = at.dp["recurrent_kernel"]
            steps.append(self.product.kernel_gradient(at, h, dgiven, dkernel))
        if "bias" in at.dp:
            steps.append(bias_gradient(at, self.dgiven, at.dp["bias"][1]))
        return steps


class BoundResetBefore(BoundGru):
    """The reset gate before the product. ``reset`` is the state that is left of each step."""

    def __init__(self, cell: GruCell, run: Run) -> None:
        super().__init__(cell, run)
        rows, units = self.h.shape[1:]
        self.reset: Array = self.at.keep((len(run.z), rows, units))
        self.of_gates: Array = self.at.scratch((rows, 2 * units))
        self.kernels = self._parts(self.kernel)

    def _parts(self, array: Array) -> tuple[Array, Array]:
        """What is of the gates and what of the candidate, of a kernel or of gradients."""
        units = self.run.units
        return array[..., : 2 * units], array[..., 2 * units :]

    def forward(self, s: int) -> Step:
        xp, at, spare, left, before = self.xp, self.at, self.spare, self.reset[s], self.h[s]
        z_gates, z_h = self._parts(self.run.z[s])
        of_gates, reset = self.of_gates, self.made[s][:, 1]
        recur_gates = self.product.forward(at, before, self.kernels[0], of_gates)
        recur = self.product.forward(at, left, self.kernels[1], spare)
        open_gates, propose = self.open_gates(s), self.propose(s)

        def forward() -> None:
            recur_gates()
            xp.add(z_gates, of_gates, out=z_gates)
            open_gates()
            xp.multiply(reset, before, out=left)
            recur()
            xp.add(z_h, spare, out=z_h)
            propose()

        return forward

    def backward(self, s: int) -> Step:
        xp, at, spare, dbefore, before = self.xp, self.at, self.spare, self.run.slope(s), self.h[s]
        reset, dreset = self.made[s][:, 1], self.dz[s][:, 1]
        dz_gates, dz_h = self._parts(self.run.dz[s])
        recur = self.product.input_gradient(at, dz_h, self.kernels[1], spare)
        recur_gates = self.product.input_gradient(at, dz_gates, self.kernels[0], spare)
        unpropose, close_gates = self.unpropose(s), self.close_gates(s)

        def backward() -> None:
            unpropose()
            recur()
            xp.multiply(spare, before, out=dreset)
            xp.multiply(spare, reset, out=spare)
            xp.add(dbefore, spare, out=dbefore)
            close_gates()
            recur_gates()
            xp.add(dbefore, spare, out=dbefore)

        return backward

    def sums(self) -> list[Step]:
        if "recurrent_kernel" not in self.at.dp:
            return []
        states = (a.reshape(-1, a.shape[-1]) for a in (self.h[:-1], self.reset))
        slopes = self._parts(self.run.dz.reshape(-1, self.run.dz.shape[-1]))
        sums = self._parts(self.at.dp["recurrent_kernel"])
        return [
            self.product.kernel_gradient(self.at, *each)
            for each in zip(states, slopes, sums, strict=True)
        ]
