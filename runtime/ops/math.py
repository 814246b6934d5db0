"""Functions of each element that are no activations: powers, logarithms, rounding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..frame import Array, Frame
from ..op import Example, Step
from ..tensor import Tensor
from .elementwise import Elementwise, elementwise
from .erf import erf

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = [
    "Abs",
    "Ceil",
    "Erf",
    "Expm1",
    "Floor",
    "Log",
    "Log1p",
    "Negative",
    "Power",
    "Reciprocal",
    "Round",
    "Rsqrt",
    "Scale",
    "Sign",
    "Sqrt",
    "Square",
]


class Unary(Elementwise):
    """A function that NumPy and ONNX both have."""

    function: ClassVar[str]
    """Its name in NumPy."""
    onnx_kind: ClassVar[str]

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        function = getattr(at.xp, self.function)
        return lambda: function(x, out=y)

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        return lambda: self.slope(at.xp, x, y, slope)

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        """Writes f'(x)."""
        raise NotImplementedError

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op(self.onnx_kind, [x])


class Stepped(Unary):
    """A function that is level but for its jumps."""

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        return lambda: dx.fill(0)


@elementwise("abs")
class Abs(Unary):
    """abs(x)."""

    function, onnx_kind = "absolute", "Abs"

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.sign(x, out=to)


@elementwise("negative")
class Negative(Unary):
    """-x."""

    function, onnx_kind = "negative", "Neg"

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        to.fill(-1)


@elementwise("sign")
class Sign(Stepped):
    """-1, 0 or 1."""

    function, onnx_kind = "sign", "Sign"


@elementwise("floor")
class Floor(Stepped):
    """The largest whole number that is no larger."""

    function, onnx_kind = "floor", "Floor"


@elementwise("ceil")
class Ceil(Stepped):
    """The smallest whole number that is no smaller."""

    function, onnx_kind = "ceil", "Ceil"


@elementwise("round")
class Round(Stepped):
    """The nearest whole number, of two the even one."""

    function, onnx_kind = "rint", "Round"


@elementwise("square")
class Square(Unary):
    """x * x."""

    function = "square"

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.multiply(x, 2, out=to)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Mul", [x, x])


@elementwise("sqrt", domain=(0.2, 2.0))
class Sqrt(Unary):
    """The square root."""

    function, onnx_kind = "sqrt", "Sqrt"

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.divide(0.5, y, out=to)


@elementwise("rsqrt", domain=(0.2, 2.0))
class Rsqrt(Unary):
    """1 / sqrt(x)."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp = at.xp

        def forward() -> None:
            xp.sqrt(x, out=y)
            xp.reciprocal(y, out=y)

        return forward

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.multiply(y, -0.5, out=to)
        xp.divide(to, x, out=to)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Reciprocal", [tape.op("Sqrt", [x])])


@elementwise("reciprocal", domain=(0.2, 2.0))
class Reciprocal(Unary):
    """1 / x."""

    function, onnx_kind = "reciprocal", "Reciprocal"

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.multiply(y, y, out=to)
        xp.negative(to, out=to)


@elementwise("log", domain=(0.2, 2.0))
class Log(Unary):
    """The natural logarithm."""

    function, onnx_kind = "log", "Log"

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.reciprocal(x, out=to)


@elementwise("log1p", domain=(-0.8, 2.0))
class Log1p(Unary):
    """log(1 + x)."""

    function = "log1p"

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.add(x, 1, out=to)
        xp.reciprocal(to, out=to)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Log", [tape.op("Add", [x, tape.constant(1.0)])])


@elementwise("expm1")
class Expm1(Unary):
    """exp(x) - 1."""

    function = "expm1"

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.add(y, 1, out=to)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Sub", [tape.op("Exp", [x]), tape.constant(1.0)])


@elementwise("erf")
class Erf(Unary):
    """The error function."""

    onnx_kind = "Erf"

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return erf(at, x, y)

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.multiply(x, x, out=to)
        xp.negative(to, out=to)
        xp.exp(to, out=to)
        xp.multiply(to, 2 / math.sqrt(math.pi), out=to)


@elementwise("power", domain=(0.2, 2.0))
class Power(Elementwise):
    """x ** exponent."""

    exponent: float

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return lambda: at.xp.power(x, self.exponent, out=y)

    def derivative(self, at: Frame, x: Array, y: Array, slope: Array) -> Step:
        xp = at.xp

        def write() -> None:
            xp.power(x, self.exponent - 1, out=slope)
            xp.multiply(slope, self.exponent, out=slope)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Pow", [x, tape.constant(float(self.exponent))])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(exponent), [Tensor(("N", 3, 4))]) for exponent in (3.0, 0.5, -1.5, 0.0)]


@elementwise("scale")
class Scale(Elementwise):
    """x * factor + offset."""

    factor: float = 1.0
    offset: float = 0.0

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp = at.xp

        def forward() -> None:
            xp.multiply(x, self.factor, out=y)
            if self.offset != 0:
                xp.add(y, self.offset, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        return lambda: at.xp.multiply(dy, self.factor, out=dx)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        y = tape.op("Mul", [x, tape.constant(float(self.factor))]) if self.factor != 1 else x
        return tape.op("Add", [y, tape.constant(float(self.offset))]) if self.offset != 0 else y

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", 3, 4))
        return [(op, [x]) for op in (cls(1 / 255), cls(2.0, -1.0), cls(offset=0.5), cls())]
