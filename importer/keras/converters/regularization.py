"""Converters: layers that do something in training alone."""

from __future__ import annotations

from ....runtime import ops
from ..builder import Value
from ..layer import Layer, keras
from .axes import as_layer, channels_last
from .normalization import number


@keras("Dropout", masks=True)
def dropout(layer: Layer, x: Value) -> Value:
    noise_shape = layer.get("noise_shape", None) or ()
    shared = tuple(axis for axis, size in enumerate(noise_shape) if size == 1)
    op = ops.Dropout(number(layer["rate"]), shared)
    return layer.add(op, x) if shared else layer.through(op, x)


@keras("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", masks=True)
def spatial_dropout(layer: Layer, x: Value) -> Value:
    layer.get("noise_shape", None)  # it has its own
    shared = tuple(range(1, layer.rank(x) - 1))
    dropped = layer.add(ops.Dropout(number(layer["rate"]), shared), channels_last(layer, x))
    return as_layer(layer, dropped)


@keras("AlphaDropout", masks=True)
def alpha_dropout(layer: Layer, x: Value) -> Value:
    if layer.get("noise_shape", None) is not None:
        raise layer.refuse("noise_shape", layer["noise_shape"])
    return layer.through(ops.AlphaDropout(number(layer["rate"])), x)


@keras("GaussianDropout", masks=True)
def gaussian_dropout(layer: Layer, x: Value) -> Value:
    return layer.through(ops.GaussianDropout(number(layer["rate"])), x)


@keras("GaussianNoise", masks=True)
def gaussian_noise(layer: Layer, x: Value) -> Value:
    return layer.through(ops.GaussianNoise(number(layer["stddev"])), x)
