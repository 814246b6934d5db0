"""Functions of each element: arithmetic, powers, comparisons, choices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .....runtime import ops
from .....runtime.op import Operation
from ...builder import Value
from ...layer import Layer
from .operand import (
    Function,
    Known,
    Operand,
    dtype_of,
    floats,
    folded,
    function,
    graph_dtype,
    is_tensor,
    number,
    promoted,
    tensor,
)

UNARY: Mapping[str, type[Operation]] = {
    "abs absolute": ops.Abs,
    "arccos acos": ops.Arccos,
    "arccosh acosh": ops.Arccosh,
    "arcsin asin": ops.Arcsin,
    "arcsinh asinh": ops.Arcsinh,
    "arctan atan": ops.Arctan,
    "arctanh atanh": ops.Arctanh,
    "ceil": ops.Ceil,
    "cos": ops.Cos,
    "cosh": ops.Cosh,
    "erf": ops.Erf,
    "exp": ops.Exponential,
    "expm1": ops.Expm1,
    "floor": ops.Floor,
    "log": ops.Log,
    "log1p": ops.Log1p,
    "negative": ops.Negative,
    "reciprocal": ops.Reciprocal,
    "round rint": ops.Round,
    "rsqrt": ops.Rsqrt,
    "sign": ops.Sign,
    "sin": ops.Sin,
    "sinh": ops.Sinh,
    "sqrt": ops.Sqrt,
    "square": ops.Square,
    "tan": ops.Tan,
}
"""The operation of each function; the first of its names is NumPy's, if NumPy has one."""

KEEPING = ("abs absolute", "ceil", "floor", "negative", "round rint", "sign", "square")
"""They make whole numbers of whole numbers."""


def _inverse_root(x: Any) -> Any:
    return 1 / np.sqrt(x)


def _unary(names: str) -> Function:
    first, *_ = aliases = names.split()
    operation = UNARY[names]
    compute = _inverse_root if first == "rsqrt" else getattr(np, first, None)

    @function(*aliases, known=compute)
    def apply(layer: Layer, x: Operand) -> Value:
        y = layer.through(operation(), floats(layer, x))
        dtype = dtype_of(layer, x)
        return tensor(layer, y, dtype) if names in KEEPING and dtype != "bool" else y

    return apply


for _names in UNARY:
    _unary(_names)


def linear(layer: Layer, x: Value, factor: float, offset: float = 0.0) -> Value:
    """X * factor + offset; what was so computed just before is taken into it."""
    nodes = layer.builder.nodes
    last = nodes[-1] if nodes else None
    if last and last.name == x.name and isinstance(last.op, ops.Scale) and last.layer == layer.path:
        x = replace(x, name=last.inputs[0])
        factor, offset = last.op.factor * factor, last.op.offset * factor + offset
    return layer.through(ops.Scale(float(factor), float(offset)), x)


def _with_number(layer: Layer, x: Operand, n: Any) -> bool:
    """Whether a tensor of floats meets a number: one operation of one input does it."""
    meets = number(n) is not None and is_tensor(x)
    return meets and "float" in (dtype_of(layer, x), dtype_of(layer, n))


@function("add", known=np.add)
def add(layer: Layer, x: Operand, y: Operand) -> Value:
    """X + y."""
    for one, other in ((x, y), (y, x)):
        if _with_number(layer, one, other):
            return linear(layer, floats(layer, one), 1.0, number(other))
    return _joined(layer, ops.Add(), x, y)


@function("subtract", known=np.subtract)
def subtract(layer: Layer, x: Operand, y: Operand) -> Value:
    """X - y."""
    if _with_number(layer, x, y):
        return linear(layer, floats(layer, x), 1.0, -number(y))
    if _with_number(layer, y, x):
        return linear(layer, floats(layer, y), -1.0, number(x))
    return _joined(layer, ops.Subtract(), x, y)


@function("multiply", known=np.multiply)
def multiply(layer: Layer, x: Operand, y: Operand) -> Value:
    """X * y."""
    for one, other in ((x, y), (y, x)):
        if _with_number(layer, one, other):
            return linear(layer, floats(layer, one), number(other))
    return _joined(layer, ops.Multiply(), x, y)


@function("divide", "true_divide", known=np.divide)
def divide(layer: Layer, x: Operand, y: Operand) -> Value:
    """X / y, as floats."""
    if number(y) is not None and number(y):
        return linear(layer, floats(layer, x), 1 / number(y))
    if number(x) is not None:
        inverse = layer.through(ops.Reciprocal(), floats(layer, y))
        return inverse if number(x) == 1 else linear(layer, inverse, number(x))
    return layer.through(ops.Divide(), floats(layer, x), floats(layer, y))


@function("divide_no_nan")
def divide_no_nan(layer: Layer, x: Operand, y: Operand) -> Value:
    """X / y, but 0 where y is 0."""
    y = floats(layer, y)
    none = layer.through(ops.Equal(0.0), y)
    quotient = divide(layer, x, layer.add(ops.Fill(1.0), y, none))
    return layer.add(ops.Fill(0.0), quotient, none)


def _squared_difference(x: Any, y: Any) -> Any:
    return np.square(np.subtract(x, y))


@function("squared_difference", known=_squared_difference)
def squared_difference(layer: Layer, x: Operand, y: Operand) -> Value:
    """(x - y) ** 2."""
    return layer.through(ops.Square(), floats(layer, subtract(layer, x, y)))


@function("power", known=np.power)
def power(layer: Layer, x: Operand, y: Operand) -> Value:
    """X ** y."""
    exponent, base = number(y), number(x)
    if exponent is not None:
        simple = {
            1: None,
            2: ops.Square(),
            0.5: ops.Sqrt(),
            -0.5: ops.Rsqrt(),
            -1: ops.Reciprocal(),
        }
        op = simple.get(exponent, ops.Power(float(exponent)))
        y = layer.through(op, floats(layer, x)) if op else floats(layer, x)
        keeps = dtype_of(layer, x) in ("int32", "int64") and isinstance(exponent, int)
        return tensor(layer, y, dtype_of(layer, x)) if keeps and exponent >= 0 else y
    if base is not None and base > 0:
        return layer.through(ops.Exponential(), linear(layer, floats(layer, y), math.log(base)))
    return layer.through(ops.PowerOf(), floats(layer, x), floats(layer, y))


def _joined(layer: Layer, op: Operation, *x: Operand) -> Value:
    """An operation on tensors of one dtype."""
    values, dtype = promoted(layer, *x)
    if dtype == "bool":
        values = [tensor(layer, value, "int32") for value in values]
    return layer.through(op, *values)


def _binary(*names: str, operation: type[Operation]) -> Function:
    @function(*names, known=getattr(np, names[0]))
    def apply(layer: Layer, x: Operand, y: Operand) -> Value:
        return _joined(layer, operation(), x, y)

    return apply


_binary("floor_divide", operation=ops.FloorDivide)
_binary("mod", "floormod", "floor_mod", "remainder", operation=ops.Mod)


def _extreme(name: str, operation: type[Operation], clip: Callable[[float], Operation]) -> Function:
    @function(name, known=getattr(np, name))
    def apply(layer: Layer, x: Operand, y: Operand) -> Value:
        for one, other in ((x, y), (y, x)):
            if _with_number(layer, one, other):
                return layer.through(clip(float(number(other))), floats(layer, one))
        return _joined(layer, operation(), x, y)

    return apply


maximum = _extreme("maximum", ops.Maximum, lambda n: ops.Clip(low=n))
minimum = _extreme("minimum", ops.Minimum, lambda n: ops.Clip(high=n))


def _clipped(x: Any, low: Any = None, high: Any = None) -> Any:
    return np.clip(x, low, high)


@function("clip", known=_clipped)
def clip(layer: Layer, x: Operand, low: Operand = None, high: Operand = None) -> Value:
    """x, but no less than ``low`` and no more than ``high``."""
    limits = [None if n is None else number(n) for n in (low, high)]
    if limits != [low, high] or dtype_of(layer, x) != "float":
        for limit, extreme in ((low, maximum), (high, minimum)):
            x = x if limit is None else extreme(layer, x, limit)
        return tensor(layer, x)
    least, most = (None if n is None else float(n) for n in limits)
    return layer.through(ops.Clip(least, most), tensor(layer, x))


def _cast_known(x: Any, dtype: Any) -> Known:
    """Sizes stay what they are: they are whole numbers, and may be open."""
    array = np.asarray(x)
    if array.dtype == object:
        return array
    kinds = {"bfloat16": "float32", "float": "float32"}
    return folded(array.astype(kinds.get(dtype, dtype)))


@function("cast", known=_cast_known)
def cast(layer: Layer, x: Operand, dtype: Any) -> Value:
    """X as another dtype."""
    return tensor(layer, x, graph_dtype(layer, dtype))


def _itself(x: Any) -> Any:
    return x


@function("identity", "stop_gradient", "convert_to_tensor", "copy", known=_itself)
def identity(layer: Layer, x: Operand) -> Value:
    """X itself."""
    return tensor(layer, x).masked(None)


@function("log2", known=np.log2)
def log2(layer: Layer, x: Operand) -> Value:
    """The logarithm to the base 2."""
    return linear(layer, layer.through(ops.Log(), floats(layer, x)), 1 / math.log(2))


@function("log10", known=np.log10)
def log10(layer: Layer, x: Operand) -> Value:
    """The logarithm to the base 10."""
    return linear(layer, layer.through(ops.Log(), floats(layer, x)), 1 / math.log(10))


@function("add_n")
def add_n(layer: Layer, x: Operand) -> Value:
    """The sum of several tensors."""
    return _joined(layer, ops.Add(), *x) if len(x) > 1 else x[0]
