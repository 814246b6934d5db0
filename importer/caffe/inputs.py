"""What a network is given: Caffe's data layers, of which only the shape matters here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...runtime.errors import UnreadableFile, Unsupported
from .net import LayerFacts, NetFacts

DATA = (
    "Input", "Data", "MemoryData", "ImageData", "HDF5Data", "WindowData", "DummyData",
)  # fmt: skip
"""Types of layers that bring data."""
SAME_CHANNELS = ("Split", "Power", "BatchNorm", "Scale", "Bias", "MVN", "Dropout", "ReLU")
"""Types whose output has the channels of their input."""
LARGEST_ROW = 1 << 28  # elements of an example

Shape = tuple[int, ...]


def is_data(layer: LayerFacts, given: Mapping[str, Shape]) -> bool:
    """Whether a layer only brings data; one of another program's if the user says its shape."""
    return layer.kind in DATA or (not layer.bottoms and any(top in given for top in layer.tops))


def input_shapes(net: NetFacts, given: Mapping[str, Shape]) -> dict[str, Shape | None]:
    """The shape of an example of each input; None where the file does not say it.

    ``given`` are those the user says, by name; the name "" stands for the only one that is needed.

    Raises:
        UnreadableFile: a shape that makes no sense.
    """
    found: dict[str, Shape | None] = {}
    for name, shape in net.inputs.items():
        found[name] = tuple(shape[1:]) if shape else None
    for layer in net.layers:
        if is_data(layer, given):
            for number, top in enumerate(layer.tops):
                found.setdefault(top, _shape(layer, number, net.layers))
    found |= {name: shape for name, shape in given.items() if name in found}
    for name, shape in found.items():
        if shape and (min(shape) < 1 or math.prod(shape) > LARGEST_ROW):
            raise UnreadableFile(f"the input {name!r} has the shape {shape}")
    return found


def batch(net: NetFacts) -> int | None:
    """The size of the batch that a file was written for, if it says one."""
    shapes = [shape for shape in net.inputs.values() if shape]
    for layer in net.layers:
        if layer.kind == "Input":
            shapes += _dims(layer.options.get("input_param", {}).get("shape", []))
    return next((shape[0] for shape in shapes if shape), None)


def missing(name: str, layer: str) -> Unsupported:
    """The error for an input that is needed, and of unknown shape."""
    return Unsupported(
        f"the file does not say the shape of the input {name!r}, which the layer {layer!r} needs; "
        f"give it without the batch, such as --input-shape {name}=3,224,224"
    )


def _shape(layer: LayerFacts, number: int, layers: Sequence[LayerFacts]) -> Shape | None:
    """The shape of what a data layer brings as one of its tops, as far as it can be told."""
    options = layer.options
    match layer.kind:
        case "Input":
            shapes = _dims(options.get("input_param", {}).get("shape", []))
            return _of(shapes, number)
        case "DummyData":
            param = options.get("dummy_data_param", {})
            shapes = _dims(param.get("shape", []))
            sides = [param.get(side, []) for side in ("num", "channels", "height", "width")]
            return _of(shapes or [tuple(one) for one in zip(*sides, strict=False)], number)
        case "MemoryData" if number == 0:
            param = options.get("memory_data_param", {})
            sizes = tuple(param.get(side, 0) for side in ("channels", "height", "width"))
            return sizes if all(sizes) else None
        case _ if number == 0:
            return _picture(layer, layers) or _vector(layer.tops[0], layers)
        case _:
            return None


def _dims(shapes: Iterable[Mapping[str, Any]]) -> list[Shape]:
    return [tuple(shape.get("dim", [])) for shape in shapes]


def _of(shapes: Sequence[Shape], number: int) -> Shape | None:
    """The shape of a top: each has its own, or all have one."""
    if not shapes:
        return None
    shape = shapes[number] if number < len(shapes) else shapes[0]
    return shape[1:] if shape else None


def _picture(layer: LayerFacts, layers: Sequence[LayerFacts]) -> Shape | None:
    """The shape of a picture as its layer cuts it, of the channels that a convolution looks at."""
    options = layer.options
    crops = [options.get(name, {}).get("crop_size", 0) for name in options if _is_of_data(name)]
    image = options.get("image_data_param", {})
    sides = (image.get("new_height", 0), image.get("new_width", 0))
    if any(crops):
        sides = (max(crops),) * 2
    channels = _channels(layer.tops[0], layers)
    if channels is None and layer.kind == "ImageData":
        channels = 3 if image.get("is_color", True) else 1
    return (channels, *sides) if channels and all(sides) else None


def _is_of_data(name: str) -> bool:
    return name == "transform_param" or name.endswith("data_param")


def _readers(top: str, layers: Sequence[LayerFacts]) -> list[LayerFacts]:
    """The layers that read what has the channels of a blob."""
    names, found = {top}, list[LayerFacts]()
    for layer in layers:
        if layer.bottoms and layer.bottoms[0] in names:
            if layer.kind in SAME_CHANNELS:
                names.update(layer.tops)
            found.append(layer)
    return found


def _channels(top: str, layers: Sequence[LayerFacts]) -> int | None:
    for layer in _readers(top, layers):
        if layer.kind == "Convolution" and layer.arrays and len(layer.arrays[0].shape) > 1:
            groups = layer.options.get("convolution_param", {}).get("group", 1)
            return layer.arrays[0].shape[1] * groups
    return None


def _vector(top: str, layers: Sequence[LayerFacts]) -> Shape | None:
    """What a fully connected layer reads, whatever shape it had."""
    for layer in _readers(top, layers):
        if layer.kind == "InnerProduct" and layer.arrays and len(layer.arrays[0].shape) > 1:
            turned = layer.options.get("inner_product_param", {}).get("transpose", False)
            return (layer.arrays[0].shape[-2 if turned else -1],)
    return None
