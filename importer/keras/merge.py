"""Converters: layers of several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from ...runtime import ops
from .layer import Layer, Value, keras

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
    missing = [rank - layer.rank(value) for value in x]
    aligned = [
        layer.add(ops.ExpandDims(tuple(range(1, n + 1))), value) if n else value
        for value, n in zip(x, missing, strict=True)
    ]
    return layer.through(ARITHMETIC[layer.kind](), *aligned).masked(_together(layer, x))


@keras("Concatenate")
def concatenate(layer: Layer, x: Value, *more: Value) -> Value:
    axis = int(layer.get("axis", -1)) % layer.rank(x)
    if not more:
        return x
    values = (x, *more)
    mask = _together(layer, values) if axis == layer.rank(x) - 1 else _one_after_another(layer, values)
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
    if layer.get("normalize", False):
        x, y = (
            layer.add(ops.L2Normalize((axis,)), value) for axis, value in ((left, x), (right, y))
        )
    first = ["n", *"abcdef"[: ranks[0] - 1]]
    second = ["n", *"ghijkl"[: ranks[1] - 1]]
    second[right] = first[left]
    kept = [*(c for c in first[1:] if c != first[left]), *(c for c in second[1:] if c != first[left])]
    equation = f"{''.join(first)},{''.join(second)}->n{''.join(kept)}"
    product = layer.add(ops.Einsum(equation), x, y)
    # Keras 1 puts one axis more after the batch of a cosine.
    more = int(layer.get("expand_dims", 0)) + (not kept)
    return layer.add(ops.ExpandDims(tuple(range(1, more + 1))), product) if more else product


def _together(layer: Layer, x: Sequence[Value]) -> Value | None:
    """The mask of tensors that lie over each other.

    Keras 3 keeps a step that any of them has, and none where one of them has all; before, it took a
    step that each of those with masks had.
    """
    masks = [value.mask for value in x if value.mask]
    if not masks or (layer.generation > 2 and len(masks) < len(x)):
        return None
    op = ops.LogicalOr() if layer.generation > 2 else ops.LogicalAnd()
    return reduce(lambda a, b: layer.add(op, a, b), masks)


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
