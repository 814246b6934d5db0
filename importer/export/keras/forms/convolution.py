"""Forms: convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from .....runtime import ops
from .....runtime.ops.sliding import Sliding
from ..model import Output
from ..node import Node, form
from .axes import RANKS, cropped, padded


def _windows(op: Any) -> Sliding:
    return Sliding.of(op.kernel_size, op.strides, op.padding, op.dilation)


def _options(op: Any) -> dict[str, Any]:
    sliding = _windows(op)
    return {
        "kernel_size": list(sliding.kernel),
        "strides": list(sliding.stride),
        "dilation_rate": list(sliding.dilation),
        "use_bias": op.use_bias,
    }


def _checked(node: Node, op: Any, ranks: tuple[int, ...] = RANKS) -> int:
    rank = len(op.kernel_size)
    if rank not in ranks:
        raise node.refuse(f"Keras has no such layer for {rank} spatial axes")
    return rank


def _outside(node: Node, op: Any, x: Output) -> tuple[Output, str]:
    """The input with the zeros that no name of Keras stands for, and the name for the rest."""
    if isinstance(op.padding, str) and op.padding != "causal":
        return x, op.padding
    sliding = _windows(op)
    return padded(node, x, [sliding.pads(axis, 0) for axis in range(sliding.rank)]), "valid"


@form(ops.Convolution)
def convolution(node: Node, op: ops.Convolution, x: Output) -> Output:
    rank, padding = _checked(node, op), "causal"
    if padding != op.padding:
        x, padding = _outside(node, op, x)
    return node.layer(
        f"Conv{rank}D",
        x,
        filters=op.filters,
        padding=padding,
        groups=op.groups,
        **_options(op),
        arrays=node.arrays,
    )


@form(ops.DepthwiseConvolution)
def depthwise(node: Node, op: ops.DepthwiseConvolution, x: Output) -> Output:
    rank = _checked(node, op, (1, 2))
    x, padding = _outside(node, op, x)
    return node.layer(
        f"DepthwiseConv{rank}D",
        x,
        depth_multiplier=op.multiplier,
        padding=padding,
        **_options(op),
        arrays=node.arrays,
    )


@form(ops.TransposedConvolution)
def transposed(node: Node, op: ops.TransposedConvolution, x: Output) -> Output:
    rank = _checked(node, op)
    if op.groups > 1:
        raise node.refuse("Keras has no transposed convolution by groups")
    padding, more = op.padding, op.output_padding
    crops: list[tuple[int, int]] = []
    if isinstance(padding, tuple):
        crops = [_crop(node, op, axis) for axis in range(rank)]
        padding = "valid"
        more = None
    y = node.layer(
        f"Conv{rank}DTranspose",
        x,
        filters=op.filters,
        padding=padding,
        output_padding=None if more is None else list(more),
        **_options(op),
        arrays=node.arrays,
    )
    return cropped(node, y, crops) if any(map(any, crops)) else y


def _crop(node: Node, op: ops.TransposedConvolution, axis: int) -> tuple[int, int]:
    """What to cut off an axis of which Keras keeps all."""
    sliding = _windows(op)
    before, after = op.padding[axis]
    assert isinstance(before, int)
    assert isinstance(after, int)
    beyond = max(sliding.stride[axis] - sliding.extent[axis], 0)
    rest = after + beyond - (op.output_padding[axis] if op.output_padding else 0)
    if rest < 0:
        raise node.refuse(f"output_padding {op.output_padding} reaches beyond what Keras computes")
    return before, rest


@form(ops.LocalResponseNormalization)
def response(node: Node, op: ops.LocalResponseNormalization, x: Output) -> Output:
    """Sums over neighbouring channels are a product with a matrix of ones along its diagonal."""
    channels = node.type().shape[-1]
    if not isinstance(channels, int):
        raise node.refuse("the number of its channels is open")
    place = np.arange(channels)
    ahead = place[:, None] - place[None, :]
    before = (op.size - 1) // 2
    near = (ahead >= -before) & (ahead <= op.size - 1 - before)
    sums = node.layer(
        "Dense",
        node.operation("numpy.Square", x),
        units=channels,
        arrays={
            "kernel": (op.alpha * near).astype(np.float32),
            "bias": np.full(channels, op.k, np.float32),
        },
    )
    return node.operation("numpy.Divide", x, node.operation("numpy.Power", sums, op.beta))
