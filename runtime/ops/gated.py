"""Activations that are x times a gate of x."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Tensor
from .clipped import HardSigmoid
from .elementwise import Elementwise, elementwise, write_sigmoid
from .erf import erf

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Gelu", "Glu", "HardSilu", "Mish", "Silu"]


class Gated(Elementwise):
    """y = x * gate(x)."""

    def gate(self, at: Frame, x: Array, gate: Array) -> Step:
        """Writes the gate."""
        raise NotImplementedError

    def gate_slope(self, at: Frame, x: Array, gate: Array, slope: Array) -> Step:
        """Writes the derivative of the gate, which has been written."""
        raise NotImplementedError

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, gate = at.xp, at.scratch(x.shape)
        write_gate = self.gate(at, x, gate)

        def forward() -> None:
            write_gate()
            xp.multiply(x, gate, out=y)

        return forward

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        xp, gate = at.xp, at.scratch(x.shape)
        write_gate, write_slope = self.gate(at, x, gate), self.gate_slope(at, x, gate, slope)

        def write() -> None:
            write_gate()
            write_slope()
            xp.multiply(slope, x, out=slope)
            xp.add(slope, gate, out=slope)

        return write


@elementwise("silu")
class Silu(Gated):
    """x * sigmoid(x), also called swish."""

    def gate(self, at: Frame, x: Array, gate: Array) -> Step:
        return lambda: write_sigmoid(at.xp, x, gate)

    def gate_slope(self, at: Frame, x: Array, gate: Array, slope: Array) -> Step:
        xp = at.xp

        def write() -> None:
            xp.subtract(1, gate, out=slope)
            xp.multiply(slope, gate, out=slope)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Mul", [x, tape.op("Sigmoid", [x])])


@elementwise("hard_silu")
class HardSilu(Gated):
    """x * clip(x / 6 + 1 / 2, 0, 1), also called hard swish."""

    def gate(self, at: Frame, x: Array, gate: Array) -> Step:
        return HardSigmoid(1 / 6).forward(at, x, gate)

    def gate_slope(self, at: Frame, x: Array, gate: Array, slope: Array) -> Step:
        ones = at.scratch(x.shape)
        backward = HardSigmoid(1 / 6).backward(at, x, gate, ones, slope)

        def write() -> None:
            ones.fill(1)
            backward()

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("HardSwish", [x])


@elementwise("gelu")
class Gelu(Gated):
    """x * P(X <= x) of a normal X; ``approximate`` takes Hendrycks and Gimpel's tanh for P."""

    approximate: bool = False

    def gate(self, at: Frame, x: Array, gate: Array) -> Step:
        xp = at.xp
        if not self.approximate:
            write_erf = erf(at, gate, gate)

            def exact() -> None:
                xp.multiply(x, math.sqrt(0.5), out=gate)
                write_erf()
                xp.multiply(gate, 0.5, out=gate)
                xp.add(gate, 0.5, out=gate)

            return exact

        def approximate() -> None:  # (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2
            xp.multiply(x, x, out=gate)
            xp.multiply(gate, 0.044715, out=gate)
            xp.add(gate, 1, out=gate)
            xp.multiply(gate, x, out=gate)
            write_sigmoid_of_twice(xp, math.sqrt(2 / math.pi), gate)

        return approximate

    def gate_slope(self, at: Frame, x: Array, gate: Array, slope: Array) -> Step:
        xp = at.xp
        if not self.approximate:

            def exact() -> None:  # the normal density
                xp.multiply(x, x, out=slope)
                xp.multiply(slope, -0.5, out=slope)
                xp.exp(slope, out=slope)
                xp.multiply(slope, 1 / math.sqrt(2 * math.pi), out=slope)

            return exact
        inner = at.scratch(x.shape)

        def approximate() -> None:
            xp.multiply(x, x, out=inner)
            xp.multiply(inner, 3 * 0.044715, out=inner)
            xp.add(inner, 1, out=inner)
            xp.subtract(1, gate, out=slope)
            xp.multiply(slope, gate, out=slope)
            xp.multiply(slope, inner, out=slope)
            xp.multiply(slope, 2 * math.sqrt(2 / math.pi), out=slope)

        return approximate

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Gelu", [x], approximate="tanh" if self.approximate else "none")

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(approximate), [Tensor(("N", 3, 4))]) for approximate in (False, True)]


def write_sigmoid_of_twice(xp: Any, factor: float, x: Array) -> None:
    """Replaces x by (1 + tanh(factor * x)) / 2."""
    xp.multiply(x, factor, out=x)
    xp.tanh(x, out=x)
    xp.multiply(x, 0.5, out=x)
    xp.add(x, 0.5, out=x)


@elementwise("mish")
class Mish(Gated):
    """x * tanh(log(1 + exp(x)))."""

    def gate(self, at: Frame, x: Array, gate: Array) -> Step:
        xp = at.xp

        def write() -> None:
            xp.logaddexp(x, 0, out=gate)
            xp.tanh(gate, out=gate)

        return write

    def gate_slope(self, at: Frame, x: Array, gate: Array, slope: Array) -> Step:
        xp, squared = at.xp, at.scratch(x.shape)

        def write() -> None:
            xp.multiply(gate, gate, out=squared)
            xp.subtract(1, squared, out=squared)
            write_sigmoid(xp, x, slope)
            xp.multiply(slope, squared, out=slope)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Mish", [x])


@operation("glu")
class Glu(Operation):
    """a * sigmoid(b), where a and b are the halves of x along ``axis``."""

    axis: int = -1

    def infer(self, x: Tensor) -> Tensor:
        if not -x.rank <= self.axis < x.rank:
            raise ValueError(f"has no axis {self.axis}")
        size, axis = x.shape[self.axis], self.axis % x.rank
        if not isinstance(size, int) or size % 2:
            raise ValueError(f"axis {self.axis} of size {size} has no halves")
        return Tensor((*x.shape[:axis], size // 2, *x.shape[axis + 1 :]))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, y = at.xp, at.y[0]
        a, b = self._halves(at.x[0])
        gate = at.keep(y.shape)

        def forward() -> None:
            write_sigmoid(xp, b, gate)
            xp.multiply(a, gate, out=y)

        if not at.grads:
            return forward, None
        dy, (da, db) = at.dy[0], self._halves(at.dx[0])

        def backward() -> None:  # the slope of the gate is (1 - gate) * gate
            xp.multiply(dy, gate, out=da)
            xp.subtract(1, gate, out=db)
            xp.multiply(db, a, out=db)
            xp.multiply(db, da, out=db)

        return forward, backward

    def _halves(self, whole: Array) -> tuple[Array, Array]:
        lanes = whole.swapaxes(0, self.axis)
        middle = len(lanes) // 2
        return lanes[:middle].swapaxes(0, self.axis), lanes[middle:].swapaxes(0, self.axis)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        a, b = tape.op("Split", [x], outputs=2, axis=tape.axis(x, self.axis), num_outputs=2)
        return tape.op("Mul", [a, tape.op("Sigmoid", [b])])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(), [Tensor(("N", 3, 4))]), (cls(1), [Tensor(("N", 2, 3))])]
