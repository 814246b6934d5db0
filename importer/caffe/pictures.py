"""What pictures go through before a network of Caffe, as its data layer says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...runtime.ir import Graph
from ...runtime.preprocessing import Preprocessing
from .net import LayerFacts, NetFacts

OF_PICTURES = ("Data", "ImageData")
"""Types that bring pictures: of three colours blue comes first, as OpenCV has them."""


def preprocessing(net: NetFacts, graph: Graph) -> tuple[Preprocessing | None, tuple[str, ...]]:
    """(what pictures go through, notes); None where the file does not say it."""
    for layer in net.layers:
        if layer.kind in OF_PICTURES and layer.tops and layer.tops[0] in graph.inputs:
            shape = graph.inputs[layer.tops[0]].shape[1:]
            if len(shape) == 3 and shape[0] in (1, 3):
                return _of(layer, int(shape[0]))
    return None, ()


def _of(layer: LayerFacts, channels: int) -> tuple[Preprocessing | None, tuple[str, ...]]:
    """Caffe's are (x - mean) * scale, ours x * scale - mean."""
    param = _transformation(layer)
    if mean_file := param.get("mean_file"):
        return None, (
            f"{layer.title}: it takes the picture in {mean_file!r} from each, which is not read; "
            "say what pictures go through in the model's config.json",
        )
    scale = float(param.get("scale", 1.0))
    mean = [scale * one for one in param.get("mean_value", [])] or [0.0]
    if len(mean) not in (1, channels):
        return None, (f"{layer.title}: {len(mean)} means for {channels} channels are left out",)
    return Preprocessing(
        channels="bgr" if channels == 3 else "gray",
        scale=scale,
        mean=tuple(mean) if len(mean) > 1 else mean[0],
    ), ()


def _transformation(layer: LayerFacts) -> Mapping[str, Any]:
    """The options of the transformation, which stood among those of the data until 2014."""
    found: dict[str, Any] = {}
    for name in ("data_param", "image_data_param", "transform_param"):
        found |= layer.options.get(name, {})
    return found
