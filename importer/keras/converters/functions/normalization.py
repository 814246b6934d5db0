"""Tensors less their mean, by their deviation, in the ways that are in use; and attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from .....runtime import ops
from ...builder import Value
from ...layer import Layer
from .activation import softmax
from .contraction import einsum
from .elementwise import add, linear, multiply, power, subtract
from .logic import where
from .operand import Operand, axes_of, floats, function, number, shape_of
from .reduction import moments, norm, reduced, std, var
from .reshape import reshape

EPSILON = 1e-7
"""Keras' own, where none is given."""


@function("normalize")
def normalize(
    layer: Layer, x: Operand, axis: Any = -1, order: Any = 2, epsilon: float | None = None
) -> Value:
    """X by its length, which counts as no less than epsilon."""
    x, least = floats(layer, x), EPSILON if epsilon is None else float(epsilon)
    if order == 2:
        return layer.add(ops.UnitNormalization(axes_of(layer, axis, layer.rank(x)), least), x)
    length = layer.add(ops.Clip(low=least), norm(layer, x, order, axis, True))
    return layer.add(ops.Divide(), x, length)


@function("standardize", "per_image_standardization")
def standardize(layer: Layer, x: Operand) -> Value:
    """X less its mean, by its standard deviation, over all axes of a row.

    The deviation counts as no less than that of one element of 1, as TensorFlow has it.
    """
    x = floats(layer, x)
    axes, sizes = list(range(1, layer.rank(x))), layer.shape(x)[1:]
    if not all(isinstance(n, int) for n in sizes):
        raise layer.refuse("standardizing the shape", sizes)
    centred = subtract(layer, x, reduced(layer, ops.ReduceMean, x, axes, True))
    least = 1 / np.sqrt(np.prod([int(n) for n in sizes]))
    deviation = layer.add(ops.Clip(low=float(least)), std(layer, x, axes, True))
    return layer.add(ops.Divide(), centred, deviation)


@function("rms_normalization")
def rms_normalization(
    layer: Layer, x: Operand, scale: Operand = None, axis: Any = -1, epsilon: float | None = None
) -> Value:
    """X by the root of the mean of its squares, times a scale."""
    x = floats(layer, x)
    squares = reduced(layer, ops.ReduceMean, layer.add(ops.Square(), x), axis, True)
    y = layer.add(ops.Multiply(), x, _inverse_root(layer, squares, epsilon))
    return y if scale is None else multiply(layer, y, scale)


def _inverse_root(layer: Layer, variance: Value, epsilon: float | None) -> Value:
    least = EPSILON if epsilon is None else float(epsilon)
    return layer.add(ops.Rsqrt(), linear(layer, variance, 1.0, least))


@function("layer_normalization", "layer_norm")
def layer_normalization(
    layer: Layer,
    x: Operand,
    gamma: Operand = None,
    beta: Operand = None,
    axis: Any = -1,
    epsilon: float | None = None,
    rms_scaling: bool = False,
) -> Value:
    """X less its mean, by its deviation, over some axes; times gamma, plus beta.

    With ``rms_scaling`` the mean is not taken away, and there is no beta.
    """
    x = floats(layer, x)
    axes = sorted(axes_of(layer, axis, layer.rank(x)))
    around = [n if i in axes else 1 for i, n in enumerate(layer.shape(x))]
    centred = subtract(layer, x, moments(layer, x, axes, True)[0])
    variance = var(layer, x, axes, True)
    y = multiply(layer, x if rms_scaling else centred, _inverse_root(layer, variance, epsilon))
    for array, join in ((gamma, multiply), (None if rms_scaling else beta, add)):
        if array is not None:
            y = join(layer, y, _around(layer, array, around))
    return y


def _around(layer: Layer, array: Operand, shape: Any) -> Operand:
    """An array of some axes of a tensor with all of them."""
    return array if len(shape_of(layer, array)) == len(shape) else reshape(layer, array, shape)


@function("batch_normalization")
def batch_normalization(
    layer: Layer,
    x: Operand,
    mean: Operand,
    variance: Operand,
    offset: Operand = None,
    scale: Operand = None,
    axis: Any = None,
    epsilon: float = 1e-3,
) -> Value:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset, of an axis or as they broadcast."""
    x = floats(layer, x)
    if axis is not None:
        at = axes_of(layer, axis, layer.rank(x))[0]
        around = [-1 if i == at else 1 for i in range(layer.rank(x))]
        mean, variance, offset, scale = (
            None if array is None else reshape(layer, array, around)
            for array in (mean, variance, offset, scale)
        )
    inverse = power(layer, add(layer, variance, epsilon), -0.5)
    inverse = inverse if scale is None else multiply(layer, inverse, scale)
    y = multiply(layer, subtract(layer, x, mean), inverse)
    return y if offset is None else add(layer, y, offset)


@function("dot_product_attention")
def dot_product_attention(
    layer: Layer,
    query: Operand,
    key: Operand,
    value: Operand,
    bias: Operand = None,
    mask: Operand = None,
    scale: Any = None,
) -> Value:
    """Attention of several heads: query, key and value are (batch, steps, heads, units)."""
    width = layer.shape(floats(layer, query))[-1]
    factor = number(scale) if scale is not None else int(width) ** -0.5
    if factor is None:
        raise layer.refuse("scale", "that is computed")
    scores = einsum(layer, "btnh,bsnh->bnts", query, key)
    scores = multiply(layer, scores, factor)
    scores = scores if bias is None else add(layer, scores, bias)
    if mask is not None:
        scores = where(layer, mask, scores, LOWEST)
    return einsum(layer, "bnts,bsnh->btnh", softmax(layer, scores, -1), value)


LOWEST = float(np.finfo(np.float32).min) / 2
"""What a score counts as that the mask leaves out."""
