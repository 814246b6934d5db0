"""Converters: the layers of cortex, by what ``cortex.nn.layers`` and its compute layers do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...runtime import ops
from ...runtime.op import Operation
from ..builder import Value
from ..deferred import Array, Deferred
from .node import Node, nippy

ACTIVATIONS: dict[str, Operation] = {
    "relu": ops.Relu(),
    "logistic": ops.Sigmoid(),
    "tanh": ops.Tanh(),
    "swish": ops.Silu(),
    "selu": ops.Selu(),
}


@nippy(*ACTIVATIONS)
def activation(node: Node, x: Value) -> Value:
    return node.through(ACTIVATIONS[node.kind], x)


@nippy("split")
def split(node: Node, x: Value) -> Value:
    return x


@nippy("linear")
def linear(node: Node, x: Value) -> Value:
    units, x = node.whole("output-size", least=1), node.flat(x)
    inputs = node.dimensions(x).size
    return node.add(
        ops.Dense(units),
        x,
        kernel=node.take("weights", (units, inputs), np.transpose),
        bias=node.take("bias", (units,)),
    )


@nippy("convolutional")
def convolution(node: Node, x: Value) -> Value:
    size, every, pad = windows(node)
    if node.get("dimension-op", "floor") != "floor":
        raise node.refuse("dimension-op")
    x, filters = node.image(x), node.whole("num-kernels", least=1)
    stored = (filters, node.dimensions(x).channels, *size)
    return node.on_channels(
        ops.Convolution(filters, size, every, tuple((n, n) for n in pad)),
        x,
        kernel=node.take("weights", stored, _kernel_last),
        bias=node.take("bias", (filters,)),
    )


def _kernel_last(kernel: Array) -> Array:
    """(filters, channels, height, width) as (height, width, channels, filters)."""
    return kernel.transpose(2, 3, 1, 0)


Pair = tuple[int, int]


def windows(node: Node) -> tuple[Pair, Pair, Pair]:
    """Size, stride and padding of a node's windows, each for height and width."""
    return (
        (node.whole("kernel-height", least=1), node.whole("kernel-width", least=1)),
        (node.whole("stride-y", least=1), node.whole("stride-x", least=1)),
        (node.whole("pad-y"), node.whole("pad-x")),
    )


@nippy("max-pooling")
def pooling(node: Node, x: Value) -> Value:
    size, every, pad = windows(node)
    kind, rounding = node.get("pool-op", "max"), node.get("dimension-op", "floor")
    node.ignore("num-kernels")
    if kind not in ("max", "avg", "avg-exc-pad"):
        raise node.refuse("pool-op")
    if rounding not in ("ceil", "floor"):
        raise node.refuse("dimension-op")
    x = node.image(x)
    padding = tuple((n, n) for n in pad)
    if rounding == "ceil":
        padding = tuple(map(_rounded_up, node.dimensions(x)[1:], size, every, pad))
    if kind != "max":
        return node.on_channels(ops.AveragePooling(size, every, padding, kind == "avg"), x)
    if any(pad):
        node.note("padding counts for nothing, as on a GPU; on a CPU cortex takes it for zeros")
    return node.on_channels(ops.MaxPooling(size, every, padding), x)


def _rounded_up(length: int, window: int, stride: int, pad: int) -> Pair:
    """The padding that gives ceil((length + 2·pad - window) / stride) + 1 windows.

    The last of them may hang over; what it lacks is padding after the input.
    """
    return pad, pad + (window - length - 2 * pad) % stride


@nippy("batch-normalization")
def batch_normalization(node: Node, x: Value) -> Value:
    """The factor is the weight of the new average, the operation's momentum that of the old one."""
    epsilon, momentum = node.number("epsilon", 1e-4), 1 - node.number("average-factor", 0.9)
    mode, shape = node.get("mode", "elementwise"), node.dimensions(x)
    if mode == "spatial":
        op = ops.BatchNormalization((-1,), epsilon, momentum)
        return node.per_channel(op, x, **_statistics(node, shape[:1]))
    if mode != "elementwise":
        raise node.refuse("mode")
    if shape.is_vector:
        op = ops.BatchNormalization((-1,), epsilon, momentum)
        return node.like(node.add(op, node.flat(x), **_statistics(node, shape[2:])), x)
    op = ops.BatchNormalization((1, 2, 3), epsilon, momentum)
    return node.on_channels(op, x, **_statistics(node, shape, image=True))


def _statistics(node: Node, shape: Sequence[int], image: bool = False) -> dict[str, Deferred]:
    """Its four arrays; those of an image with its channels last."""
    change = _channels_last if image else None
    return {
        "gamma": node.take("scale", shape, change),
        "beta": node.take("bias", shape, change, local="beta"),
        "moving_mean": node.take("means", shape, change),
        "moving_variance": node.take("variances", shape, change),
    }


def _channels_last(array: Array) -> Array:
    return array.transpose(1, 2, 0)


@nippy("local-response-normalization")
def response_normalization(node: Node, x: Value) -> Value:
    """Alpha is of the mean of the squares, as cuDNN has it and the tests of cortex expect."""
    size = node.whole("n", 5, least=1)
    alpha = node.number("alpha", 1e-4) / size
    op = ops.LocalResponseNormalization(size, node.number("k", 2), alpha, node.number("beta", 0.75))
    return node.per_channel(op, x)


@nippy("prelu")
def prelu(node: Node, x: Value) -> Value:
    """A slope a channel; of what has one channel, a slope an element."""
    channels, *_ = shape = node.dimensions(x)
    if channels > 1:
        slopes = node.take("neg-scale", (1, 1, channels))
        return node.on_channels(ops.Prelu((1, 2)), x, alpha=slopes)
    slopes = node.take("neg-scale", (shape.size,))
    return node.like(node.add(ops.Prelu(), node.flat(x), alpha=slopes), x)


@nippy("softmax")
def softmax(node: Node, x: Value) -> Value:
    """Over the vector, the channels of each pixel, or so many elements of the vector at a time."""
    together, shape = node.whole("output-channels", 1, least=1), node.dimensions(x)
    if together == 1 and shape.channels > 1:
        return node.per_channel(ops.Softmax(), x)
    y = node.flat(x)
    if together > 1:
        if shape.size % together:
            raise node.refuse("output-channels")
        y = node.add(ops.Reshape((-1, together)), y)
    return node.like(node.flat(node.add(ops.Softmax(), y)), x)


@nippy("dropout")
def dropout(node: Node, x: Value) -> Value:
    """The probability is that of being kept."""
    kind = node.get("distribution", "bernoulli")
    if kind == "bernoulli":
        kept = node.number("probability")
        if not 0 < kept <= 1:
            raise node.refuse("probability")
        return node.through(ops.Dropout(1 - kept), x)
    if kind != "gaussian":
        raise node.refuse("distribution")
    variance = node.number("variance")
    if variance < 0:
        raise node.refuse("variance")
    node.ignore("probability")
    # The operation is told the rate of the dropout that has this variance.
    return node.through(ops.GaussianDropout(variance / (1 + variance)), x)


@nippy("concatenate")
def concatenate(node: Node, *x: Value) -> Value:
    parts = [node.flat(one) for one in x]
    return node.add(ops.Concatenate(), *parts) if len(parts) > 1 else parts[0]


@nippy("join")
def join(node: Node, *x: Value) -> Value:
    """Sum or product, element by element, of vectors where the shapes differ.

    A sum takes shorter ones for zero where they end; a product is zero where the shortest ends.
    """
    operation = node.get("operation", "+")
    if operation not in ("+", "*"):
        raise node.refuse("operation")
    op = ops.Add() if operation == "+" else ops.Multiply()
    if len(x) == 1:
        return x[0]
    if len({node.dimensions(one) for one in x}) == 1:
        return node.through(op, *x)
    sizes = [node.dimensions(one).size for one in x]
    parts = [node.flat(one) for one in x]
    if operation == "+":
        return node.add(op, *(_longer(node, part, max(sizes)) for part in parts))
    shortest = [_shorter(node, part, min(sizes)) for part in parts]
    return _longer(node, node.add(op, *shortest), max(sizes))


def _longer(node: Node, x: Value, size: int) -> Value:
    """A vector with zeros after it."""
    more = size - node.dimensions(x).size
    return node.add(ops.Pad(((0, 0), (0, more))), x) if more else x


def _shorter(node: Node, x: Value, size: int) -> Value:
    """The beginning of a vector."""
    if node.dimensions(x).size == size:
        return x
    return node.add(ops.StridedSlice((None, None), (None, size), (None, None)), x)
