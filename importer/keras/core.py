"""Converters: dense layers, activations, shapes, embeddings, normalization, dropout."""

from __future__ import annotations

import math
from typing import Any

from ...runtime import ops
from .activations import activate
from .layer import Layer, keras


@keras("Dense")
def dense(layer: Layer, x: str) -> str:
    bias = layer.get("use_bias", True)
    op = ops.Dense(layer["units"], bool(bias))
    return activate(layer, layer.add(op, x, **layer.take("kernel", *["bias"] * op.use_bias)))


@keras("Activation")
def activation(layer: Layer, x: str) -> str:
    layer["activation"]
    return activate(layer, x)


@keras("ActivityRegularization", "Identity")
def unchanged(layer: Layer, x: str) -> str:
    for option in ("l1", "l2"):
        layer.get(option, 0)
    return x


@keras("ReLU")
def relu(layer: Layer, x: str) -> str:
    most, slope, threshold = (
        layer.get(o, None) for o in ("max_value", "negative_slope", "threshold")
    )
    most = None if most is None else float(most)
    return layer.add(ops.Relu(most, float(slope or 0), float(threshold or 0)), x)


@keras("LeakyReLU")
def leaky_relu(layer: Layer, x: str) -> str:
    return layer.add(ops.Relu(negative_slope=_number(layer.either("alpha", "negative_slope"))), x)


@keras("ThresholdedReLU")
def thresholded_relu(layer: Layer, x: str) -> str:
    # Keras keeps x > theta, the operation x >= threshold: the next number up makes them one.
    theta = _number(layer.get("theta", 1.0))
    return layer.add(ops.Relu(threshold=math.nextafter(theta, math.inf)), x)


@keras("ELU")
def elu(layer: Layer, x: str) -> str:
    return layer.add(ops.Elu(_number(layer.get("alpha", 1.0))), x)


@keras("PReLU")
def prelu(layer: Layer, x: str) -> str:
    shared = tuple(axis % layer.rank(x) for axis in layer.get("shared_axes", None) or ())
    return layer.add(ops.Prelu(shared), x, **layer.take("alpha"))


@keras("Softmax")
def softmax(layer: Layer, x: str) -> str:
    axis: Any = layer.get("axis", -1)
    if not isinstance(axis, int):
        raise layer.refuse("axis", axis)
    return layer.add(ops.Softmax(axis), x)


@keras("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
def dropout(layer: Layer, x: str) -> str:
    shared = tuple(range(1, layer.rank(x) - 1)) if layer.kind != "Dropout" else ()
    noise_shape = layer.get("noise_shape", None)
    if noise_shape is not None:
        shared = tuple(axis for axis, size in enumerate(noise_shape) if size == 1)
    return layer.add(ops.Dropout(_number(layer["rate"]), shared), x)


@keras("AlphaDropout")
def alpha_dropout(layer: Layer, x: str) -> str:
    if layer.get("noise_shape", None) is not None:
        raise layer.refuse("noise_shape", layer["noise_shape"])
    return layer.add(ops.AlphaDropout(_number(layer["rate"])), x)


@keras("GaussianDropout")
def gaussian_dropout(layer: Layer, x: str) -> str:
    return layer.add(ops.GaussianDropout(_number(layer["rate"])), x)


@keras("GaussianNoise")
def gaussian_noise(layer: Layer, x: str) -> str:
    return layer.add(ops.GaussianNoise(_number(layer["stddev"])), x)


@keras("Flatten")
def flatten(layer: Layer, x: str) -> str:
    return layer.add(ops.Flatten(), x)


@keras("Reshape")
def reshape(layer: Layer, x: str) -> str:
    return layer.add(ops.Reshape(tuple(int(n) for n in layer["target_shape"])), x)


@keras("Permute")
def permute(layer: Layer, x: str) -> str:
    return layer.add(ops.Transpose((0, *(int(axis) for axis in layer["dims"]))), x)


@keras("Embedding")
def embedding(layer: Layer, x: str) -> str:
    op = ops.Embedding(layer["input_dim"], layer["output_dim"])
    return layer.add(op, x, **layer.take(table="embeddings"))


@keras("BatchNormalization")
def batch_normalization(layer: Layer, x: str) -> str:
    axis: Any = layer.get("axis", -1)
    op = ops.BatchNormalization(
        tuple(axis) if isinstance(axis, list) else (int(axis),),
        epsilon=_number(layer.get("epsilon", 1e-3)),
        momentum=_number(layer.get("momentum", 0.99)),
        center=bool(layer.get("center", True)),
        scale=bool(layer.get("scale", True)),
    )
    names = ["gamma"] * op.scale + ["beta"] * op.center + ["moving_mean", "moving_variance"]
    return layer.add(op, x, **layer.take(*names))


def _number(value: Any) -> float:
    """Keras may store a number as a one-element array: {"type": "ndarray", "value": 0.3}."""
    return float(value["value"] if isinstance(value, dict) else value)
