"""Converters: pooling, padding and cropping."""

from __future__ import annotations

from ....runtime import ops
from ..builder import Value
from ..layer import Layer, keras
from .axes import as_layer, channels_last, has_channels_first, pairs, per_axis
from .convolution import padding_of

# None of these layers hands a mask on, and but for GlobalAveragePooling1D none looks at one.


@keras(*(f"{kind}Pooling{n}D" for kind in ("Max", "Average") for n in (1, 2, 3)))
def pooling(layer: Layer, x: Value) -> Value:
    size = per_axis(layer, "pool_size")
    every = size if layer.get("strides", None) is None else per_axis(layer, "strides")
    op = ops.MaxPooling if layer.kind.startswith("Max") else ops.AveragePooling
    pooled = layer.add(op(size, every, padding_of(layer)), channels_last(layer, x))
    return as_layer(layer, pooled)


@keras(*(f"Adaptive{kind}Pooling{n}D" for kind in ("Max", "Average") for n in (1, 2, 3)))
def adaptive_pooling(layer: Layer, x: Value) -> Value:
    most = layer.kind.startswith("AdaptiveMax")
    op = ops.AdaptiveMaxPooling if most else ops.AdaptiveAveragePooling
    pooled = layer.add(op(per_axis(layer, "output_size")), channels_last(layer, x))
    return as_layer(layer, pooled)


@keras(*(f"GlobalMaxPooling{n}D" for n in (1, 2, 3)))
def global_max_pooling(layer: Layer, x: Value) -> Value:
    op = ops.GlobalMaxPooling(bool(layer.get("keepdims", False)))
    y = layer.add(op, channels_last(layer, x))
    return as_layer(layer, y) if op.keepdims else y


@keras(*(f"GlobalAveragePooling{n}D" for n in (1, 2, 3)))
def global_average_pooling(layer: Layer, x: Value) -> Value:
    op = ops.GlobalAveragePooling(bool(layer.get("keepdims", False)))
    if x.mask and layer.kind == "GlobalAveragePooling1D":
        return _masked_mean(layer, x, x.mask, op.keepdims)
    y = layer.add(op, channels_last(layer, x))
    return as_layer(layer, y) if op.keepdims else y


def _masked_mean(layer: Layer, x: Value, mask: Value, keepdims: bool) -> Value:
    """The mean of the steps that are there."""
    axis = 2 if has_channels_first(layer) else 1
    there = layer.add(ops.Cast("float"), mask)
    there = layer.add(ops.ExpandDims((3 - axis,)), there)
    total = layer.add(ops.ReduceSum((axis,), keepdims), layer.add(ops.Multiply(), x, there))
    count = layer.add(ops.ReduceSum((axis,), keepdims), there)
    return layer.add(ops.Divide(), total, count)


@keras(*(f"ZeroPadding{n}D" for n in (1, 2, 3)))
def zero_padding(layer: Layer, x: Value) -> Value:
    padded = layer.add(ops.ZeroPadding(pairs(layer, "padding")), channels_last(layer, x))
    return as_layer(layer, padded)


@keras(*(f"Cropping{n}D" for n in (1, 2, 3)))
def cropping(layer: Layer, x: Value) -> Value:
    cropped = layer.add(ops.Cropping(pairs(layer, "cropping")), channels_last(layer, x))
    return as_layer(layer, cropped)
