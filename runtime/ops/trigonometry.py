"""Sines, cosines and tangents, circular and hyperbolic, and their inverses."""

from __future__ import annotations

from typing import Any, ClassVar

from ..frame import Array
from .elementwise import elementwise
from .math import Unary

__all__ = [
    "Arccos",
    "Arccosh",
    "Arcsin",
    "Arcsinh",
    "Arctan",
    "Arctanh",
    "Cos",
    "Cosh",
    "Sin",
    "Sinh",
    "Tan",
]


@elementwise("sin")
class Sin(Unary):
    """sin(x)."""

    function, onnx_kind = "sin", "Sin"

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.cos(x, out=to)


@elementwise("cos")
class Cos(Unary):
    """cos(x)."""

    function, onnx_kind = "cos", "Cos"

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.sin(x, out=to)
        xp.negative(to, out=to)


@elementwise("tan", domain=(-1.3, 1.3))
class Tan(Unary):
    """tan(x)."""

    function, onnx_kind = "tan", "Tan"

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.multiply(y, y, out=to)
        xp.add(to, 1, out=to)


@elementwise("sinh")
class Sinh(Unary):
    """sinh(x)."""

    function, onnx_kind = "sinh", "Sinh"

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.cosh(x, out=to)


@elementwise("cosh")
class Cosh(Unary):
    """cosh(x)."""

    function, onnx_kind = "cosh", "Cosh"

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.sinh(x, out=to)


class Inverse(Unary):
    """A function whose slope is a constant times a power of x * x + offset."""

    offset: ClassVar[float]
    factor: ClassVar[float] = 1.0
    exponent: ClassVar[float] = -0.5

    def slope(self, xp: Any, x: Array, y: Array, to: Array) -> None:
        xp.multiply(x, x, out=to)
        xp.add(to, self.offset, out=to)
        if self.exponent == -0.5:
            xp.absolute(to, out=to)
            xp.sqrt(to, out=to)
        xp.divide(self.factor, to, out=to)


@elementwise("arcsin", domain=(-0.9, 0.9))
class Arcsin(Inverse):
    """The angle in [-pi/2, pi/2] whose sine is x."""

    function, onnx_kind, offset = "arcsin", "Asin", -1.0


@elementwise("arccos", domain=(-0.9, 0.9))
class Arccos(Inverse):
    """The angle in [0, pi] whose cosine is x."""

    function, onnx_kind, offset, factor = "arccos", "Acos", -1.0, -1.0


@elementwise("arctan")
class Arctan(Inverse):
    """The angle in [-pi/2, pi/2] whose tangent is x."""

    function, onnx_kind, offset, exponent = "arctan", "Atan", 1.0, -1.0


@elementwise("arcsinh")
class Arcsinh(Inverse):
    """The number whose sinh is x."""

    function, onnx_kind, offset = "arcsinh", "Asinh", 1.0


@elementwise("arccosh", domain=(1.1, 3.0))
class Arccosh(Inverse):
    """The number above zero whose cosh is x."""

    function, onnx_kind, offset = "arccosh", "Acosh", -1.0


@elementwise("arctanh", domain=(-0.9, 0.9))
class Arctanh(Inverse):
    """The number whose tanh is x."""

    function, onnx_kind, offset, factor, exponent = "arctanh", "Atanh", -1.0, -1.0, -1.0
