"""Converters: layers that are connected fully, normalise, or only move elements."""

from __future__ import annotations

import math
from typing import Any

from ...runtime import ops
from ..builder import Value
from ..deferred import Deferred
from .layer import Layer, column, neon, rearranged


def with_bias(layer: Layer, kernel: Deferred, units: int) -> dict[str, Deferred]:
    """The arrays of a product, with the bias that follows it if there is one."""
    if layer.bias is None:
        return {"kernel": kernel}
    bias = layer.checked(layer.bias, "bias", (units, 1))
    return {"kernel": kernel, "bias": column(bias)}


@neon("Linear")
def linear(layer: Layer, x: Value) -> Value:
    """W x: of every step of a series, or of all of an image, channels first."""
    settings = layer.options
    units, shape = settings.whole("nout", least=1), layer.shape(x)
    if len(shape) in (1, 2):
        inputs: Any = shape[0]
        stored = layer.array("W", units, inputs)
        kernel = rearranged(stored, (inputs, units), lambda w: w.T)
        value = layer.features_last(x)
    else:
        sizes = layer.sizes(x)
        inputs = math.prod(sizes)
        stored = layer.array("W", units, inputs)
        order = (*range(2, len(sizes) + 1), 1, 0)  # the image has its channels last here
        kernel = rearranged(
            stored, (inputs, units), lambda w: w.reshape(units, *sizes).transpose(order)
        )
        value = layer.add(ops.Flatten(), layer.features_last(x))
    op = ops.Dense(units, layer.bias is not None)
    return layer.tensor(layer.add(op, value, **with_bias(layer, kernel, units)))


@neon("LookupTable")
def lookup_table(layer: Layer, x: Value) -> Value:
    """A row of the table for each id; ``pad_idx`` keeps one of them from learning."""
    settings = layer.options
    words = settings.whole("vocab_size", least=1)
    units = settings.whole("embedding_dim", least=1)
    settings.ignore("pad_idx")
    table = layer.array("W", words, units)
    op = ops.Embedding(words, units)
    return layer.tensor(
        layer.add(op, layer.plain(x), table=rearranged(table, table.shape, lambda w: w))
    )


@neon("BatchNorm")
def batch_norm(layer: Layer, x: Value) -> Value:
    """(x - gmean) / sqrt(gvar + eps) * gamma + beta, of each feature or channel."""
    settings = layer.options
    op = ops.BatchNormalization((-1,), settings.number("eps", 1e-3), settings.number("rho", 0.9))
    if settings.get("binary", False):
        raise settings.refuse("binary")
    settings.ignore("relu")
    size: Any = layer.shape(x)[0]
    names = {"gamma": "gamma", "beta": "beta", "gmean": "moving_mean", "gvar": "moving_variance"}
    arrays = {ours: column(layer.array(theirs, size, 1)) for theirs, ours in names.items()}
    if "of_samples" in settings:  # neon 0.9 corrects the variance by the size of its batches
        count = settings.whole("of_samples", least=2) * math.prod(layer.sizes(x)[1:])
        variance = arrays["moving_variance"]
        arrays["moving_variance"] = rearranged(
            variance, variance.shape, lambda v: v * (count / (count - 1))
        )
    return layer.tensor(layer.add(op, layer.features_last(x), **arrays))


@neon("Dropout")
def dropout(layer: Layer, x: Value) -> Value:
    """Keeps a part while training; neon, unlike Caffe, scales by that part afterwards."""
    settings = layer.options
    keep, name = settings.number("keep", 0.5), x.name
    if not 0 < keep <= 1:
        raise settings.refuse("keep")
    if keep == 1:
        return x
    if not layer.caffe:
        name = layer.add(ops.Scale(keep), name)
    return Value(layer.add(ops.Dropout(1 - keep), name), x.axes)


@neon("Reshape")
def reshape(layer: Layer, x: Value) -> Value:
    """The elements in another shape; 0 is a size of the input's, -1 what is left."""
    settings = layer.options
    wanted: Any = settings["reshape"]
    sizes = layer.sizes(x)
    shape = [wanted] if isinstance(wanted, int) else list(wanted)
    if not all(isinstance(n, int) for n in shape):
        raise settings.refuse("reshape")
    shape = [sizes[i] if n == 0 and i < len(sizes) else n for i, n in enumerate(shape)]
    if len(shape) == 2 and shape[1] == 1:
        shape = shape[:1]
    return Value(layer.add(ops.Reshape(tuple(shape)), layer.plain(x)))


@neon("SkipNode", "BranchNode")
def same(layer: Layer, x: Value) -> Value:
    """Hands on what it is given."""
    return x
