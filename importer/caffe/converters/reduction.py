"""Converters: softmax, and what makes fewer numbers of many."""

from __future__ import annotations

from ....runtime import ops
from ...builder import Value
from ..layer import Layer, caffe, row_axis


@caffe("Softmax")
def softmax(layer: Layer, x: Value) -> Value:
    param = layer.options("softmax_param")
    axis = row_axis(param, "axis", 1, layer.rank(x))
    return layer.each(ops.Softmax(x.axes[axis] if x.axes else axis), x)


@caffe("Reduction")
def reduction(layer: Layer, x: Value) -> Value:
    """One number for all axes from one on."""
    param = layer.options("reduction_param")
    rank = layer.rank(x)
    first = row_axis(param, "axis", 0, rank)
    operation = param.get("operation", "SUM")
    factor = param.number("coeff", 1.0)
    if operation in ("ASUM", "SUMSQ"):
        x = layer.each(ops.Abs() if operation == "ASUM" else ops.Square(), x)
    over = tuple(range(first, rank))
    op = ops.ReduceMean(over) if operation == "MEAN" else ops.ReduceSum(over)
    y = layer.on_plain(op, x)
    return y if factor == 1 else layer.each(ops.Scale(factor), y)


@caffe("ArgMax")
def argmax(layer: Layer, x: Value) -> Value:
    """The place of the largest element, or with out_max_val what it is; both without an axis."""
    param = layer.options("argmax_param")
    if param.whole("top_k", 1, least=1) != 1:
        raise param.refuse("top_k")
    value = bool(param.get("out_max_val", False))
    if "axis" in param:
        axis = row_axis(param, "axis", 1, layer.rank(x))
        name = layer.plain(x)
        return Value(_largest(layer, name, axis) if value else _place(layer, name, axis))
    flat = layer.add(ops.Flatten(), layer.plain(x))
    found = [_place(layer, flat, 1)] + [_largest(layer, flat, 1)] * value
    parts = [layer.add(ops.Reshape((1, 1)), name) for name in found]
    return Value(layer.add(ops.Concatenate(1), *parts) if value else parts[0])


def _place(layer: Layer, x: str, axis: int) -> str:
    place = layer.add(ops.ArgMax(axis, keepdims=True), x)
    return layer.add(ops.Cast("float"), place)


def _largest(layer: Layer, x: str, axis: int) -> str:
    return layer.add(ops.ReduceMax((axis,), keepdims=True), x)
