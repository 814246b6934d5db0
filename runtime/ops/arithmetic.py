"""Arithmetic of two values that is no sum or product, with NumPy's broadcasting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Array, Frame
from ..op import Example, Step, Steps, operation
from ..tensor import Tensor
from .merge import Merge, backward_of, pair

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Divide", "FloorDivide", "Mod", "PowerOf", "SquaredDifference"]


SMALLEST = 1e-37  # about the least float32 of full precision


class Pair(Merge):
    """y = f(a, b), of two values."""

    def infer(self, *x: Tensor) -> Tensor:
        if len(x) != 2:
            raise ValueError(f"needs two inputs, not {len(x)}")
        return super().infer(*x)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        a, b = at.x
        forward = self.forward(at, a, b, at.y[0])
        if not at.grads:
            return forward, None
        return forward, backward_of(at, lambda i, to: (self.to_a, self.to_b)[i](at, a, b, to))

    def forward(self, at: Frame, a: Array, b: Array, y: Array) -> Step:
        """Writes y."""
        raise NotImplementedError

    def to_a(self, at: Frame, a: Array, b: Array, to: Array) -> Step:
        """Writes dy times the slope along a."""
        raise NotImplementedError

    def to_b(self, at: Frame, a: Array, b: Array, to: Array) -> Step:
        """Writes dy times the slope along b."""
        raise NotImplementedError

    @classmethod
    def examples(cls) -> Sequence[Example]:
        matrix, image = Tensor(("N", 3)), Tensor(("N", 2, 3, 4))
        return [
            (cls(), [matrix, matrix]),
            (cls(), [image, Tensor(("N", 1, 1, 4))]),
            (cls(), [Tensor(("N", 1, 4)), Tensor(("N", 3, 1))]),
        ]


@operation("divide", domain=(0.3, 2.0))
class Divide(Pair):
    """a / b."""

    def forward(self, at: Frame, a: Array, b: Array, y: Array) -> Step:
        return lambda: at.xp.divide(a, b, out=y)

    def to_a(self, at: Frame, a: Array, b: Array, to: Array) -> Step:
        return lambda: at.xp.divide(at.dy[0], b, out=to)

    def to_b(self, at: Frame, a: Array, b: Array, to: Array) -> Step:
        xp = at.xp

        def write() -> None:
            xp.multiply(at.dy[0], at.y[0], out=to)
            xp.divide(to, b, out=to)
            xp.negative(to, out=to)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], a: Value, b: Value) -> Value:
        return pair(tape, "Div", a, b)


@operation("squared_difference")
class SquaredDifference(Pair):
    """(a - b)**2."""

    def forward(self, at: Frame, a: Array, b: Array, y: Array) -> Step:
        xp = at.xp

        def forward() -> None:
            xp.subtract(a, b, out=y)
            xp.multiply(y, y, out=y)

        return forward

    def to_a(self, at: Frame, a: Array, b: Array, to: Array) -> Step:
        xp = at.xp

        def write() -> None:
            xp.subtract(a, b, out=to)
            xp.multiply(to, 2, out=to)
            xp.multiply(to, at.dy[0], out=to)

        return write

    def to_b(self, at: Frame, a: Array, b: Array, to: Array) -> Step:
        return self.to_a(at, b, a, to)

    def onnx(self, tape: Tape, p: Mapping[str, Value], a: Value, b: Value) -> Value:
        difference = pair(tape, "Sub", a, b)
        return tape.op("Mul", [difference, difference])


@operation("power_of", domain=(0.3, 2.0))
class PowerOf(Pair):
    """a**b."""

    def forward(self, at: Frame, a: Array, b: Array, y: Array) -> Step:
        return lambda: at.xp.power(a, b, out=y)

    def to_a(self, at: Frame, a: Array, b: Array, to: Array) -> Step:
        xp = at.xp

        def write() -> None:
            xp.subtract(b, 1, out=to)
            xp.power(a, to, out=to)
            xp.multiply(to, b, out=to)
            xp.multiply(to, at.dy[0], out=to)

        return write

    def to_b(self, at: Frame, a: Array, b: Array, to: Array) -> Step:
        """Of a base that is not above zero, which has no logarithm: 0, as in TensorFlow."""
        xp, positive = at.xp, at.scratch(a.shape, bool)
        logarithm = at.scratch(a.shape)

        def write() -> None:
            xp.greater(a, 0, out=positive)
            xp.maximum(a, SMALLEST, out=logarithm)
            xp.log(logarithm, out=logarithm)
            xp.multiply(logarithm, positive, out=logarithm)
            xp.multiply(at.y[0], logarithm, out=to)
            xp.multiply(to, at.dy[0], out=to)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], a: Value, b: Value) -> Value:
        return pair(tape, "Pow", a, b)


@operation("floor_divide", any_dtype=True, domain=(0.3, 2.0))
class FloorDivide(Pair):
    """floor(a / b); of integers, too. An integer divided by zero is undefined."""

    def forward(self, at: Frame, a: Array, b: Array, y: Array) -> Step:
        xp = at.xp
        if y.dtype.kind == "i":
            return lambda: xp.floor_divide(a, b, out=y)

        def forward() -> None:  # NumPy's own is Python's, whose 1.0 // 0.1 is 9
            xp.divide(a, b, out=y)
            xp.floor(y, out=y)

        return forward

    def to_a(self, at: Frame, a: Array, b: Array, to: Array) -> Step:
        return lambda: to.fill(0)

    to_b = to_a

    def onnx(self, tape: Tape, p: Mapping[str, Value], a: Value, b: Value) -> Value:
        if tape.type().dtype == "float":
            return tape.op("Floor", [pair(tape, "Div", a, b)])
        # ONNX divides integers towards zero.
        return pair(tape, "Div", pair(tape, "Sub", a, pair(tape, "Mod", a, b)), b)


@operation("mod", any_dtype=True, domain=(0.3, 2.0))
class Mod(Pair):
    """a - floor(a / b) * b, with the sign of b; of integers, too, but not by zero."""

    def forward(self, at: Frame, a: Array, b: Array, y: Array) -> Step:
        return lambda: at.xp.remainder(a, b, out=y)

    def to_a(self, at: Frame, a: Array, b: Array, to: Array) -> Step:
        return lambda: at.xp.copyto(to, at.dy[0])

    def to_b(self, at: Frame, a: Array, b: Array, to: Array) -> Step:
        xp = at.xp

        def write() -> None:
            xp.floor_divide(a, b, out=to)
            xp.multiply(to, at.dy[0], out=to)
            xp.negative(to, out=to)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], a: Value, b: Value) -> Value:
        if tape.type().dtype != "float":
            return pair(tape, "Mod", a, b)
        a, b = tape.alike(a, b)
        zero = tape.constant(0.0)
        rest = tape.op("Mod", [a, b], rank=max(a.rank, b.rank), fmod=1)  # with the sign of a
        signs = pair(tape, "Xor", tape.op("Less", [rest, zero]), tape.op("Less", [b, zero]))
        wrong = tape.op("And", [signs, tape.op("Not", [tape.op("Equal", [rest, zero])])])
        return tape.op("Where", [wrong, pair(tape, "Add", rest, b), rest])
