"""Forms: pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from .....runtime import ops
from ..model import Output
from ..node import Node, form
from .axes import RANKS, padded

LOWEST = float(np.finfo(np.float32).min)


def _options(node: Node, op: Any) -> dict[str, Any]:
    if any(n > 1 for n in op.dilation):
        raise node.refuse("Keras has no pooling of windows with holes")
    return {"pool_size": list(op.pool_size), "strides": list(op.strides or op.pool_size)}


def _checked(node: Node) -> int:
    if node.spatial not in RANKS:
        raise node.refuse(f"Keras has no pooling of {node.spatial} spatial axes")
    return node.spatial


@form(ops.MaxPooling)
def max_pooling(node: Node, op: ops.MaxPooling, x: Output) -> Output:
    kind, padding = f"MaxPooling{_checked(node)}D", op.padding
    pads = _pads(node, op)
    if not isinstance(padding, str) or padding == "causal":
        widths = [[0, 0], *map(list, pads), [0, 0]]
        lowest = {"constant_values": LOWEST}
        x = node.operation("numpy.Pad", x, given=lowest, pad_width=widths, mode="constant")
        padding = "valid"
    return node.layer(kind, x, padding=padding, **_options(node, op))


@form(ops.AveragePooling)
def average_pooling(node: Node, op: ops.AveragePooling, x: Output) -> Output:
    kind, options = f"AveragePooling{_checked(node)}D", _options(node, op)
    counted = op.count_padding
    if op.padding == "valid" or (op.padding == "same" and not counted):
        return node.layer(kind, x, padding=op.padding, **options)
    pads = _pads(node, op)
    y = node.layer(kind, padded(node, x, pads), padding="valid", **options)
    if counted:
        return y
    # The share of each window that is no padding: the mean of ones with zeros around them.
    ones = node.layer("Rescaling", x, scale=0.0, offset=1.0)
    share = node.layer(kind, padded(node, ones, pads), padding="valid", **options)
    return node.operation("numpy.Divide", y, share)


def _pads(node: Node, op: Any) -> list[tuple[int, int]]:
    """What is added before and after each spatial axis, where Keras does not add it itself."""
    counted = node.kind is ops.AveragePooling and op.count_padding
    if op.padding == "valid" or (op.padding == "same" and not counted):
        return []
    known = [n for n in node.type().shape[1:-1] if isinstance(n, int)]
    if op.padding == "same" and len(known) < node.spatial:
        raise node.refuse("its padding counts, and depends on a size that is open")
    sizes = known if op.padding == "same" else [0] * node.spatial
    return [op.sliding.pads(axis, size) for axis, size in enumerate(sizes)]


@form(ops.GlobalAveragePooling, ops.GlobalMaxPooling)
def global_pooling(node: Node, op: Any, x: Output) -> Output:
    kind = f"{node.kind.__name__}{_checked(node)}D"
    return node.layer(kind, x, keepdims=op.keepdims)


@form(ops.AdaptiveAveragePooling, ops.AdaptiveMaxPooling)
def adaptive_pooling(node: Node, op: Any, x: Output) -> Output:
    size = op.output_size[0] if len(op.output_size) == 1 else list(op.output_size)
    return node.layer(f"{node.kind.__name__}{_checked(node)}D", x, output_size=size)
