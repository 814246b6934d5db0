"""Converters: attention of several heads.

Sources: ``multi_head_attention.py`` and ``grouped_query_attention.py`` of Keras 3.15, and the first
of tf_keras 2.21.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ....runtime import ops
from ...deferred import Array, Deferred
from ..builder import Value
from ..layer import Layer, Result, keras
from .activation_layers import softmax_over
from .attention import MASKED, all_of, not_far, not_later
from .normalization import number

SHAPES = ("query_shape", "key_shape", "value_shape")
"""Options that repeat what the tensors say."""

INSIDE = {"attention_output": "output_dense"}
"""The layers inside, by their names in a list of arrays; the others are called NAME_dense."""


@dataclass(frozen=True)
class Call:
    """What a call was given.

    ``is_exact``: rows that have nothing to attend to give zeros, not the mean of all values.
    """

    query: Value
    value: Value
    key: Value
    mask: Value | None
    returns_scores: bool
    is_exact: bool

    @classmethod
    def of(
        cls,
        layer: Layer,
        query: Value,
        value: Value,
        key: Value | None = None,
        query_mask: Value | None = None,
        value_mask: Value | None = None,
        key_mask: Value | None = None,
        attention_mask: Value | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Call:
        """From the arguments of ``call`` in Keras 3; Keras 2 gives some of them, by name."""
        if training:
            raise layer.refuse("training", training)
        own = [x.mask if x and _heeds_masks(layer) else None for x in (query, value, key)]
        if _takes_masks_off(layer) or query_mask is None:
            query_mask = own[0]
        window = layer.get("sliding_window", None)
        steps = (query_mask, value_mask or own[1], key_mask or own[2])
        if layer.rank(query) != 3 and (any(steps) or window or use_causal_mask):
            raise layer.refuse("a mask of steps", f"of {layer.rank(query)} axes")
        implied = all_of(
            layer,
            *(
                layer.add(ops.ExpandDims((axis,)), mask) if mask else None
                for mask, axis in zip(steps, (2, 1, 1), strict=True)
            ),
            not_later(layer, query, value) if use_causal_mask else None,
            not_far(layer, query, value, int(window)) if window else None,
        )
        mask = _with_explicit(layer, implied, attention_mask)
        scores = bool(return_attention_scores)
        slow = number(layer.get("dropout", 0.0)) > 0 or scores or layer.rank(query) != 3
        zeros = slow and not layer.origin.is_before(3, 10)
        return cls(query, value, key or value, mask, scores, zeros)

    def weights(self, layer: Layer, scores: Value, axes: int) -> Value:
        """How much of each value there is in each row of the scores, whose last axes they are."""
        mask = self.mask
        if mask is None:
            return softmax_over(layer, scores, tuple(range(-axes, 0)))
        while layer.rank(mask) < layer.rank(scores):  # an axis for the heads, and more before it
            mask = layer.add(ops.ExpandDims((layer.rank(mask) - 2 * axes,)), mask)
        scores = layer.add(ops.Fill(MASKED, where=False), scores, mask)
        weights = softmax_over(layer, scores, tuple(range(-axes, 0)))
        return layer.add(ops.Fill(0.0, where=False), weights, mask) if self.is_exact else weights


def _heeds_masks(layer: Layer) -> bool:
    return layer.generation > 2 or not layer.origin.is_before(2, 10)


def _takes_masks_off(layer: Layer) -> bool:
    """Whether it takes the masks off its tensors, which are those that later layers are called on.

    So since Keras 3.8; it has then forgotten a mask of the query that it was given, too.
    """
    return layer.kind == "MultiHeadAttention" and not layer.origin.is_before(3, 8)


def _with_explicit(layer: Layer, implied: Value | None, given: Value | None) -> Value | None:
    if given is None:
        return implied
    if layer.tensor(given).dtype != "bool":
        given = layer.add(ops.NotEqual(0), given)
    if layer.rank(given) == 2:
        given = layer.add(ops.ExpandDims((0,)), given)
    if implied and layer.rank(given) != 3:
        raise layer.refuse("an attention_mask beside others", f"of {layer.rank(given)} axes")
    return all_of(layer, given, implied)


@keras("MultiHeadAttention", structured=True)
def multi_head_attention(layer: Layer, *args: Any, **kwargs: Any) -> Result:
    call = Call.of(layer, *args, **kwargs)
    for option in ("num_heads", "value_dim", "output_shape", "softmax_robust_masking", *SHAPES):
        layer.get(option, None)
    rank, letters = layer.rank(call.query), string.ascii_lowercase
    each = f"{letters[: rank - 1]}{letters[rank : rank + 2]}"
    into = f"{letters[:rank]},{letters[rank - 1 : rank + 2]}->{each}"
    q, k, v, *gate = (
        layer.add(ops.EinsumDense(into, *_shapes(arrays)), x, **arrays)
        for x, arrays in _inputs(layer, call)
    )
    q = layer.add(ops.Scale(1 / math.sqrt(int(layer["key_dim"]))), q)
    axes = _attention_axes(layer, rank)
    products, sums = attention_equations(rank + 1, axes)
    weights = call.weights(layer, layer.add(ops.Einsum(products), k, q), len(axes))
    y = _gated(layer, layer.add(ops.Einsum(sums), weights, v), gate)
    arrays = _arrays(layer, "attention_output")
    more = letters[rank + 1 : rank + len(arrays["kernel"].shape) - 1]
    out = f"{letters[: rank + 1]},{letters[rank - 1 : rank + 1]}{more}->{letters[: rank - 1]}{more}"
    return _result(
        layer, call, layer.add(ops.EinsumDense(out, *_shapes(arrays)), y, **arrays), weights
    )


@keras("GroupQueryAttention", "GroupedQueryAttention", structured=True)
def group_query_attention(layer: Layer, *args: Any, **kwargs: Any) -> Result:
    """Several heads of the query (r) share one of key and value (v): no head is repeated."""
    call = Call.of(layer, *args, **kwargs)
    wide, heads = int(layer["head_dim"]), int(layer["num_key_value_heads"])
    groups = (heads, int(layer["num_query_heads"]) // heads, wide)
    q, k, v, *gate = (
        _projected(layer, x, arrays if i in (1, 2) else _in_groups(arrays, groups))
        for i, (x, arrays) in enumerate(_inputs(layer, call))
    )
    q = layer.add(ops.Scale(1 / math.sqrt(wide)), q)
    scores = layer.add(ops.Einsum("bqvrh,bkvh->bvrqk"), q, k)
    weights = call.weights(layer, scores, 1)
    y = _gated(layer, layer.add(ops.Einsum("bvrqk,bkvh->bqvrh"), weights, v), gate)
    arrays = _arrays(layer, "attention_output")
    arrays["kernel"] = _reshaped(arrays["kernel"], lambda k: k.reshape(*groups, k.shape[-1]))
    y = layer.add(ops.EinsumDense("bqvrh,vrhm->bqm", *_shapes(arrays)), y, **arrays)
    if call.returns_scores:  # with one axis for all heads of the query
        weights = layer.add(ops.MergeAxes(1, 2), weights)
    return _result(layer, call, y, weights)


def _inputs(layer: Layer, call: Call) -> list[tuple[Value, dict[str, Deferred]]]:
    """What is projected, and by which arrays; in the order in which Keras stores them."""
    gated = bool(layer.get("use_gate", False))
    names = ["query", "key", *["gate"] * gated, "value"]
    arrays = {name: _arrays(layer, name) for name in names}
    given = {"query": call.query, "key": call.key, "value": call.value, "gate": call.query}
    return [(given[name], arrays[name]) for name in sorted(names, key=list(given).index)]


def _arrays(layer: Layer, name: str) -> dict[str, Deferred]:
    inside = INSIDE.get(name, f"{name}_dense")
    part = layer.within(name, inside, f"_{inside}")
    return part.take("kernel", *["bias"] * bool(layer.get("use_bias", True)))


def _shapes(arrays: dict[str, Deferred]) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    return arrays["kernel"].shape, arrays["bias"].shape if "bias" in arrays else None


def _gated(layer: Layer, y: Value, gate: list[Value]) -> Value:
    for value in gate:
        y = layer.add(ops.Multiply(), y, layer.add(ops.Sigmoid(), value))
    return y


def _result(layer: Layer, call: Call, y: Value, weights: Value) -> Result:
    y = y.masked(call.query.mask if _heeds_masks(layer) else None)
    if _takes_masks_off(layer):
        layer.builder.unmasked |= {x.name for x in (call.query, call.value, call.key)}
    return (y, weights) if call.returns_scores else y


def _projected(layer: Layer, x: Value, arrays: dict[str, Deferred]) -> Value:
    """Heads of a series; the kernel has an axis for heads, or two for groups of them."""
    heads = "vrh" if len(arrays["kernel"].shape) == 4 else "vh"
    op = ops.EinsumDense(f"bqm,m{heads}->bq{heads}", *_shapes(arrays))
    return layer.add(op, x, **arrays)


def _in_groups(arrays: dict[str, Deferred], groups: tuple[int, ...]) -> dict[str, Deferred]:
    return {
        name: _reshaped(array, lambda a: a.reshape(*a.shape[:-2], *groups))
        for name, array in arrays.items()
    }


def _reshaped(array: Deferred, change: Callable[[Array], Array]) -> Deferred:
    return array.map(change)


def _attention_axes(layer: Layer, rank: int) -> tuple[int, ...]:
    given: Any = layer.get("attention_axes", None)
    if given is None:
        return tuple(range(1, rank - 1))
    return tuple(axis % rank for axis in ([given] if isinstance(given, int) else given))


def attention_equations(rank: int, axes: tuple[int, ...]) -> tuple[str, str]:
    """Of key and query to scores, and of scores and value to the sums of values.

    ``rank`` counts the axes of a projection: all but the last two are the input's. Letters of the
    key that the query has not are those of ``axes``; ``_build_attention_equation`` of Keras.
    """
    letters = string.ascii_lowercase
    target = letters[:rank]
    others = iter(letters[rank:])
    source = "".join(next(others) if axis in axes else target[axis] for axis in range(rank))
    batch = "".join(target[axis] for axis in range(rank - 1) if axis not in axes)
    scores = batch + "".join(term[axis] for term in (target, source) for axis in axes)
    return f"{source},{target}->{scores}", f"{scores},{source}->{target}"
