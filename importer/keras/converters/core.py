"""Converters: dense layers, shapes, embeddings and masks."""

from __future__ import annotations

import string
from typing import Any

from ....runtime import ops
from ....runtime.equation import Equation
from ..builder import Value
from ..layer import Layer, keras
from .activations import activate
from .axes import channels_last, has_channels_first
from .normalization import number
from .quantized import dense_arrays, einsum_arrays, tables


@keras("Dense", masks=True)
def dense(layer: Layer, x: Value) -> Value:
    op = ops.Dense(layer["units"], bool(layer.get("use_bias", True)))
    return activate(layer, layer.add(op, x, **dense_arrays(layer, op.use_bias)))


@keras("EinsumDense")
def einsum_dense(layer: Layer, x: Value) -> Value:
    text, output = str(layer["equation"]), layer["output_shape"]
    output = [output] if isinstance(output, int) else list(output)
    # The kernel has a letter for each of its axes.
    terms = text.replace(" ", "").partition("->")[0].split(",")
    equation = Equation.of(text, [layer.rank(x), len(terms[-1])])
    bias = layer.get("bias_axes", None) is not None
    arrays = einsum_arrays(layer, equation, layer.shape(x), output, bias)
    op = ops.EinsumDense(text, arrays["kernel"].shape, arrays["bias"].shape if bias else None)
    return activate(layer, layer.add(op, x, **arrays))


@keras("ActivityRegularization", masks=True)
def unchanged(layer: Layer, x: Value) -> Value:
    for option in ("l1", "l2"):
        layer.get(option, 0)
    return x


@keras("Identity")
def identity(layer: Layer, x: Value) -> Value:
    return x if layer.generation > 2 else x.masked(None)


@keras("Flatten")
def flatten(layer: Layer, x: Value) -> Value:
    first = has_channels_first(layer)
    if layer.rank(x) == 1:
        return layer.add(ops.ExpandDims((1,)), x)
    # Told that channels are first, Keras moves them last before it flattens.
    return layer.add(ops.Flatten(), channels_last(layer, x) if first else x)


@keras("Reshape")
def reshape(layer: Layer, x: Value) -> Value:
    sizes: Any = layer["target_shape"]
    return layer.add(ops.Reshape(tuple(-1 if n is None else int(n) for n in sizes)), x)


@keras("Permute")
def permute(layer: Layer, x: Value) -> Value:
    order = (0, *(int(axis) for axis in layer["dims"]))
    axes = x.axes or tuple(range(len(order)))
    return Value(x.name, tuple(axes[axis] for axis in order))


@keras("RepeatVector")
def repeat_vector(layer: Layer, x: Value) -> Value:
    return layer.add(ops.Tile((1, int(layer["n"]), 1)), layer.add(ops.ExpandDims((1,)), x))


@keras("Embedding")
def embedding(layer: Layer, x: Value) -> Value:
    op = ops.Embedding(layer["input_dim"], layer["output_dim"])
    return _without_zeros(layer, x, layer.add(op, x, **tables(layer)))


@keras("ReversibleEmbedding")
def reversible_embedding(layer: Layer, x: Value) -> Value:
    """An embedding and, in a call that says ``reverse``, the way back to a number for each word."""
    tied, cap = bool(layer.get("tie_weights", True)), layer.get("logit_soft_cap", None)
    if layer.get("reverse_dtype", None) not in (None, "float32", "float64"):
        raise layer.refuse("reverse_dtype", layer["reverse_dtype"])
    words, units = int(layer["input_dim"]), int(layer["output_dim"])
    arrays = tables(layer, reverse=not tied)
    if not layer.given("reverse", False):
        y = layer.add(ops.Embedding(words, units), x, table=arrays["table"])
        return _without_zeros(layer, x, y)
    layer.get("mask_zero", False)
    letters = string.ascii_lowercase[: layer.rank(x)]
    kernel, shape = ("zu", (words, units)) if tied else ("uz", (units, words))
    terms = f"{letters[:-1]}u,{kernel}->{letters[:-1]}z"
    array = arrays["table" if tied else "reverse"]
    y = layer.add(ops.EinsumDense(terms, shape), x, kernel=array)
    if cap is None:
        return y
    y = layer.add(ops.Tanh(), layer.add(ops.Scale(1 / number(cap)), y))
    return layer.add(ops.Scale(number(cap)), y)


def _without_zeros(layer: Layer, x: Value, y: Value) -> Value:
    """The vectors of words; the word 0 may stand for none."""
    if not layer.get("mask_zero", False):
        return y
    return y.masked(layer.add(ops.NotEqual(0), x))


@keras("Masking")
def masking(layer: Layer, x: Value) -> Value:
    different = layer.add(ops.NotEqual(number(layer.get("mask_value", 0.0))), x)
    there = layer.add(ops.ReduceAny((-1,), keepdims=True), different)
    y = layer.add(ops.Multiply(), x, layer.add(ops.Cast("float"), there))
    return y.masked(layer.add(ops.Squeeze((-1,)), there))
