"""Converters: numbers rescaled and normalized, put into bins, and encoded by category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....runtime import ops
from ....runtime.errors import UnreadableFile, Unsupported
from ...deferred import Array, Deferred
from ..builder import Value
from ..layer import Layer, keras

EPSILON = 1e-7
"""What Keras divides by at least."""
MODES = {"binary": "multi_hot", "tf-idf": "tf_idf"}
"""Older names of output modes."""


@keras("Rescaling")
def rescaling(layer: Layer, x: Value) -> Value:
    scale, offset = (numbers(value) for value in (layer["scale"], layer.get("offset", 0.0)))
    if scale.ndim == offset.ndim == 0:
        y = layer.through(ops.Scale(float(scale), float(offset)), x)
    else:
        y = layer.add(ops.Multiply(), x, layer.constant(scale))
        y = layer.add(ops.Add(), y, layer.constant(offset))
    return y.masked(_kept_mask(layer, x))


@keras("Normalization")
def normalization(layer: Layer, x: Value) -> Value:
    """Less the mean, by the deviation; both are stored, or given as options."""
    axes: Any = layer.get("axis", -1)
    axes = () if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
    kept = sorted(axis % layer.rank(x) for axis in axes)
    sizes = layer.shape(x)
    shape = tuple(size if axis in kept else 1 for axis, size in enumerate(sizes))
    mean, deviation = _moments(layer, tuple(int(sizes[axis]) for axis in kept), shape)
    if not layer.get("invert", False):
        centred = layer.add(ops.Subtract(), x, mean)
        return layer.add(ops.Divide(), centred, deviation).masked(_kept_mask(layer, x))
    if layer.origin.version.startswith("2.10."):  # the first that could; it did this
        y = layer.add(ops.Multiply(), layer.add(ops.Add(), x, mean), deviation)
    else:
        y = layer.add(ops.Add(), mean, layer.add(ops.Multiply(), x, deviation))
    return y.masked(_kept_mask(layer, x))


def _moments(layer: Layer, kept: tuple[int, ...], shape: tuple[Any, ...]) -> tuple[Value, Value]:
    """Mean and deviation, of the sizes ``kept``, in a shape that fits the input."""

    def deviation_of(variance: Array) -> Array:
        return np.maximum(np.sqrt(variance), EPSILON)

    def constant(array: Deferred) -> Value:
        return layer.add(ops.Constant(shape), value=array.map(lambda a: a.reshape(shape)))

    mean, variance = layer.get("mean", None), layer.get("variance", None)
    if mean is None or variance is None:
        stored = layer.take("mean", "variance", "count")  # how many there were does not matter
        return constant(stored["mean"]), constant(stored["variance"].map(deviation_of))
    whole = np.ones(kept)
    arrays = numbers(mean) * whole, deviation_of(numbers(variance) * whole)
    return layer.constant(arrays[0].reshape(shape)), layer.constant(arrays[1].reshape(shape))


def _kept_mask(layer: Layer, x: Value) -> Value | None:
    """Before Keras 3 these layers dropped it."""
    return x.mask if layer.generation > 2 else None


@keras("Discretization")
def discretization(layer: Layer, x: Value) -> Value:
    boundaries: Any = layer.either("bin_boundaries", "bins", default=None)
    count = layer.get("num_bins", None)
    layer.get("epsilon", None)  # how exactly it learned them
    if boundaries is None or isinstance(boundaries, int):
        boundaries = _learned(layer, layer.take("summary")["summary"].read(), boundaries or count)
    bins = layer.add(ops.Discretize(tuple(float(b) for b in boundaries)), x)
    return encoded(layer, bins, output_mode(layer, default="int"), len(boundaries) + 1)


def _learned(layer: Layer, summary: Array, count: int) -> Sequence[float]:
    """The boundaries of so many bins, from sorted values and their weights (Keras 2)."""
    values, weights = np.asarray(summary, np.float64)
    if not len(values):
        raise UnreadableFile(f"{layer.title}: it has learned no boundaries of bins")
    if len(values) < count:
        return values[:-1].tolist()
    total = weights.cumsum()
    steps = 1 / count + np.arange(0.0, 1.0, 1 / count)
    found = np.interp(steps, total / total[-1], values)
    return found.astype(np.float32)[:-1].tolist()


@keras("CategoryEncoding")
def category_encoding(layer: Layer, x: Value) -> Value:
    depth = int(layer.either("num_tokens", "max_tokens"))
    return encoded(
        layer, x, output_mode(layer, default="multi_hot"), depth, layer.given("count_weights")
    )


def encoded(layer: Layer, ids: Value, mode: str, depth: int, weights: Value | None = None) -> Value:
    """Numbers below ``depth`` as themselves, as ones among zeros, or counted row by row."""
    if mode == "int":
        return ids
    if mode == "one_hot":
        alone = layer.rank(ids) > 1 and layer.shape(ids)[-1] == 1
        return layer.add(ops.OneHot(depth), layer.add(ops.Squeeze((-1,)), ids) if alone else ids)
    if mode not in ("multi_hot", "count"):
        raise layer.refuse("output_mode", mode)
    if (rank := layer.rank(ids)) != 2:  # versions and backends of Keras disagree
        raise Unsupported(f"{layer.title}: it counts what is in {rank} axes; 2 are supported")
    return layer.add(ops.TokenCounts(depth, mode == "multi_hot"), ids, weights)


def output_mode(layer: Layer, *, default: str) -> str:
    """What becomes of the numbers of categories, by its present name."""
    mode = str(layer.get("output_mode", default))
    return MODES.get(mode, mode)


def numbers(value: Any, dtype: Any = np.float64) -> NDArray[Any]:
    """A number, nested lists of them, or an array, which every version writes in its own way."""
    while isinstance(value, dict):
        value = value["value"] if "value" in value else value["config"]
    return np.asarray(value, dtype)
