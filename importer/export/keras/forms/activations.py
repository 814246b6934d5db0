"""Forms: activations, and what only training does to a value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .....runtime import ops
from .....runtime.op import Operation
from ..model import Output
from ..node import Node, form

NAMES: Mapping[type[Operation], str] = {
    ops.Exponential: "exponential",
    ops.HardSilu: "hard_silu",
    ops.HardTanh: "hard_tanh",
    ops.LogSigmoid: "log_sigmoid",
    ops.Mish: "mish",
    ops.Selu: "selu",
    ops.Sigmoid: "sigmoid",
    ops.Silu: "silu",
    ops.Softplus: "softplus",
    ops.Softsign: "softsign",
    ops.SparsePlus: "sparse_plus",
    ops.Tanh: "tanh",
    ops.TanhShrink: "tanh_shrink",
}
"""Activations without options, by what Keras calls them."""


@form(*NAMES)
def named(node: Node, op: Operation, x: Output) -> Output:
    return node.layer("Activation", x, activation=NAMES[node.kind])


@form(ops.Relu)
def relu(node: Node, op: ops.Relu, x: Output) -> Output:
    if node.op.is_plain():
        return node.layer("Activation", x, activation="relu")
    if min(op.max_value or 0, op.negative_slope, op.threshold) < 0:  # the layer takes none of it
        above = node.operation("numpy.GreaterEqual", x, op.threshold)
        offset = -op.negative_slope * op.threshold
        below = node.layer("Rescaling", x, scale=op.negative_slope, offset=offset)
        y = node.operation("numpy.Where", above, x, below)
        return y if op.max_value is None else node.operation("numpy.Minimum", y, op.max_value)
    return node.layer(
        "ReLU",
        x,
        max_value=op.max_value,
        negative_slope=op.negative_slope,
        threshold=op.threshold,
    )


@form(ops.HardSigmoid)
def hard_sigmoid(node: Node, op: ops.HardSigmoid, x: Output) -> Output:
    if math.isclose(op.slope, 1 / 6, rel_tol=1e-7) and op.offset == 0.5:
        return node.layer("Activation", x, activation="hard_sigmoid")
    line = node.layer("Rescaling", x, scale=op.slope, offset=op.offset)
    return node.layer("ReLU", line, max_value=1.0, negative_slope=0.0, threshold=0.0)


@form(ops.Gelu)
def gelu(node: Node, op: ops.Gelu, x: Output) -> Output:
    if not op.approximate:
        return node.layer("Activation", x, activation="gelu")
    return node.operation("nn.Gelu", x, approximate=True)


@form(ops.Elu)
def elu(node: Node, op: ops.Elu, x: Output) -> Output:
    return node.layer("ELU", x, alpha=op.alpha)


@form(ops.Celu)
def celu(node: Node, op: ops.Celu, x: Output) -> Output:
    return node.operation("nn.Celu", x, alpha=op.alpha)


@form(ops.Squareplus)
def squareplus(node: Node, op: ops.Squareplus, x: Output) -> Output:
    return node.operation("nn.Squareplus", x, b=op.b)


@form(ops.HardShrink)
def hard_shrink(node: Node, op: ops.HardShrink, x: Output) -> Output:
    return node.operation("nn.HardShrink", x, threshold=op.threshold)


@form(ops.SoftShrink)
def soft_shrink(node: Node, op: ops.SoftShrink, x: Output) -> Output:
    return node.operation("nn.SoftShrink", x, threshold=op.threshold)


@form(ops.Threshold)
def threshold(node: Node, op: ops.Threshold, x: Output) -> Output:
    return node.operation("nn.Threshold", x, threshold=op.threshold, default_value=op.value)


@form(ops.Clip)
def clip(node: Node, op: ops.Clip, x: Output) -> Output:
    if op.low is not None and op.high is not None:
        return node.operation("numpy.Clip", x, x_min=op.low, x_max=op.high)
    if op.low is not None:
        return node.operation("numpy.Maximum", x, op.low)
    return x if op.high is None else node.operation("numpy.Minimum", x, op.high)


@form(ops.Softmax)
def softmax(node: Node, op: ops.Softmax, x: Output) -> Output:
    return node.layer("Softmax", x, axis=op.axis)


@form(ops.LogSoftmax, ops.Glu, ops.Sparsemax)
def along_axis(node: Node, op: Any, x: Output) -> Output:
    return node.operation(f"nn.{node.kind.__name__}", x, axis=op.axis)


@form(ops.Prelu)
def prelu(node: Node, op: ops.Prelu, x: Output) -> Output:
    shared = list(op.shared_axes) or None
    return node.layer("PReLU", x, shared_axes=shared, arrays=node.arrays)


@form(ops.Dropout)
def dropout(node: Node, op: ops.Dropout, x: Output) -> Output:
    shape = [1 if axis in op.shared_axes else None for axis in range(node.type().rank)]
    return node.layer("Dropout", x, rate=op.rate, noise_shape=shape if op.shared_axes else None)


@form(ops.AlphaDropout, ops.GaussianDropout)
def other_dropout(node: Node, op: Any, x: Output) -> Output:
    return node.layer(node.kind.__name__, x, rate=op.rate)


@form(ops.GaussianNoise)
def gaussian_noise(node: Node, op: ops.GaussianNoise, x: Output) -> Output:
    return node.layer("GaussianNoise", x, stddev=op.stddev)


@form(ops.Centers)
def centers(node: Node, op: ops.Centers, x: Output) -> Output:
    node.note(f"centers of {op.classes} classes, which a center loss has learnt, are left out")
    return x
