"""Converters: layers of several inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from ....runtime import ops
from ..builder import Value
from ..layer import Layer, keras
from ..origin import THEANO
from .functions.contraction import batch_dot
from .functions.shape import expand_dims

ARITHMETIC = {
    "Add": ops.Add,
    "Average": ops.Average,
    "Maximum": ops.Maximum,
    "Minimum": ops.Minimum,
    "Multiply": ops.Multiply,
    "Subtract": ops.Subtract,
}


@keras(*ARITHMETIC)
def arithmetic(layer: Layer, *x: Value) -> Value:
    rank = max(map(layer.rank, x))
    aligned = [_aligned(layer, value, rank) for value in x]
    if _is_generous(layer) and layer.kind in MINDFUL and any(value.mask for value in aligned):
        y = MINDFUL[layer.kind](layer, aligned)
    else:
        y = layer.through(ARITHMETIC[layer.kind](), *aligned)
    return y.masked(_together(layer, x))


def _aligned(layer: Layer, x: Value, rank: int) -> Value:
    """The tensor with as many axes as the others have; one that gets more loses its mask."""
    missing = rank - layer.rank(x)
    return layer.add(ops.ExpandDims(tuple(range(1, missing + 1))), x) if missing else x


def _product(layer: Layer, x: Sequence[Value]) -> Value:
    """What is masked counts as one; where all is, the product is zero."""
    masks = [_over_features(layer, value) for value in x]
    factors = [
        layer.add(ops.Fill(1.0, where=False), value, mask) if mask else value
        for value, mask in zip(x, masks, strict=True)
    ]
    y, there = layer.add(ops.Multiply(), *factors), [mask for mask in masks if mask]
    if len(there) < len(x):
        return y
    return layer.add(ops.Fill(0.0, where=False), y, reduce(_either(layer), there))


def _extreme(layer: Layer, x: Sequence[Value]) -> Value:
    """Where one of two tensors is masked, the other is taken for it."""
    y, *others = x
    before = _over_features(layer, y)
    for value in others:
        mask = _over_features(layer, value)
        if mask:
            value = layer.add(ops.Where(), mask, value, y)
        if before:
            y = layer.add(ops.Where(), before, y, value)
        before = _either(layer)(before, mask) if mask and before else None
        y = layer.add(ARITHMETIC[layer.kind](), y, value)
    return y


MINDFUL = {"Maximum": _extreme, "Minimum": _extreme, "Multiply": _product}
"""Layers whose numbers depend on masks since Keras 3.4."""


def _is_generous(layer: Layer) -> bool:
    """Whether a step counts if any tensor has it: so since Keras 3.4; in Keras 2, all have to."""
    return not layer.origin.is_before(3, 4)


def _over_features(layer: Layer, x: Value) -> Value | None:
    """The mask of a series for each of its numbers."""
    if x.mask is None:
        return None
    if layer.rank(x) != layer.rank(x.mask) + 1:
        raise layer.refuse("a mask", f"of {layer.rank(x.mask)} axes")
    return layer.add(ops.ExpandDims((layer.rank(x) - 1,)), x.mask)


def _either(layer: Layer) -> Callable[[Value, Value], Value]:
    return lambda a, b: layer.add(ops.LogicalOr(), a, b)


@keras("Concatenate")
def concatenate(layer: Layer, x: Value, *more: Value) -> Value:
    axis = int(layer.get("axis", -1)) % layer.rank(x)
    if not more:
        return x
    values = (x, *more)
    mask = _one_after_another(layer, values) if axis == 1 else _together(layer, values)
    if x.axes and all(value.axes == x.axes for value in more):
        axis = x.axes[axis]
    else:
        values = tuple(Value(layer.plain(value)) for value in values)
    return layer.through(ops.Concatenate(axis), *values).masked(mask)


@keras("Dot")
def dot(layer: Layer, x: Value, y: Value) -> Value:
    """Products summed over an axis of each; all other axes remain, those of x first."""
    axes: Any = layer["axes"]
    both = (axes, axes) if isinstance(axes, int) else tuple(axes)
    ranks = (layer.rank(x), layer.rank(y))
    left, right = (axis % rank for axis, rank in zip(both, ranks, strict=True))
    if layer.get("expand_dims", 0) and max(ranks) > 2:
        # Keras 1 divides by roots of the products of different steps, which may be below zero.
        raise layer.refuse("mode 'cos'", "of series")
    origin = layer.origin
    if min(ranks) > 3 and origin.is_before(2, 2, 5) and origin.backend != THEANO:
        # On TensorFlow these multiplied matrices, one for each step of the first axis.
        raise layer.refuse("a product", f"of tensors of {ranks[0]} and {ranks[1]} axes")
    if layer.get("normalize", False):
        smallest = 1e-7 if layer.generation > 2 else 1e-6
        x, y = (
            layer.add(ops.UnitNormalization((axis,), smallest), value)
            for axis, value in ((left, x), (right, y))
        )
    product = batch_dot(layer, x, y, [left, right])
    # Keras 1 puts one axis more after the batch of a cosine.
    return expand_dims(layer, product, 1) if layer.get("expand_dims", 0) else product


def _together(layer: Layer, x: Sequence[Value]) -> Value | None:
    """The mask of tensors that lie over each other; one without a mask has all its steps."""
    masks = [value.mask for value in x if value.mask]
    if not _is_generous(layer):
        return reduce(lambda a, b: layer.add(ops.LogicalAnd(), a, b), masks) if masks else None
    return reduce(_either(layer), masks) if masks and len(masks) == len(x) else None


def _one_after_another(layer: Layer, x: Sequence[Value]) -> Value | None:
    """The mask of tensors that follow each other; one without a mask has all its steps."""
    if not any(value.mask for value in x):
        return None
    masks = [value.mask or _everything(layer, value) for value in x]
    return layer.add(ops.Concatenate(1), *masks)


def _everything(layer: Layer, x: Value) -> Value:
    """A mask that leaves out no step."""
    axes = tuple(range(2, layer.rank(x)))
    steps = layer.add(ops.ReduceSum(axes), x) if axes else x
    return layer.add(ops.LogicalNot(), layer.add(ops.Less(), steps, steps))
