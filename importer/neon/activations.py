"""Converters: activations, and what neon does to its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...runtime import ops
from ...runtime.errors import Unsupported
from ...runtime.op import Operation
from ..builder import Value
from ..options import Options
from .layer import Layer, neon, transform

ELEMENTWISE: Mapping[str, Callable[[Options], Operation]] = {
    "Rectlin": lambda told: ops.Relu(negative_slope=told.number("slope", 0)),
    "Rectlinclip": lambda told: ops.Relu(told.number("xcut", 20.0), told.number("slope", 0)),
    "Explin": lambda told: ops.Elu(told.number("alpha", 1.0)),
    "Logistic": lambda _: ops.Sigmoid(),
    "Tanh": lambda _: ops.Tanh(),
    "Normalizer": lambda told: ops.Scale(1 / (told.number("divisor", 128.0) or 1.0)),
}
IDENTITY = "Identity"


@neon("Activation", "DataTransform")
def activation(layer: Layer, x: Value) -> Value:
    settings = layer.options
    thing, told = transform(settings, "transform")
    if thing.kind == IDENTITY:
        y = x
    elif thing.kind in ELEMENTWISE:
        y = Value(layer.add(ELEMENTWISE[thing.kind](told), x.name), x.axes)
    elif thing.kind == "Softmax":
        y = _softmax(layer, x, told)
    elif thing.kind == "PixelwiseSoftmax":
        channels: Any = layer.shape(x)[0]
        if told.whole("c") != channels:
            raise told.refuse("c")
        y = layer.tensor(layer.add(ops.Softmax(), layer.features_last(x)))
    else:
        raise Unsupported(f"{layer.title}: transform {thing.kind!r} is not supported")
    told.finish()
    return y


def _softmax(layer: Layer, x: Value, told: Options) -> Value:
    """Over all of an example, or of a step: an image's elements in any order."""
    if told.whole("axis", 0) != 0:
        raise told.refuse("axis")
    if len(layer.shape(x)) < 3:
        return layer.tensor(layer.add(ops.Softmax(), layer.features_last(x)))
    sizes: Any = layer.builder.types[x.name].shape[1:]
    layer.sizes(x)
    flat = layer.add(ops.Softmax(), layer.add(ops.Flatten(), x.name))
    return Value(layer.add(ops.Reshape(tuple(sizes)), flat), x.axes)
