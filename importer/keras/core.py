"""Converters: dense layers, activations, shapes, embeddings, normalization, dropout."""

from __future__ import annotations

import math
from typing import Any

from ...runtime import ops
from .activations import activate
from .axes import as_layer, channels_last
from .layer import Layer, Value, keras
from .legacy import normalized_by_sample


@keras("Dense", masks=True)
def dense(layer: Layer, x: Value) -> Value:
    bias = layer.get("use_bias", True)
    op = ops.Dense(layer["units"], bool(bias))
    return activate(layer, layer.add(op, x, **layer.take("kernel", *["bias"] * op.use_bias)))


@keras("Activation", masks=True)
def activation(layer: Layer, x: Value) -> Value:
    layer["activation"]
    return activate(layer, x)


@keras("ActivityRegularization", "Identity", masks=True)
def unchanged(layer: Layer, x: Value) -> Value:
    for option in ("l1", "l2"):
        layer.get(option, 0)
    return x


@keras("ReLU", masks=True)
def relu(layer: Layer, x: Value) -> Value:
    most, slope, threshold = (
        layer.get(o, None) for o in ("max_value", "negative_slope", "threshold")
    )
    most = None if most is None else float(most)
    return layer.through(ops.Relu(most, float(slope or 0), float(threshold or 0)), x)


@keras("LeakyReLU", masks=True)
def leaky_relu(layer: Layer, x: Value) -> Value:
    return layer.through(ops.Relu(negative_slope=_number(layer.either("alpha", "negative_slope"))), x)


@keras("ThresholdedReLU", masks=True)
def thresholded_relu(layer: Layer, x: Value) -> Value:
    # Keras keeps x > theta, the operation x >= threshold: the next number up makes them one.
    theta = _number(layer.get("theta", 1.0))
    return layer.through(ops.Relu(threshold=math.nextafter(theta, math.inf)), x)


@keras("ELU", masks=True)
def elu(layer: Layer, x: Value) -> Value:
    return layer.through(ops.Elu(_number(layer.get("alpha", 1.0))), x)


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
    if isinstance(axes, list):
        axes = axes[0] if len(axes) == 1 else axes
    if not isinstance(axes, int):
        raise layer.refuse("axis", axes)
    return layer.add(ops.Softmax(axes), x)


@keras("Dropout", masks=True)
def dropout(layer: Layer, x: Value) -> Value:
    noise_shape = layer.get("noise_shape", None) or ()
    shared = tuple(axis for axis, size in enumerate(noise_shape) if size == 1)
    op = ops.Dropout(_number(layer["rate"]), shared)
    return layer.add(op, x) if shared else layer.through(op, x)


@keras("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", masks=True)
def spatial_dropout(layer: Layer, x: Value) -> Value:
    shared = tuple(range(1, layer.rank(x) - 1))
    dropped = layer.add(ops.Dropout(_number(layer["rate"]), shared), channels_last(layer, x))
    return as_layer(layer, dropped)


@keras("AlphaDropout", masks=True)
def alpha_dropout(layer: Layer, x: Value) -> Value:
    if layer.get("noise_shape", None) is not None:
        raise layer.refuse("noise_shape", layer["noise_shape"])
    return layer.through(ops.AlphaDropout(_number(layer["rate"])), x)


@keras("GaussianDropout", masks=True)
def gaussian_dropout(layer: Layer, x: Value) -> Value:
    return layer.through(ops.GaussianDropout(_number(layer["rate"])), x)


@keras("GaussianNoise", masks=True)
def gaussian_noise(layer: Layer, x: Value) -> Value:
    return layer.through(ops.GaussianNoise(_number(layer["stddev"])), x)


@keras("Flatten")
def flatten(layer: Layer, x: Value) -> Value:
    if layer.rank(x) == 1:
        return layer.add(ops.ExpandDims((1,)), x)
    # Told that channels are first, Keras moves them last before it flattens.
    return layer.add(ops.Flatten(), channels_last(layer, x) if layer.rank(x) > 2 else x)


@keras("Reshape")
def reshape(layer: Layer, x: Value) -> Value:
    return layer.add(ops.Reshape(tuple(int(n) for n in layer["target_shape"])), x)


@keras("Permute")
def permute(layer: Layer, x: Value) -> Value:
    order = (0, *(int(axis) for axis in layer["dims"]))
    axes = x.axes or tuple(range(len(order)))
    return Value(x.name, tuple(axes[axis] for axis in order))


@keras("RepeatVector")
def repeat_vector(layer: Layer, x: Value) -> Value:
    return layer.add(ops.Tile((1, int(layer["n"]), 1)), layer.add(ops.ExpandDims((1,)), x))


@keras("Embedding")
def embedding(layer: Layer, x: Value) -> Value:
    op = ops.Embedding(layer["input_dim"], layer["output_dim"])
    y = layer.add(op, x, **layer.take(table="embeddings"))
    if not layer.get("mask_zero", False):
        return y
    return y.masked(layer.add(ops.NotEqual(0), x))


@keras("Masking")
def masking(layer: Layer, x: Value) -> Value:
    different = layer.add(ops.NotEqual(_number(layer.get("mask_value", 0.0))), x)
    there = layer.add(ops.ReduceAny((-1,), keepdims=True), different)
    y = layer.add(ops.Multiply(), x, layer.add(ops.Cast("float"), there))
    return y.masked(layer.add(ops.Squeeze((-1,)), there))


@keras("BatchNormalization", masks=True)
def batch_normalization(layer: Layer, x: Value) -> Value:
    axis: Any = layer.get("axis", -1)
    epsilon = _number(layer.get("epsilon", 1e-3))
    if layer.get("mode", 0) == 1:
        layer.get("momentum", None)
        return normalized_by_sample(layer, x, epsilon)
    axes = tuple(axis) if isinstance(axis, list) else (int(axis),)
    if x.axes:  # normalised below the transposition
        axes = tuple(x.axes[axis] for axis in axes)
    op = ops.BatchNormalization(
        axes,
        epsilon=epsilon,
        momentum=_number(layer.get("momentum", 0.99)),
        center=bool(layer.get("center", True)),
        scale=bool(layer.get("scale", True)),
    )
    names = ["gamma"] * op.scale + ["beta"] * op.center + ["moving_mean", "moving_variance"]
    return layer.through(op, x, **layer.take(*names))


def _number(value: Any) -> float:
    """Keras may store a number as a one-element array: {"type": "ndarray", "value": 0.3}."""
    return float(value["value"] if isinstance(value, dict) else value)
