"""Functions of each element: arithmetic, powers, comparisons, choices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ....runtime import ops
from ....runtime.op import Operation
from ..layer import Layer, Value
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


def _unary(names: str) -> Function:
    first, *_ = aliases = names.split()
    operation = UNARY[names]
    compute: Any = {"rsqrt": lambda x: 1 / np.sqrt(x)}.get(first, getattr(np, first, None))

    @function(*aliases, known=compute)
    def apply(layer: Layer, x: Operand) -> Value:
        y = layer.through(operation(), floats(layer, x))
        dtype = dtype_of(layer, x)
        return tensor(layer, y, dtype) if names in KEEPING and dtype != "bool" else y

    return apply


for _names in UNARY:
    _unary(_names)


def linear(layer: Layer, x: Value, factor: float, offset: float = 0.0) -> Value:
    """x * factor + offset; what was so computed just before is taken into it."""
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
    """x + y."""
    for one, other in ((x, y), (y, x)):
        if _with_number(layer, one, other):
            return linear(layer, floats(layer, one), 1.0, number(other))
    return _joined(layer, ops.Add(), x, y)


@function("subtract", known=np.subtract)
def subtract(layer: Layer, x: Operand, y: Operand) -> Value:
    """x - y."""
    if _with_number(layer, x, y):
        return linear(layer, floats(layer, x), 1.0, -number(y))
    if _with_number(layer, y, x):
        return linear(layer, floats(layer, y), -1.0, number(x))
    return _joined(layer, ops.Subtract(), x, y)


@function("multiply", known=np.multiply)
def multiply(layer: Layer, x: Operand, y: Operand) -> Value:
    """x * y."""
    for one, other in ((x, y), (y, x)):
        if _with_number(layer, one, other):
            return linear(layer, floats(layer, one), number(other))
    return _joined(layer, ops.Multiply(), x, y)


@function("divide", "true_divide", known=np.divide)
def divide(layer: Layer, x: Operand, y: Operand) -> Value:
    """x / y, as floats."""
    if number(y) is not None and number(y):
        return linear(layer, floats(layer, x), 1 / number(y))
    if number(x) is not None:
        inverse = layer.through(ops.Reciprocal(), floats(layer, y))
        return inverse if number(x) == 1 else linear(layer, inverse, number(x))
    return layer.through(ops.Divide(), floats(layer, x), floats(layer, y))


@function("divide_no_nan")
def divide_no_nan(layer: Layer, x: Operand, y: Operand) -> Value:
    """x / y, but 0 where y is 0."""
    y = floats(layer, y)
    none = layer.through(ops.Equal(0.0), y)
    quotient = divide(layer, x, layer.add(ops.Fill(1.0), y, none))
    return layer.add(ops.Fill(0.0), quotient, none)


@function("squared_difference", known=lambda x, y: np.square(np.subtract(x, y)))
def squared_difference(layer: Layer, x: Operand, y: Operand) -> Value:
    """(x - y) ** 2."""
    return layer.through(ops.Square(), floats(layer, subtract(layer, x, y)))


@function("power", known=np.power)
def power(layer: Layer, x: Operand, y: Operand) -> Value:
    """x ** y."""
    exponent, base = number(y), number(x)
    if exponent is not None:
        simple = {1: None, 2: ops.Square(), 0.5: ops.Sqrt(), -0.5: ops.Rsqrt(), -1: ops.Reciprocal()}
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


def _extreme(
    name: str, operation: type[Operation], clip: Callable[[float], Operation]
) -> Function:
    @function(name, known=getattr(np, name))
    def apply(layer: Layer, x: Operand, y: Operand) -> Value:
        for one, other in ((x, y), (y, x)):
            if _with_number(layer, one, other):
                return layer.through(clip(float(number(other))), floats(layer, one))
        return _joined(layer, operation(), x, y)

    return apply


maximum = _extreme("maximum", ops.Maximum, lambda n: ops.Clip(low=n))
minimum = _extreme("minimum", ops.Minimum, lambda n: ops.Clip(high=n))

COMPARISONS: Mapping[str, tuple[Callable[..., Operation], str]] = {
    "equal": (ops.Equal, "equal"),
    "not_equal": (ops.NotEqual, "not_equal"),
    "less": (ops.Less, "greater"),
    "less_equal": (ops.LessEqual, "greater_equal"),
    "greater": (ops.Greater, "less"),
    "greater_equal": (ops.GreaterEqual, "less_equal"),
}
"""The operation of each relation, and the relation of the second operand to the first."""


def _comparison(name: str) -> Function:
    operation, turned = COMPARISONS[name]

    @function(name, known=getattr(np, name))
    def apply(layer: Layer, x: Operand, y: Operand) -> Value:
        if number(x) is not None:
            x, y, compare = y, x, COMPARISONS[turned][0]
        else:
            compare = operation
        n = number(y)
        if n is None:
            return layer.through(operation(), *promoted(layer, x, y)[0])
        fits = dtype_of(layer, x) in ("int32", "int64") and n == int(n)
        x = tensor(layer, x) if fits else floats(layer, x)
        return layer.through(compare(float(n)), x)

    return apply


for _name in COMPARISONS:
    _comparison(_name)

TRUTHS: Mapping[str, type[Operation]] = {
    "logical_and": ops.LogicalAnd,
    "logical_or": ops.LogicalOr,
    "logical_xor": ops.LogicalXor,
}


def _truth(name: str) -> Function:
    @function(name, known=getattr(np, name))
    def apply(layer: Layer, x: Operand, y: Operand) -> Value:
        return layer.through(TRUTHS[name](), *(tensor(layer, v, "bool") for v in (x, y)))

    return apply


for _name in TRUTHS:
    _truth(_name)


@function("logical_not", known=np.logical_not)
def logical_not(layer: Layer, x: Operand) -> Value:
    """Whether it is not true."""
    return layer.through(ops.LogicalNot(), tensor(layer, x, "bool"))


@function("isnan", known=np.isnan)
def isnan(layer: Layer, x: Operand) -> Value:
    """Whether it is no number: then it differs from itself."""
    x = floats(layer, x)
    return layer.through(ops.NotEqual(), x, x)


@function("where", known=np.where)
def where(layer: Layer, condition: Operand, x: Operand, y: Operand) -> Value:
    """x where the condition is true, else y."""
    values, _ = promoted(layer, x, y)
    return layer.through(ops.Where(), tensor(layer, condition, "bool"), *values)


@function("clip", known=lambda x, low=None, high=None: np.clip(x, low, high))
def clip(layer: Layer, x: Operand, low: Operand = None, high: Operand = None) -> Value:
    """x, but no less than ``low`` and no more than ``high``."""
    limits = [None if n is None else number(n) for n in (low, high)]
    if limits != [low, high] or dtype_of(layer, x) != "float":
        for limit, extreme in ((low, maximum), (high, minimum)):
            x = x if limit is None else extreme(layer, x, limit)
        return tensor(layer, x)
    least, most = (None if n is None else float(n) for n in limits)
    return layer.through(ops.Clip(least, most), tensor(layer, x))


@function("cast", known=lambda x, dtype: _cast_known(x, dtype))
def cast(layer: Layer, x: Operand, dtype: Any) -> Value:
    """x as another dtype."""
    return tensor(layer, x, graph_dtype(layer, dtype))


def _cast_known(x: Any, dtype: Any) -> Known:
    """Sizes stay what they are: they are whole numbers, and may be open."""
    array = np.asarray(x)
    if array.dtype == object:
        return array
    kinds = {"bfloat16": "float32", "float": "float32"}
    return folded(array.astype(kinds.get(dtype, dtype)))


@function("identity", "stop_gradient", "convert_to_tensor", "copy", known=lambda x: x)
def identity(layer: Layer, x: Operand) -> Value:
    """x itself."""
    return tensor(layer, x).masked(None)


@function("zeros_like")
def zeros_like(layer: Layer, x: Operand) -> Operand:
    """Zeros in the shape of x."""
    return full_like(layer, x, 0)


@function("ones_like")
def ones_like(layer: Layer, x: Operand) -> Operand:
    """Ones in the shape of x."""
    return full_like(layer, x, 1)


@function("full_like", known=np.full_like)
def full_like(layer: Layer, x: Operand, value: Operand, dtype: Any = None) -> Value:
    """One number in the shape of x."""
    wanted = graph_dtype(layer, dtype) if dtype else dtype_of(layer, x)
    x = tensor(layer, x)
    itself = ops.LogicalXor() if dtype_of(layer, x) == "bool" else ops.Less()
    never = layer.through(itself, x, x)
    if wanted == "bool":
        return layer.through(ops.LogicalNot(), never) if number(value) else never
    filled = layer.through(ops.Cast(wanted), never)
    if wanted == "float":
        return linear(layer, filled, 1.0, number(value))
    return add(layer, filled, int(number(value)))


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
