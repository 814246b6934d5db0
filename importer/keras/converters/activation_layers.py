"""Converters: activations that are layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ....runtime import ops
from ..builder import Value
from ..layer import Layer, keras
from .activations import activate
from .normalization import number


@keras("Activation", masks=True)
def activation(layer: Layer, x: Value) -> Value:
    layer["activation"]
    return activate(layer, x)


@keras("ReLU", masks=True)
def relu(layer: Layer, x: Value) -> Value:
    given = (layer.get(option, None) for option in ("max_value", "negative_slope", "threshold"))
    most, slope, threshold = (None if option is None else number(option) for option in given)
    return layer.through(ops.Relu(most, slope or 0.0, threshold or 0.0), x)


@keras("LeakyReLU", masks=True)
def leaky_relu(layer: Layer, x: Value) -> Value:
    slope = number(layer.either("alpha", "negative_slope", default=0.3))
    return layer.through(ops.Relu(negative_slope=slope), x)


@keras("ThresholdedReLU", masks=True)
def thresholded_relu(layer: Layer, x: Value) -> Value:
    # Keras keeps x > theta, the operation x >= threshold: the next number up makes them one.
    theta = np.float32(number(layer.get("theta", 1.0)))
    return layer.through(ops.Relu(threshold=float(np.nextafter(theta, np.float32(math.inf)))), x)


@keras("ELU", masks=True)
def elu(layer: Layer, x: Value) -> Value:
    return layer.through(ops.Elu(number(layer.get("alpha", 1.0))), x)


@keras("PReLU", masks=True)
def prelu(layer: Layer, x: Value) -> Value:
    layer.get("shared_axes", None)  # Keras 1 forgets to write it: the array says it, too
    arrays = layer.take("alpha")
    sizes = enumerate(arrays["alpha"].shape, 1)
    shared = tuple(axis for axis, n in sizes if n == 1 and layer.shape(x)[axis] != 1)
    return layer.add(ops.Prelu(shared), x, **arrays)


@keras("Softmax", masks=True)
def softmax(layer: Layer, x: Value) -> Value:
    axes: Any = layer.get("axis", -1)
    over = (axes,) if isinstance(axes, int) else tuple(axes)
    robust = bool(layer.get("robust_masking", False)) or not layer.origin.is_before(3, 13)
    mask: Value | None = layer.given("mask")
    if mask is None and x.mask and not layer.origin.is_before(2, 4):
        mask = x.mask
    if mask is None:
        return softmax_over(layer, x, over)
    if layer.rank(mask) != layer.rank(x):
        raise layer.refuse("a mask", f"of {layer.rank(mask)} axes")
    zeros = not layer.origin.is_before(3, 10)
    is_bool = layer.tensor(mask).dtype == "bool"
    if not is_bool and not robust:
        # x + 1e9 (mask - 1): what is lowered by so much keeps nothing of x in single precision.
        kept = layer.add(ops.GreaterEqual(1.0), mask)
        lowered = layer.add(ops.Scale(1e9, -1e9), mask)
        y = softmax_over(layer, layer.add(ops.Where(), kept, x, lowered), over)
        return layer.add(ops.Multiply(), y, mask) if zeros else y
    kept = mask if is_bool else layer.add(ops.Greater(0.5), mask)
    y = softmax_over(layer, layer.add(ops.Fill(-1e9, where=False), x, kept), over)
    return layer.add(ops.Fill(0.0, where=False), y, kept) if zeros else y


def softmax_over(layer: Layer, x: Value, axes: tuple[int, ...]) -> Value:
    """Softmax along an axis, or along several of them together."""
    if len(axes) == 1:
        return layer.add(ops.Softmax(axes[0]), x)
    total = layer.add(ops.LogSumExp(axes, keepdims=True), x)
    return layer.add(ops.Exponential(), layer.add(ops.Subtract(), x, total))
