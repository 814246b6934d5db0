"""Options with a number per spatial axis, and layers that have their channels first."""

from __future__ import annotations

from typing import Any

from ..builder import Value
from ..layer import REQUIRED, Layer


def spatial(layer: Layer) -> int:
    """How many spatial axes the class is for: its name ends in 1D, 2D or 3D."""
    return int(layer.kind.removesuffix("Transpose")[-2])


def per_axis(layer: Layer, option: str, default: Any = REQUIRED) -> tuple[int, ...]:
    """An option with a number per spatial axis; Keras takes one number for all."""
    value, count = layer.get(option, default), spatial(layer)
    sizes = (value,) * count if isinstance(value, int) else tuple(value)
    if len(sizes) != count or not all(isinstance(n, int) for n in sizes):
        raise layer.refuse(option, value)
    return sizes


def pairs(layer: Layer, option: str) -> tuple[tuple[int, int], ...]:
    """(before, after) for each spatial axis; a number stands for both sides, one for all axes."""
    value, count = layer[option], spatial(layer)
    if count == 1 and isinstance(value, list) and all(isinstance(n, int) for n in value):
        value = [value]
    entries = [value] * count if isinstance(value, int) else list(value)
    both = [(n, n) if isinstance(n, int) else tuple(n) for n in entries]
    if len(both) != count or any(len(pair) != 2 for pair in both):
        raise layer.refuse(option, value)
    return tuple((int(before), int(after)) for before, after in both)


def has_channels_first(layer: Layer) -> bool:
    """Whether the layer counts its channels as axis 1."""
    layout = layer.get("data_format", None)
    if layout not in (None, "default", "channels_last", "channels_first"):
        raise layer.refuse("data_format", layout)
    return layout == "channels_first"


def channels_last(layer: Layer, x: Value) -> Value:
    """The layer's input with its channels last, where the operations want them."""
    return layer.channels_last(x) if has_channels_first(layer) else x


def as_layer(layer: Layer, y: Value) -> Value:
    """A channels-last output as the layer has it."""
    return layer.channels_first(y) if has_channels_first(layer) else y
