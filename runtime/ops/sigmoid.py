"""Activations that saturate, and their integrals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..frame import Array, Frame
from ..op import Step
from .elementwise import Elementwise, elementwise, write_sigmoid

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Exponential", "LogSigmoid", "Sigmoid", "Softplus", "Softsign", "Squareplus", "Tanh"]


@elementwise("tanh")
class Tanh(Elementwise):
    """tanh(x)."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return lambda: at.xp.tanh(x, out=y)

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        xp = at.xp

        def write() -> None:
            xp.multiply(y, y, out=slope)
            xp.subtract(1, slope, out=slope)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Tanh", [x])


@elementwise("sigmoid")
class Sigmoid(Elementwise):
    """1 / (1 + exp(-x))."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return lambda: write_sigmoid(at.xp, x, y)

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        xp = at.xp

        def write() -> None:
            xp.subtract(1, y, out=slope)
            xp.multiply(slope, y, out=slope)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Sigmoid", [x])


@elementwise("log_sigmoid")
class LogSigmoid(Elementwise):
    """-log(1 + exp(-x))."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp = at.xp

        def forward() -> None:
            xp.negative(x, out=y)
            xp.logaddexp(y, 0, out=y)
            xp.negative(y, out=y)

        return forward

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        xp = at.xp

        def write() -> None:
            write_sigmoid(xp, x, slope)
            xp.subtract(1, slope, out=slope)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Neg", [tape.op("Softplus", [tape.op("Neg", [x])])])


@elementwise("softplus")
class Softplus(Elementwise):
    """log(1 + exp(x))."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return lambda: at.xp.logaddexp(x, 0, out=y)

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        xp = at.xp

        def write() -> None:
            write_sigmoid(xp, x, slope)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Softplus", [x])


@elementwise("softsign")
class Softsign(Elementwise):
    """x / (1 + abs(x))."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, size = at.xp, at.scratch(x.shape)

        def forward() -> None:
            xp.absolute(x, out=size)
            xp.add(size, 1, out=size)
            xp.divide(x, size, out=y)

        return forward

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        xp = at.xp

        def write() -> None:  # 1 / (1 + |x|) = 1 - |y|
            xp.absolute(y, out=slope)
            xp.subtract(1, slope, out=slope)
            xp.multiply(slope, slope, out=slope)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Softsign", [x])


@elementwise("squareplus")
class Squareplus(Elementwise):
    """(x + sqrt(x**2 + b)) / 2."""

    b: float = 4.0

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, root = at.xp, at.scratch(x.shape)

        def forward() -> None:
            self._write_root(xp, x, root)
            xp.add(x, root, out=y)
            xp.multiply(y, 0.5, out=y)

        return forward

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        xp = at.xp

        def write() -> None:
            self._write_root(xp, x, slope)
            xp.divide(x, slope, out=slope)
            xp.add(slope, 1, out=slope)
            xp.multiply(slope, 0.5, out=slope)

        return write

    def _write_root(self, xp: Any, x: Array, root: Array) -> None:
        xp.multiply(x, x, out=root)
        xp.add(root, self.b, out=root)
        xp.sqrt(root, out=root)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        squared = tape.op("Add", [tape.op("Mul", [x, x]), tape.constant(float(self.b))])
        total = tape.op("Add", [x, tape.op("Sqrt", [squared])])
        return tape.op("Mul", [total, tape.constant(0.5)])


@elementwise("exponential")
class Exponential(Elementwise):
    """exp(x)."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return lambda: at.xp.exp(x, out=y)

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        return lambda: at.xp.multiply(dy, y, out=dx)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Exp", [x])
