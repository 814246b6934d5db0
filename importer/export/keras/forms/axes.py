"""Forms: the same elements in other places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .....runtime import ops
from ..model import Output
from ..node import Node, form, scalar

Pads = Sequence[tuple[int, int]]
RANKS = (1, 2, 3)
"""How many spatial axes the layers of Keras come for."""


@form(ops.Flatten)
def flatten(node: Node, op: ops.Flatten, x: Output) -> Output:
    return node.layer("Flatten", x)


@form(ops.Reshape)
def reshape(node: Node, op: ops.Reshape, x: Output) -> Output:
    return node.layer("Reshape", x, target_shape=list(op.shape))


@form(ops.ReshapeAll, ops.MergeAxes)
def reshape_all(node: Node, op: Any, x: Output) -> Output:
    return node.reshaped(x, node.results[0])


@form(ops.SplitBatch)
def split_batch(node: Node, op: ops.SplitBatch, x: Output, like: Output) -> Output:
    return node.reshaped(x, node.results[0])


@form(ops.ExpandDims)
def expand_dims(node: Node, op: ops.ExpandDims, x: Output) -> Output:
    rank = node.type().rank + len(op.axes)
    for axis in sorted(axis % rank for axis in op.axes):
        x = node.operation("numpy.ExpandDims", x, axis=axis)
    return x


@form(ops.Squeeze)
def squeeze(node: Node, op: ops.Squeeze, x: Output) -> Output:
    rank = node.type().rank
    for axis in sorted((axis % rank for axis in op.axes), reverse=True):
        x = node.operation("numpy.Squeeze", x, axis=axis)
    return x


@form(ops.Transpose)
def transpose(node: Node, op: ops.Transpose, x: Output) -> Output:
    if op.axes[0] == 0:
        return node.layer("Permute", x, dims=list(op.axes[1:]))
    return node.operation("numpy.Transpose", x, axes=list(op.axes))


@form(ops.ZeroPadding)
def zero_padding(node: Node, op: ops.ZeroPadding, x: Output) -> Output:
    return padded(node, x, op.padding)


def padded(node: Node, x: Output, pairs: Pads) -> Output:
    """Zeros before and after each spatial axis."""
    return node.layer(_kind(node, "ZeroPadding", pairs), x, padding=_amounts(pairs))


def cropped(node: Node, x: Output, pairs: Pads) -> Output:
    """Without so many cells before and after each spatial axis."""
    return node.layer(_kind(node, "Cropping", pairs), x, cropping=_amounts(pairs))


def _kind(node: Node, name: str, pairs: Pads) -> str:
    if len(pairs) not in RANKS:
        raise node.refuse(f"Keras has no {name} for {len(pairs)} spatial axes")
    return f"{name}{len(pairs)}D"


def _amounts(pairs: Pads) -> Any:
    values = [list(pair) for pair in pairs]
    return values[0] if len(values) == 1 else values


@form(ops.Cropping)
def cropping(node: Node, op: ops.Cropping, x: Output) -> Output:
    return cropped(node, x, op.cropping)


@form(ops.Pad)
def pad(node: Node, op: ops.Pad, x: Output) -> Output:
    widths = [list(pair) for pair in op.paddings]
    value = scalar(op.value, node.type().dtype)
    given = {"constant_values": value} if op.mode == "constant" else {}
    return node.operation("numpy.Pad", x, given=given, pad_width=widths, mode=op.mode)


@form(ops.Take)
def take(node: Node, op: ops.Take, x: Output) -> Output:
    return node.operation("numpy.Take", x, np.array(op.indices, np.int32), axis=op.axis)


@form(ops.Gather)
def gather(node: Node, op: ops.Gather, x: Any, ids: Any) -> Output:
    return node.operation("numpy.Take", x, _whole(node, ids), axis=op.axis)


@form(ops.TakeAlongAxis)
def take_along_axis(node: Node, op: ops.TakeAlongAxis, x: Any, ids: Any) -> Output:
    return node.operation("numpy.TakeAlongAxis", x, _whole(node, ids), axis=op.axis)


def _whole(node: Node, ids: Any) -> Any:
    """Places as whole numbers, which Keras insists on."""
    return node.operation("core.Cast", ids, dtype="int32") if node.type(1).dtype == "float" else ids


@form(ops.StridedSlice)
def strided_slice(node: Node, op: ops.StridedSlice, x: Output) -> Output:
    parts = list(map(slice, op.begins, op.ends, op.steps))
    return node.operation("numpy.GetItem", x, parts)


@form(ops.Tile)
def tile(node: Node, op: ops.Tile, x: Output) -> Output:
    return node.operation("numpy.Tile", x, repeats=list(op.repeats))


@form(ops.Repeat)
def repeat(node: Node, op: ops.Repeat, x: Output) -> Output:
    return node.operation("numpy.Repeat", x, repeats=op.times, axis=op.axis)


@form(ops.BroadcastTo)
def broadcast_to(node: Node, op: ops.BroadcastTo, x: Output) -> Output:
    own = node.type().shape
    for _ in range(len(op.shape) - len(own)):
        x = node.operation("numpy.ExpandDims", x, axis=0)
    placed = (1,) * (len(op.shape) - len(own)) + own
    times = [n if m == 1 and n != -1 else 1 for n, m in zip(op.shape, placed, strict=True)]
    return node.operation("numpy.Tile", x, repeats=times)


METHODS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")


@form(ops.Resample)
def resample(node: Node, op: ops.Resample, x: Output) -> Output:
    if op.factors and op.method == "nearest" and node.spatial in RANKS:
        factors = op.factors[0] if node.spatial == 1 else list(op.factors)
        return node.layer(f"UpSampling{node.spatial}D", x, size=factors)
    if node.spatial != 2 or op.method not in METHODS:
        raise node.refuse(f"Keras resamples {node.spatial} axes by {op.method!r} in no layer")
    if op.factors:
        return node.layer("UpSampling2D", x, size=list(op.factors), interpolation=op.method)
    height, width = op.size
    return node.layer(
        "Resizing", x, height=height, width=width, interpolation=op.method, antialias=op.antialias
    )
