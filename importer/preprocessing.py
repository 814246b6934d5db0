"""What pictures go through before the networks of ``keras.applications``.

A file says nothing of it: its author knows, and everybody who uses these architectures does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

from ..runtime.errors import UsageError
from ..runtime.ir import Graph
from ..runtime.preprocessing import Preprocessing
from .architectures import recognise

Mode: TypeAlias = Literal["caffe", "tf", "torch", "none"]

MODES: Mapping[Mode, Preprocessing] = {
    "caffe": Preprocessing(channels="bgr", mean=(103.939, 116.779, 123.68)),
    "tf": Preprocessing(scale=1 / 127.5, mean=1.0),
    "torch": Preprocessing(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "none": Preprocessing(),
}
"""As ``keras.applications.imagenet_utils.preprocess_input`` has them; "none": values 0 to 255."""

FAMILIES: tuple[tuple[str, Mode], ...] = (
    (r"mobilenet_v3|efficientnet|convnext|regnet|resnet-rs", "none"),
    (r"resnet\d+v2|mobilenet|inception|xception|nasnet", "tf"),
    (r"vgg|resnet\d", "caffe"),
    (r"densenet", "torch"),
)
SIZES: tuple[tuple[str, int], ...] = (
    (r"inception|xception", 299),
    (r"nasnet_large", 331),
    (r"efficientnetb1|efficientnetv2-b1", 240),
    (r"efficientnetb2|efficientnetv2-b2", 260),
    (r"efficientnetb3|efficientnetv2-b3", 300),
    (r"efficientnetb4", 380),
    (r"efficientnetb5", 456),
    (r"efficientnetb6", 528),
    (r"efficientnetb7", 600),
    (r"efficientnetv2-s", 384),
    (r"efficientnetv2-[ml]", 480),
)
USUAL = 224
"""The height and width of an architecture that is not among ``SIZES``."""

SCALING = ("Rescaling", "Normalization")
"""The layers by which a network does its own preprocessing."""


def preprocessing_of(architecture: str) -> tuple[Mode, int]:
    """The mode of an architecture by its name, and the usual height and width."""
    side = next((n for family, n in SIZES if re.match(family, architecture)), USUAL)
    return next(mode for family, mode in FAMILIES if re.match(family, architecture)), side


def by_mode(graph: Graph, mode: Mode) -> Preprocessing:
    """A preprocessing for a network, as its author knows it.

    Raises:
        UsageError: no input takes pictures of the channels it has.
    """
    how = MODES[mode]
    if not _picture_shapes(graph, (3,) if mode != "none" else (1, 3, 4)):
        needed = "" if mode == "none" else " of three channels"
        raise UsageError(f"--preprocessing {mode}: no input of the model is a picture{needed}")
    return how


def recognised(graph: Graph) -> tuple[str, Mode, Preprocessing] | None:
    """The architecture of a network, and what goes with it; None where that is not certain.

    It is not if a network of a family that leaves preprocessing to its user does some of it itself,
    nor the other way round: then somebody has built it anew.
    """
    shapes = _picture_shapes(graph, (3,))
    name = _architecture(graph) if shapes else None
    if name is None:
        return None
    mode, side = preprocessing_of(name)
    if (mode == "none") != any(layer.kind in SCALING for layer in graph.layers.values()):
        return None
    is_open = any(isinstance(size, str) for size in shapes[0])
    size = (side, side) if is_open else (None, None)
    return name, mode, MODES[mode].model_copy(update={"size": size})


def _picture_shapes(graph: Graph, channels: tuple[int, ...]) -> list[tuple[int | str, ...]]:
    """The shapes of the inputs that are pictures, without the batch."""
    return [
        tensor.shape[1:]
        for tensor in graph.inputs.values()
        if tensor.rank == 4 and (tensor.shape[3] in channels or tensor.shape[1] in channels)
    ]


def _architecture(graph: Graph) -> str | None:
    arrays, own = _arrays(graph), _normalizations(graph)
    # Where its numbers are part of the architecture, a Normalization stores none.
    others = {name: shapes for name, shapes in arrays.items() if name not in own}
    return recognise(arrays) or recognise(others)


def _arrays(graph: Graph) -> dict[str, list[tuple[int, ...]]]:
    """The shapes of each layer's arrays, in the order of execution."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    normalizations = _normalizations(graph)
    for node in graph.nodes:
        layer = node.layer.partition("/")[0]  # a model inside the model has one place in a file
        for name in node.params.values():
            shape = tuple(int(n) for n in graph.parameters[name].shape)
            if layer in normalizations:  # stored without the axes that it adds
                shape = tuple(n for n in shape if n != 1)
            found.setdefault(layer, {})[name] = shape
    return {layer: list(shapes.values()) for layer, shapes in found.items()}


def _normalizations(graph: Graph) -> set[str]:
    return {name for name, layer in graph.layers.items() if layer.kind == "Normalization"}
