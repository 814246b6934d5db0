"""Forms: several values into one, and values along axes into one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

from .....runtime import ops
from .....runtime.equation import Equation
from .....runtime.op import Operation
from ..model import Output
from ..node import Node, form


def _alike(node: Node, xs: tuple[Any, ...]) -> bool:
    """Whether a layer of Keras takes these values: it broadcasts by rules of its own."""
    shapes = {node.type(i).shape for i in range(len(xs))}
    return len(shapes) == 1 and all(isinstance(x, Output) for x in xs)


@form(ops.Add, ops.Subtract, ops.Multiply, ops.Maximum, ops.Minimum)
def merged(node: Node, op: Any, *xs: Any) -> Output:
    name = node.kind.__name__
    if len(xs) > 1 and _alike(node, xs):
        return node.layer(name, list(xs))
    return reduce(lambda a, b: node.operation(f"numpy.{name}", a, b), xs)


@form(ops.Average)
def average(node: Node, op: ops.Average, *xs: Any) -> Output:
    if len(xs) == 1:
        return xs[0]
    if _alike(node, xs):
        return node.layer("Average", list(xs))
    total = reduce(lambda a, b: node.operation("numpy.Add", a, b), xs)
    return node.layer("Rescaling", total, scale=1 / len(xs), offset=0.0)


@form(ops.Concatenate)
def concatenate(node: Node, op: ops.Concatenate, *xs: Any) -> Output:
    if op.axis % node.type().rank and all(isinstance(x, Output) for x in xs):
        return node.layer("Concatenate", list(xs), axis=op.axis)
    return node.operation("numpy.Concatenate", list(xs), axis=op.axis)


REDUCTIONS: Mapping[type[Operation], str] = {
    ops.LogSumExp: "math.Logsumexp",
    ops.ReduceAll: "numpy.All",
    ops.ReduceAny: "numpy.Any",
    ops.ReduceMax: "numpy.Max",
    ops.ReduceMean: "numpy.Mean",
    ops.ReduceMin: "numpy.Min",
    ops.ReduceProd: "numpy.Prod",
    ops.ReduceSum: "numpy.Sum",
}


@form(*REDUCTIONS)
def reduction(node: Node, op: Any, x: Output) -> Output:
    axes = None if op.axes is None else list(op.axes)
    axis = axes[0] if axes and len(axes) == 1 else axes
    return node.operation(REDUCTIONS[node.kind], x, axis=axis, keepdims=op.keepdims)


@form(ops.ArgMax, ops.ArgMin)
def place(node: Node, op: Any, x: Output) -> Output:
    kind = {"ArgMax": "numpy.Argmax", "ArgMin": "numpy.Argmin"}[node.kind.__name__]
    return node.operation(kind, x, axis=op.axis, keepdims=op.keepdims)


@form(ops.CumSum)
def cumsum(node: Node, op: ops.CumSum, x: Output) -> Output:
    given = node.operation("numpy.Flip", x, axis=op.axis) if op.reverse else x
    y = node.operation("numpy.Cumsum", given, axis=op.axis)
    if op.reverse:
        y = node.operation("numpy.Flip", y, axis=op.axis)
    return node.operation("numpy.Subtract", y, x) if op.exclusive else y


@form(ops.Einsum)
def einsum(node: Node, op: ops.Einsum, *xs: Any) -> Output:
    equation = Equation.of(op.equation, [node.type(i).rank for i in range(len(xs))])
    return node.operation("numpy.Einsum", *xs, subscripts=str(equation))
