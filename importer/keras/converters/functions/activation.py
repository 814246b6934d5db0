"""Activations, by the names Keras has for them, with their options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .....runtime import ops
from .....runtime.op import Operation
from ...builder import Value
from ...layer import Layer
from ..activations import ACTIVATIONS, activated
from .operand import FUNCTIONS, Function, Operand, axes_of, floats, function


def _plain(name: str) -> Function:
    """An activation without options."""

    @function(name)
    def apply(layer: Layer, x: Operand) -> Value:
        return activated(layer, name, floats(layer, x))

    return apply


@function("relu")
def relu(
    layer: Layer,
    x: Operand,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Value:
    """x, cut off at a threshold and at a largest value, with a slope below."""
    most = None if max_value is None else float(max_value)
    return layer.through(ops.Relu(most, float(negative_slope), float(threshold)), floats(layer, x))


@function("leaky_relu")
def leaky_relu(layer: Layer, x: Operand, negative_slope: float = 0.2) -> Value:
    """x, with a slope below zero."""
    return layer.through(ops.Relu(negative_slope=float(negative_slope)), floats(layer, x))


OF_ONE_NUMBER: Mapping[str, tuple[Callable[[float], Operation], str, float]] = {
    "celu": (ops.Celu, "alpha", 1.0),
    "elu": (ops.Elu, "alpha", 1.0),
    "hard_shrink": (ops.HardShrink, "threshold", 0.5),
    "soft_shrink": (ops.SoftShrink, "threshold", 0.5),
    "squareplus": (ops.Squareplus, "b", 4.0),
}
"""The operation of each activation, its option, and what that is unless given."""


def _of_one_number(name: str) -> Function:
    operation, option, default = OF_ONE_NUMBER[name]

    @function(name)
    def apply(layer: Layer, x: Operand, **given: Any) -> Value:
        value = float(given.pop(option, default))
        if given:
            raise layer.refuse(*next(iter(given.items())))
        return layer.through(operation(value), floats(layer, x))

    return apply


@function("softmax")
def softmax(layer: Layer, x: Operand, axis: Any = -1) -> Value:
    """exp(x), divided by its sum along one axis, or several."""
    x = floats(layer, x)
    axes = axes_of(layer, axis, layer.rank(x))
    if len(axes) == 1:
        return layer.add(ops.Softmax(axes[0]), x)
    total = layer.add(ops.LogSumExp(axes, True), x)
    return layer.add(ops.Exponential(), layer.add(ops.Subtract(), x, total))


@function("log_softmax")
def log_softmax(layer: Layer, x: Operand, axis: Any = -1) -> Value:
    """The logarithm of the softmax."""
    x = floats(layer, x)
    axes = axes_of(layer, axis, layer.rank(x))
    return layer.add(ops.Subtract(), x, layer.add(ops.LogSumExp(axes, True), x))


@function("gelu")
def gelu(layer: Layer, x: Operand, approximate: bool = False) -> Value:
    """X times the share of a normal distribution that lies below x, or about that."""
    return layer.through(ops.Gelu(bool(approximate)), floats(layer, x))


@function("glu")
def glu(layer: Layer, x: Operand, axis: Any = -1) -> Value:
    """The first half of an axis times the sigmoid of the second."""
    x = floats(layer, x)
    return layer.add(ops.Glu(axes_of(layer, axis, layer.rank(x))[0]), x)


@function("sparsemax")
def sparsemax(layer: Layer, x: Operand, axis: Any = -1) -> Value:
    """The probabilities nearest to x, many of them zero."""
    x = floats(layer, x)
    return layer.add(ops.Sparsemax(axes_of(layer, axis, layer.rank(x))[0]), x)


@function("threshold")
def threshold(layer: Layer, x: Operand, threshold: float, default_value: float) -> Value:
    """X where it is above a threshold, else one value."""
    return layer.through(ops.Threshold(float(threshold), float(default_value)), floats(layer, x))


@function("crelu")
def crelu(layer: Layer, x: Operand, axis: Any = -1) -> Value:
    """What is positive, then what is negative, one after the other."""
    x = floats(layer, x)
    parts = layer.add(ops.Relu(), x), layer.add(ops.Relu(), layer.add(ops.Negative(), x))
    return layer.add(ops.Concatenate(axes_of(layer, axis, layer.rank(x))[0]), *parts)


for _name in OF_ONE_NUMBER:
    _of_one_number(_name)
for _name in ACTIVATIONS:
    if _name not in FUNCTIONS:
        _plain(_name)
