"""Functions that make axes one element, and those that run along one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .....runtime import ops
from .....runtime.op import Operation
from ...builder import Value
from ...layer import Layer
from .elementwise import power, subtract
from .operand import (
    Function,
    Operand,
    axes_of,
    dtype_of,
    floats,
    function,
    graph_dtype,
    number,
    tensor,
    whole,
)

REDUCTIONS: Mapping[str, tuple[type[Operation], str]] = {
    "all": (ops.ReduceAll, "bool"),
    "any": (ops.ReduceAny, "bool"),
    "logsumexp": (ops.LogSumExp, "float"),
    "max amax": (ops.ReduceMax, ""),
    "mean": (ops.ReduceMean, "float"),
    "min amin": (ops.ReduceMin, ""),
    "prod": (ops.ReduceProd, ""),
    "sum": (ops.ReduceSum, ""),
}
"""The operation of each function, and the dtype it takes; "": any of numbers."""


def _reduction(names: str) -> Function:
    first, *_ = names.split()
    operation, wanted = REDUCTIONS[names]

    @function(*names.split(), known=getattr(np, first, None))
    def apply(layer: Layer, x: Operand, axis: Any = None, keepdims: bool = False) -> Value:
        if dtype_of(layer, x) == "bool" and not wanted:
            x = tensor(layer, x, "int32")
        return reduced(layer, operation, tensor(layer, x, wanted or None), axis, keepdims)

    return apply


def reduced(
    layer: Layer, operation: Any, x: Value, axis: Any = None, keepdims: bool = False
) -> Value:
    """A reduction; of no axes it is x itself."""
    axes = None if axis is None else axes_of(layer, axis, layer.rank(x))
    return x if axes == () else layer.add(operation(axes, bool(keepdims)), x)


for _names in REDUCTIONS:
    _reduction(_names)


@function("var", known=np.var)
def var(layer: Layer, x: Operand, axis: Any = None, keepdims: bool = False) -> Value:
    """The mean of the squared differences from the mean."""
    x = floats(layer, x)
    centred = subtract(layer, x, reduced(layer, ops.ReduceMean, x, axis, True))
    return reduced(layer, ops.ReduceMean, layer.add(ops.Square(), centred), axis, keepdims)


@function("std", known=np.std)
def std(layer: Layer, x: Operand, axis: Any = None, keepdims: bool = False) -> Value:
    """The square root of the variance."""
    return layer.add(ops.Sqrt(), var(layer, x, axis, keepdims))


@function("moments")
def moments(layer: Layer, x: Operand, axes: Any, keepdims: bool = False) -> tuple[Value, Value]:
    """Mean and variance."""
    mean = reduced(layer, ops.ReduceMean, floats(layer, x), axes, keepdims)
    return mean, var(layer, x, axes, keepdims)


@function("norm", known=np.linalg.norm)
def norm(
    layer: Layer, x: Operand, ord: Any = None, axis: Any = None, keepdims: bool = False
) -> Value:
    """The length of vectors: Euclidean, or of another order along one axis."""
    x = floats(layer, x)
    if ord in (None, "euclidean", "fro", 2):
        squares = reduced(layer, ops.ReduceSum, layer.add(ops.Square(), x), axis, keepdims)
        return layer.add(ops.Sqrt(), squares)
    size, order = layer.add(ops.Abs(), x), number(ord)
    if (isinstance(axis, list | tuple) and len(axis) > 1) or order is None:
        raise layer.refuse("ord", ord)
    if abs(order) == np.inf:
        return reduced(layer, ops.ReduceMax if order > 0 else ops.ReduceMin, size, axis, keepdims)
    powers = power(layer, size, order)
    return power(layer, reduced(layer, ops.ReduceSum, powers, axis, keepdims), 1 / order)


@function("l2_normalize")
def l2_normalize(layer: Layer, x: Operand, axis: Any = None, epsilon: float = 1e-12) -> Value:
    """X / sqrt(max(sum of x ** 2, epsilon))."""
    x = floats(layer, x)
    axes = axes_of(layer, axis, layer.rank(x))
    return layer.add(ops.UnitNormalization(axes, float(epsilon) ** 0.5), x)


@function("argmax", known=np.argmax)
def argmax(layer: Layer, x: Operand, axis: Any = -1, keepdims: bool = False) -> Value:
    """Where along the axis the largest is."""
    return _place(layer, ops.ArgMax, x, axis, keepdims)


@function("argmin", known=np.argmin)
def argmin(layer: Layer, x: Operand, axis: Any = -1, keepdims: bool = False) -> Value:
    """Where along the axis the smallest is."""
    return _place(layer, ops.ArgMin, x, axis, keepdims)


def _place(layer: Layer, operation: Any, x: Operand, axis: Any, keepdims: bool) -> Value:
    if axis is None:
        raise layer.refuse("axis", None)
    x = tensor(layer, x)
    return layer.add(operation(whole(layer, axis, "axis") % layer.rank(x), bool(keepdims)), x)


@function("count_nonzero")
def count_nonzero(layer: Layer, x: Operand, axis: Any = None, keepdims: bool = False) -> Value:
    """How many are not zero."""
    there = tensor(layer, tensor(layer, x, "bool"), "int32")
    return reduced(layer, ops.ReduceSum, there, axis, keepdims)


@function("cumsum")
def cumsum(
    layer: Layer, x: Operand, axis: Any = -1, exclusive: bool = False, reverse: bool = False
) -> Value:
    """The sum of the elements up to each along the axis."""
    x = tensor(layer, x)
    if dtype_of(layer, x) == "bool":
        x = tensor(layer, x, "int32")
    at = whole(layer, axis, "axis") % layer.rank(x)
    return layer.add(ops.CumSum(at, bool(reverse), bool(exclusive)), x)


@function("one_hot")
def one_hot(layer: Layer, x: Operand, depth: Any, axis: Any = -1, dtype: Any = None) -> Value:
    """1 in the place that a number says along a new axis, else 0."""
    op = ops.OneHot(whole(layer, depth, "depth"), whole(layer, axis, "axis"))
    return tensor(layer, layer.add(op, tensor(layer, x)), graph_dtype(layer, dtype or "float32"))
