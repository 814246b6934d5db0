"""Converters: attention.

Sources: ``layers/attention`` of Keras 3.15 and of tf_keras 2.21.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from ....runtime import ops
from ..builder import Value
from ..layer import Layer, Result, keras

MASKED = -1e9
"""The score of what is not attended to; so low that the row's others are all that counts."""


@keras("Attention", "AdditiveAttention")
def attention(layer: Layer, query: Value, value: Value, *keys: Value) -> Result:
    """Of [query, value] or [query, value, key], with scores of products or of sums."""
    key = keys[0] if keys else value
    if any(layer.rank(x) != 3 for x in (query, value, key)):
        raise layer.refuse("an input", f"of {layer.rank(query)} axes")
    for option in ("dropout", "seed"):
        layer.get(option, None)
    given: Any = layer.given("mask")
    query_mask, value_mask, *_ = given or (query.mask, value.mask)
    causal = layer.get("causal", False) or layer.given("use_causal_mask", False)
    mask = all_of(
        layer,
        layer.add(ops.ExpandDims((1,)), value_mask) if value_mask else None,
        not_later(layer, query, value) if causal else None,
    )
    score = _sums if layer.kind == "AdditiveAttention" or _is_concat(layer) else _products
    scores = score(layer, query, key)
    if mask:
        scores = layer.add(ops.Fill(MASKED, where=False), scores, mask)
    weights = layer.add(ops.Softmax(), scores)
    y = layer.add(ops.Einsum("abc,acd->abd"), weights, value)
    if query_mask:
        y = layer.add(ops.Fill(0.0, where=False), y, layer.add(ops.ExpandDims((2,)), query_mask))
    y = y.masked(query_mask)
    return (y, weights) if layer.given("return_attention_scores", False) else y


def _is_concat(layer: Layer) -> bool:
    mode = layer.get("score_mode", "dot")
    if mode not in ("dot", "concat"):
        raise layer.refuse("score_mode", mode)
    return mode == "concat"


def _products(layer: Layer, query: Value, key: Value) -> Value:
    scores = layer.add(ops.Einsum("abc,adc->abd"), query, key)
    if not layer.get("use_scale", False):
        return scores
    return layer.add(ops.EinsumDense("abc,->abc", ()), scores, **layer.take(kernel="scale"))


def _sums(layer: Layer, query: Value, key: Value) -> Value:
    """The hyperbolic tangents of query + key, added up with weights."""
    both = [layer.add(ops.ExpandDims((axis,)), value) for axis, value in ((2, query), (1, key))]
    z = layer.add(ops.Add(), *both)
    if layer.kind == "AdditiveAttention":
        arrays = layer.take(kernel="scale") if layer.get("use_scale", True) else {}
        z = layer.add(ops.Tanh(), z)
        if not arrays:
            return layer.add(ops.ReduceSum((-1,)), z)
        return layer.add(ops.EinsumDense("abcd,d->abc", arrays["kernel"].shape), z, **arrays)
    if layer.get("use_scale", False):
        z = layer.add(ops.EinsumDense("abcd,->abcd", ()), z, **layer.take(kernel="scale"))
    z = layer.add(ops.Tanh(), z)
    return layer.add(
        ops.EinsumDense("abcd,->abc", ()), z, **layer.take(kernel="concat_score_weight")
    )


def all_of(layer: Layer, *masks: Value | None) -> Value | None:
    """What all of the masks keep that there are."""
    there = [mask for mask in masks if mask]
    return reduce(lambda a, b: layer.add(ops.LogicalAnd(), a, b), there) if there else None


def not_later(layer: Layer, query: Value, value: Value) -> Value:
    """For each step of the query, the steps of the value up to it: (batch, T, S)."""
    return layer.add(ops.GreaterEqual(), *_steps(layer, query, value))


def not_far(layer: Layer, query: Value, value: Value, window: int) -> Value:
    """For each step of the query, the steps of the value less than ``window`` away from it."""
    distance = layer.add(ops.Abs(), layer.add(ops.Subtract(), *_steps(layer, query, value)))
    return layer.add(ops.Less(window), distance)


def _steps(layer: Layer, query: Value, value: Value) -> Sequence[Value]:
    """The numbers of the steps: (batch, T, 1) of the query, (batch, 1, S) of the value."""
    down, across = (_counted(layer, x) for x in (query, value))
    return down, layer.add(ops.Transpose((0, 2, 1)), across)


def _counted(layer: Layer, x: Value) -> Value:
    """1, 2, 3, … along the steps of a series, whose length may be open: (batch, steps, 1)."""
    whole = (None, None, None)
    first = layer.add(ops.StridedSlice(whole, (None, None, 1), whole), x)
    return layer.add(ops.CumSum(1), layer.add(ops.Scale(0.0, 1.0), first))
