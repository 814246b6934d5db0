"""Forms: normalization."""

from __future__ import annotations

import numpy as np

from .....runtime import ops
from ..model import Output
from ..node import Node, form

KERAS_SMALLEST = 1e-12
"""What Keras divides by at least where it makes the norm one."""


def _axes(node: Node, axes: tuple[int, ...]) -> list[int]:
    return sorted({axis % node.type().rank for axis in axes})


@form(ops.BatchNormalization)
def batch_normalization(node: Node, op: ops.BatchNormalization, x: Output) -> Output:
    axes = _axes(node, op.axes)
    if len(axes) == 1:
        return _along(node, op, x, axes[0])
    # Keras knows moments along one axis: the axes are made one, which is then the last.
    rank, shape = node.type().rank, node.type().shape
    others = [axis for axis in range(1, rank) if axis not in axes]
    order = [*others, *axes]
    turned = x if order == sorted(order) else node.layer("Permute", x, dims=order)
    kept = [n if isinstance(n := shape[axis], int) else -1 for axis in others]
    sizes = [n if isinstance(n := shape[axis], int) else -1 for axis in order]
    if sizes.count(-1) > 1:
        raise node.refuse(f"of the shape {shape} more than one size is open")
    length = next(iter(node.arrays.values())).size
    flat = node.layer("Reshape", turned, target_shape=[*kept, length])
    y = node.layer("Reshape", _along(node, op, flat, len(kept) + 1), target_shape=sizes)
    if turned is x:
        return y
    return node.layer("Permute", y, dims=[order.index(axis) + 1 for axis in range(1, rank)])


def _along(node: Node, op: ops.BatchNormalization, x: Output, axis: int) -> Output:
    return node.layer(
        "BatchNormalization",
        x,
        axis=axis,
        momentum=op.momentum,
        epsilon=op.epsilon,
        center=op.center,
        scale=op.scale,
        arrays={name: array.reshape(-1) for name, array in node.arrays.items()},
    )


@form(ops.LayerNormalization)
def layer_normalization(node: Node, op: ops.LayerNormalization, x: Output) -> Output:
    if op.rms_scaling:
        raise node.refuse("Keras has no rms_scaling any more")
    return node.layer(
        "LayerNormalization",
        x,
        axis=_axes(node, op.axes),
        epsilon=op.epsilon,
        center=op.center,
        scale=op.scale,
        arrays=node.arrays,
    )


@form(ops.RMSNormalization)
def rms_normalization(node: Node, op: ops.RMSNormalization, x: Output) -> Output:
    axes = _axes(node, op.axes)
    sizes = [n for axis in axes if isinstance(n := node.type().shape[axis], int)]
    if len(sizes) < len(axes):
        raise node.refuse("an axis that it normalizes is open")
    if not op.scale and axes[-1] - axes[0] != len(axes) - 1:
        raise node.refuse(f"Keras scales along the last axes, not along {axes}")
    gamma = node.arrays.get("gamma", np.ones(sizes, np.float32))
    axis = axes[0] if len(axes) == 1 else axes
    return node.layer("RMSNormalization", x, axis=axis, epsilon=op.epsilon, arrays={"scale": gamma})


@form(ops.GroupNormalization)
def group_normalization(node: Node, op: ops.GroupNormalization, x: Output) -> Output:
    return node.layer(
        "GroupNormalization",
        x,
        groups=op.groups,
        axis=op.axis,
        epsilon=op.epsilon,
        center=op.center,
        scale=op.scale,
        arrays=node.arrays,
    )


@form(ops.UnitNormalization)
def unit_normalization(node: Node, op: ops.UnitNormalization, x: Output) -> Output:
    axes = _axes(node, op.axes)
    if op.epsilon == KERAS_SMALLEST:
        return node.layer("UnitNormalization", x, axis=axes)
    squares = node.operation("numpy.Square", x)
    total = node.operation("numpy.Sum", squares, axis=axes, keepdims=True)
    norm = node.operation("numpy.Maximum", node.operation("numpy.Sqrt", total), op.epsilon)
    return node.operation("numpy.Divide", x, norm)
