"""Converters: what wraps layers to take series in both directions, or step by step."""

from __future__ import annotations

from typing import Any

from ....runtime import ops
from ..builder import Value
from ..layer import Layer, keras
from .recurrent import given_states, steps_heeded

MERGES = {"sum": ops.Add, "ave": ops.Average, "mul": ops.Multiply}


@keras("Bidirectional")
def bidirectional(layer: Layer, x: Value, *more: Value) -> Any:
    mode: Any = layer.get("merge_mode", "concat")
    if mode not in (None, "concat", *MERGES):
        raise layer.refuse("merge_mode", mode)
    entry: Any = layer["layer"]
    other: Any = layer.get("backward_layer", None) or _turned_round(entry)
    states = given_states(layer, more)
    sequences = bool(entry["config"].get("return_sequences", False))
    mask = steps_heeded(layer, x, states)
    outputs = [
        _outputs(inner.convert(x.masked(None), *own, mask=mask))
        for inner, own in zip(
            (_direction(layer, entry, 0, sequences), _direction(layer, other, 1, sequences)),
            (states[: len(states) // 2], states[len(states) // 2 :]),
            strict=True,
        )
    ]
    (y, *after), (z, *after_z) = outputs
    if sequences:
        z = layer.flipped(z, 1)
    passed = steps_heeded(layer, x, ()) if sequences else None
    if mode is None:
        return (y.masked(passed), z.masked(passed), *after, *after_z)
    op = ops.Concatenate(layer.rank(y) - 1) if mode == "concat" else MERGES[mode]()
    merged = layer.add(op, y, z).masked(passed)
    return (merged, *after, *after_z) if after else merged


def _direction(layer: Layer, entry: Any, index: int, sequences: bool) -> Layer:
    """The layer of one direction, which since tf.keras puts out zeros where the mask is false."""
    way, name = ("forward", "backward")[index], str(entry["config"].get("name", "layer"))
    name = name if name.startswith(f"{way}_") else f"{way}_{name}"
    config = dict(entry["config"])
    if layer.generation > 2 or layer.origin.is_tf_keras:
        config["zero_output_for_mask"] = sequences
    stored = layer.arrays.part(f"{way}_layer", way, name) or layer.arrays.half(index)
    return layer.inner({**entry, "config": config}, stored, name)


def _turned_round(entry: Any) -> Any:
    config = {**entry["config"], "go_backwards": not entry["config"].get("go_backwards", False)}
    return {**entry, "config": config}


def _outputs(result: Any) -> list[Value]:
    return list(result) if isinstance(result, tuple) else [result]


DIRECT = frozenset({"Activation", "Dense", "ELU", "LeakyReLU", "ReLU", "Rescaling"})
"""Layers that do to each step what they do to all of them."""


@keras("TimeDistributed")
def time_distributed(layer: Layer, x: Value) -> Any:
    entry: Any = layer["layer"]
    if isinstance(entry["config"], dict) and entry["config"].get("stateful", False):
        raise layer.refuse("a layer inside", "that is stateful")
    # Where arrays have no names, a layer inside that has none must not ask for any.
    inner = layer.inner(entry, lambda: layer.arrays.part("layer") or layer.arrays)
    if inner.kind in DIRECT:
        return inner.convert(Value(x.name, x.axes)).masked(x.mask)
    whole = Value(layer.plain(x))
    # Only a mask that goes into the steps is one of what is inside them.
    inside = x.mask if x.mask and layer.rank(x.mask) > 2 and _heeds_masks(layer) else None
    steps = layer.add(ops.MergeAxes(0, 2), whole)
    mask = layer.add(ops.MergeAxes(0, 2), inside) if inside else None
    results = _outputs(inner.convert(steps.masked(mask)))
    split = [
        layer.add(ops.SplitBatch(), part, whole).masked(_mask(layer, x, whole, part))
        for part in results
    ]
    return split[0] if len(split) == 1 else tuple(split)


def _heeds_masks(layer: Layer) -> bool:
    """Whether the layer inside is given masks, as it is since 2.2 of the Keras that stood alone."""
    return layer.generation > 2 or layer.origin.is_tf_keras or not layer.origin.is_before(2, 2)


def _mask(layer: Layer, x: Value, whole: Value, part: Value) -> Value | None:
    """The mask of an output: in Keras 3 that of the input, before it that of the layer inside."""
    is_input_s = layer.generation > 2 or not _heeds_masks(layer)
    if is_input_s or (part.mask is None and x.mask is None):
        return x.mask
    if part.mask:
        return layer.add(ops.SplitBatch(), part.mask, whole)
    return steps_heeded(layer, x, ())
