"""Arrays as pictures: examples, and the weights of convolutions."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Dataset
from ..data.dataset import tasks_of
from ..ir import Graph

Array = NDArray[Any]
FILTERS, CHANNELS = 64, 16
"""Of a layer that are shown."""


def png(image: Array, low: float, high: float) -> bytes:
    """A picture [height, width, channels] whose values from ``low`` to ``high`` are all it shows.

    Three channels are colours; of other numbers the first is shown as grey.
    """
    from PIL import Image  # slow to import

    span = high - low if high > low else 1.0
    with np.errstate(invalid="ignore"):
        levels = (np.clip((image.astype(np.float32) - low) / span, 0, 1) * 255).round()
    pixels = np.nan_to_num(levels).astype(np.uint8)
    colours = pixels.shape[-1] in (3, 4)
    into = io.BytesIO()
    Image.fromarray(pixels[..., :3] if colours else pixels[..., 0]).save(into, "PNG")
    return into.getvalue()


def pictured(graph: Graph) -> str | None:
    """The first input that holds pictures, channels last."""
    for name, tensor in graph.inputs.items():
        if name not in graph.states and tensor.rank == 4 and tensor.shape[3] in (1, 2, 3, 4):
            return name
    return None


@dataclass(frozen=True)
class Examples:
    """The pictures of a dataset by their place in it, made when they are asked for.

    Attributes:
        data: the dataset, in its own order.
        name: of the array that holds them.
        low, high: what is black, and what is white.
    """

    data: Dataset
    name: str
    low: float
    high: float

    @classmethod
    def of(cls, data: Dataset, name: str) -> Examples:
        """Those of a dataset; black and white are the extremes of the first few."""
        return cls(data, name, *bounds(next(iter(data.batches(32)))[name]))

    def png(self, index: int) -> bytes | None:
        """One picture; None: there are not as many."""
        task = next(islice(tasks_of(self.data, 1, None), index, index + 1), None)
        return task and png(np.asarray(task()[self.name])[0], self.low, self.high)


def bounds(array: Array) -> tuple[float, float]:
    """The extremes."""
    return float(np.min(array)), float(np.max(array))


def kernels(graph: Graph, parameters: Mapping[str, Array]) -> Mapping[str, Array]:
    """The weights of convolutions that are more than points, by name."""
    found: dict[str, Array] = {}
    for node in graph.nodes:
        name = node.params.get("kernel")
        if not name or node.op.kind != "convolution":
            continue
        array = parameters[name]
        if array.ndim == 4 and array[..., 0, 0].size > 1:
            found[name] = array
    return found


def kernel_png(kernel: Array) -> bytes:
    """Weights [height, width, in, out] side by side, zero in the middle between black and white.

    Those of one or three input channels are a picture a filter; else a row a filter has a grey one
    for each of the first channels.
    """
    most = float(np.abs(kernel).max())
    filters = np.moveaxis(kernel, -1, 0)[:FILTERS]
    if kernel.shape[2] in (1, 3):
        columns = int(np.ceil(np.sqrt(len(filters))))
        return png(_tiled(filters, columns, -most), -most, most)
    filters = filters[:CHANNELS, ..., :CHANNELS]
    tiles = np.moveaxis(filters, -1, 1).reshape(-1, *filters.shape[1:3], 1)
    return png(_tiled(tiles, filters.shape[-1], -most), -most, most)


def _tiled(tiles: Array, columns: int, gap: float) -> Array:
    """Pictures [n, height, width, channels] as one, with lines between them."""
    count, height, width, channels = tiles.shape
    rows = -(-count // columns)
    whole = np.full((rows, height + 1, columns, width + 1, channels), gap, tiles.dtype)
    for i, tile in enumerate(tiles):
        whole[i // columns, :height, i % columns, :width] = tile
    whole = whole.reshape(rows * (height + 1), columns * (width + 1), channels)
    return whole[:-1, :-1]
