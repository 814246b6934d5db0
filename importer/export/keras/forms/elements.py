"""Forms: functions of each element, comparisons, choices."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

from .....runtime import ops
from .....runtime.op import Operation
from ..model import Output
from ..node import Node, form, keras_dtype, scalar

UNARY: Mapping[type[Operation], str] = {
    ops.Abs: "numpy.Absolute",
    ops.Erf: "math.Erf",
    ops.Rsqrt: "math.Rsqrt",
    **{
        kind: f"numpy.{kind.__name__}"
        for kind in (
            ops.Arccos, ops.Arccosh, ops.Arcsin, ops.Arcsinh, ops.Arctan, ops.Arctanh, ops.Ceil,
            ops.Cos, ops.Cosh, ops.Expm1, ops.Floor, ops.Log, ops.Log1p, ops.LogicalNot,
            ops.Negative, ops.Reciprocal, ops.Round, ops.Sign, ops.Sin, ops.Sinh, ops.Sqrt,
            ops.Square, ops.Tan,
        )
    },
}  # fmt: skip

BINARY: Mapping[type[Operation], str] = {
    ops.Divide: "numpy.Divide",
    ops.FloorDivide: "numpy.FloorDivide",
    ops.Mod: "numpy.Mod",
    ops.PowerOf: "numpy.Power",
}


@form(*UNARY)
def unary(node: Node, op: Operation, x: Output) -> Output:
    return node.operation(UNARY[node.kind], x)


@form(*BINARY)
def binary(node: Node, op: Operation, a: Any, b: Any) -> Output:
    return node.operation(BINARY[node.kind], a, b)


@form(ops.SquaredDifference)
def squared_difference(node: Node, op: ops.SquaredDifference, a: Any, b: Any) -> Output:
    return node.operation("numpy.Square", node.operation("numpy.Subtract", a, b))


@form(ops.Power)
def power(node: Node, op: ops.Power, x: Output) -> Output:
    return node.operation("numpy.Power", x, op.exponent)


@form(ops.Scale)
def scale(node: Node, op: ops.Scale, x: Output) -> Output:
    return node.layer("Rescaling", x, scale=op.factor, offset=op.offset)


@form(ops.Equal, ops.NotEqual, ops.Less, ops.LessEqual, ops.Greater, ops.GreaterEqual)
def comparison(node: Node, op: Any, x: Any, *others: Any) -> Output:
    other = others[0] if others else scalar(op.value, node.type().dtype)
    return node.operation(f"numpy.{node.kind.__name__}", x, other)


@form(ops.LogicalAnd, ops.LogicalOr, ops.LogicalXor)
def connective(node: Node, op: Operation, *xs: Any) -> Output:
    kind = f"numpy.{node.kind.__name__}"
    return reduce(lambda a, b: node.operation(kind, a, b), xs)


@form(ops.Where)
def where(node: Node, op: ops.Where, condition: Any, a: Any, b: Any) -> Output:
    return node.operation("numpy.Where", condition, a, b)


@form(ops.Fill)
def fill(node: Node, op: ops.Fill, x: Any, mask: Any) -> Output:
    value = scalar(op.value, node.type().dtype)
    return node.operation("numpy.Where", mask, *((value, x) if op.where else (x, value)))


@form(ops.Cast)
def cast(node: Node, op: ops.Cast, x: Output) -> Output:
    return node.operation("core.Cast", x, dtype=keras_dtype(op.dtype))


@form(ops.OneHot)
def one_hot(node: Node, op: ops.OneHot, x: Output) -> Output:
    if node.type().dtype == "float":
        x = node.operation("core.Cast", x, dtype="int32")
    return node.operation("nn.OneHot", x, num_classes=op.depth, axis=op.axis, dtype="float32")


@form(ops.Discretize)
def discretize(node: Node, op: ops.Discretize, x: Output) -> Output:
    return node.layer("Discretization", x, bin_boundaries=list(op.boundaries))
