"""Converters: layers that change images at random, which they do in training only."""

from __future__ import annotations

from ....runtime import ops
from ....runtime.errors import Unsupported
from ..arrays import in_tree, listed
from ..builder import Value
from ..layer import Layer, keras
from ..wiring import inner_facts
from .axes import as_layer, channels_last
from .resizing import filled, floats, ignore_training, target

NAMES = (
    "AugMix",
    "CutMix",
    "Equalization",
    "MaxNumBoundingBoxes",
    "MixUp",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHeight",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomWidth",
    "RandomZoom",
    "Solarization",
)


@keras(*NAMES)
def unchanged(layer: Layer, x: Value) -> Value:
    ignore_training(layer)
    layer.read_all()  # how it changes images does not matter where it does not
    return floats(layer, x)


@keras("RandomCrop")
def random_crop(layer: Layer, x: Value) -> Value:
    size = target(layer)
    ignore_training(layer)
    layer.get("rng_type", None)  # whence its random numbers come
    if not layer.origin.is_before(3, 6):  # since then it leaves even the size as it is
        layer.get("data_format", None)
        return floats(layer, x)
    if layer.origin.is_before(2, 7):
        raise Unsupported(f"{layer.title}: what it does at inference changed with Keras 2.7")
    return as_layer(layer, filled(layer, floats(layer, channels_last(layer, x)), size))


@keras("AutoContrast")
def auto_contrast(layer: Layer, x: Value) -> Value:
    """Each channel of an image over the whole range of values, at inference, too.

    A channel that has one value only stays as it is.
    """
    ignore_training(layer)
    lowest, highest = sorted(map(float, layer.get("value_range", (0, 255))))
    layer.get("data_format", None)  # Keras takes axes 1 and 2 for height and width in any case
    x = floats(layer, x)
    low, high = (layer.add(op((1, 2), keepdims=True), x) for op in (ops.ReduceMin, ops.ReduceMax))
    flat = layer.add(ops.Equal(), low, high)
    span = layer.add(
        ops.Add(), layer.add(ops.Subtract(), high, low), layer.add(ops.Cast("float"), flat)
    )
    part = layer.add(ops.Divide(), layer.add(ops.Subtract(), x, low), span)
    return layer.add(ops.Where(), flat, x, layer.add(ops.Scale(highest - lowest, lowest), part))


@keras("Pipeline")
def pipeline(layer: Layer, x: Value) -> Value:
    """Layers one after the other."""
    ignore_training(layer)
    entries = layer["layers"]
    facts = [inner_facts(entry) for entry in entries]
    arrays = layer.hand_over()
    if arrays.part("layers"):
        shelf = in_tree(arrays, ((one.name, one.kind) for one in facts))
    else:
        shelf = listed(arrays, {one.name: one.name for one in facts})
    for entry, one in zip(entries, facts, strict=True):
        x = layer.inner(entry, shelf.arrays(one.name)).convert(x)
    return x
