"""Converters: numbers rescaled and normalized, and numbers that stand for categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
UNCOUNTED = 2**63 - 1
"""The number of a token that no count has room for."""


@keras("Rescaling")
def rescaling(layer: Layer, x: Value) -> Value:
    scale, offset = (_numbers(value) for value in (layer["scale"], layer.get("offset", 0.0)))
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
    arrays = _numbers(mean) * whole, deviation_of(_numbers(variance) * whole)
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
    return encoded(layer, bins, _mode(layer, default="int"), len(boundaries) + 1)


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
    return encoded(layer, x, _mode(layer, default="multi_hot"), depth, layer.given("count_weights"))


@keras("IntegerLookup")
def integer_lookup(layer: Layer, x: Value) -> Value:
    mode, weights = _mode(layer, default="int"), layer.get("idf_weights", None)
    most = layer.either("max_tokens", "max_values", default=None)
    padded = layer.get("pad_to_max_tokens", False) and mode != "int"
    table = _vocabulary(layer, mode == "int")
    if layer.get("invert", False):
        return layer.add(table.inverse(), x)
    found = layer.add(table.lookup(), x)
    if table.buckets > 1:  # those that are not found share some numbers by their remainders
        number = [layer.add(ops.Literal((n,), ())) for n in (table.buckets, table.first_bucket)]
        bucket = layer.add(ops.Mod(), layer.add(ops.Cast("int64"), x), number[0])
        bucket = layer.add(ops.Add(), bucket, number[1])
        found = layer.add(ops.Where(), layer.add(ops.Equal(-1), found), bucket, found)
    size = int(most) if padded else table.size
    if mode != "tf_idf":
        return encoded(layer, found, mode, size)
    counts = encoded(layer, found, "count", size)
    return layer.add(ops.Multiply(), counts, _of_documents(layer, table, weights, size))


def _of_documents(layer: Layer, table: Vocabulary, given: Any, size: int) -> Value:
    """The weight of each count: stored, or given for the tokens."""
    if layer.arrays:
        stored = layer.take(value="idf_weights|Variable")  # tf.keras gives it no name
        return layer.add(ops.Constant((size,)), **stored)
    weights = _numbers(given)
    front = 0 if table.has_special else table.first_token
    weights = np.concatenate([np.full(front, weights.mean()), weights])
    return layer.constant(np.pad(weights, (0, size - len(weights))))


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


def _mode(layer: Layer, *, default: str) -> str:
    mode = str(layer.get("output_mode", default))
    return MODES.get(mode, mode)


def _numbers(value: Any, dtype: Any = np.float64) -> NDArray[Any]:
    """A number, nested lists of them, or an array, which every version writes in its own way."""
    while isinstance(value, dict):
        value = value["value"] if "value" in value else value["config"]
    return np.asarray(value, dtype)


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a lookup and the numbers they have: a mask, buckets, then the tokens.

    ``first_bucket`` is 1 if the mask has a number, too. ``has_special``: it was written with mask
    and buckets.
    """

    tokens: list[int]
    mask: int | None
    unknown: int
    buckets: int
    first_bucket: int
    has_special: bool

    @property
    def first_token(self) -> int:
        """The number of the first token."""
        return self.first_bucket + self.buckets

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.first_token + len(self.tokens)

    def lookup(self) -> ops.Lookup:
        """The number of a token: -1 if it has none and there are several buckets, or no bucket."""
        numbers = dict(zip(self.tokens, range(self.first_token, self.size), strict=True))
        if self.mask is not None:
            numbers[self.mask] = 0 if self.first_bucket else UNCOUNTED
        default = self.first_bucket if self.buckets == 1 else -1
        return ops.Lookup(tuple(numbers), tuple(numbers.values()), default)

    def inverse(self) -> ops.Lookup:
        """The token of a number."""
        tokens = dict(zip(range(self.first_token, self.size), self.tokens, strict=True))
        if self.mask is not None:
            tokens[0] = self.mask
        return ops.Lookup(tuple(tokens), tuple(tokens.values()), self.unknown)


def _vocabulary(layer: Layer, masks: bool) -> Vocabulary:
    """``masks``: the mask has a number, too."""
    given: Any = layer.get("vocabulary", None)
    if not isinstance(given, list | dict):
        raise Unsupported(
            f"{layer.title}: its vocabulary is not among its options; have Keras make the layer "
            "with vocabulary=layer.get_vocabulary()"
        )
    if (how := layer.get("oov_method", "floormod")) != "floormod":
        raise layer.refuse("oov_method", how)
    for option in ("salt", "vocabulary_size", "vocabulary_dtype", "has_input_vocabulary"):
        layer.get(option, None)  # the first is for hashing, the others follow from the rest
    tokens: list[int] = _numbers(given, np.int64).tolist()
    mask = layer.either("mask_token", "mask_value", default=None)
    unknown = layer.either("oov_token", "oov_value", default=-1)
    unknown = -1 if unknown is None else int(unknown)
    buckets, first = int(layer.get("num_oov_indices", 1)), int(mask is not None and masks)
    special = [mask] * first + [unknown] * buckets
    has_special = tokens[: len(special)] == special
    tokens = tokens[len(special) :] if has_special else tokens
    mask = None if mask is None else int(mask)
    return Vocabulary(tokens, mask, unknown, buckets, first, has_special)
