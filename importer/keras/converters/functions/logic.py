"""Comparisons, what is made of truths, and numbers in the shape of a tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .....runtime import ops
from .....runtime.op import Operation
from ...builder import Value
from ...layer import Layer
from .elementwise import add, linear
from .operand import (
    Function,
    Operand,
    dtype_of,
    floats,
    function,
    graph_dtype,
    number,
    promoted,
    tensor,
)

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
    """X where the condition is true, else y."""
    values, _ = promoted(layer, x, y)
    return layer.through(ops.Where(), tensor(layer, condition, "bool"), *values)


@function("zeros_like")
def zeros_like(layer: Layer, x: Operand, dtype: Any = None) -> Operand:
    """Zeros in the shape of x."""
    return full_like(layer, x, 0, dtype)


@function("ones_like")
def ones_like(layer: Layer, x: Operand, dtype: Any = None) -> Operand:
    """Ones in the shape of x."""
    return full_like(layer, x, 1, dtype)


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
