"""Converters: normalization, and what scales and shifts after it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ....runtime import ops
from ....runtime.errors import UnreadableFile, Unsupported
from ....runtime.op import Operation
from ...builder import Value
from ...deferred import Array, Deferred
from ..layer import Layer, caffe, row_axis


@caffe("BatchNorm")
def batch_norm(layer: Layer, x: Value) -> Value:
    """(x - mean) / sqrt(variance + eps); the statistics are stored times a common factor."""
    param = layer.options("batch_norm_param")
    if not param.get("use_global_stats", True):
        raise Unsupported(
            f"{layer.title}: use_global_stats is false, so a row's result depends on the others "
            "of its batch; set it true, as Caffe does in a test by default"
        )
    mean, variance, factor = layer.take(1), layer.take(1), layer.take(1)
    if factor.shape != (1,):
        raise UnreadableFile(f"{layer.title}: its third array has the shape {factor.shape}")
    op = ops.BatchNormalization(
        (_channels(x),),
        epsilon=param.number("eps", 1e-5),
        momentum=param.number("moving_average_fraction", 0.999),
        center=False,
        scale=False,
    )
    name = layer.add(
        op,
        x.name,
        moving_mean=_divided(mean, factor),
        moving_variance=_divided(variance, factor),
    )
    return Value(name, x.axes)


def _channels(x: Value) -> int:
    """The axis of the graph's value that is axis 1 of Caffe's."""
    return x.axes[1] if x.axes else 1


def _divided(array: Deferred, factor: Deferred) -> Deferred:
    def read() -> Array:
        (by,) = factor.read().tolist()
        return (array.read() * np.float32(1 / by if by else 0)).astype(np.float32)

    return replace(array, read=read)


@caffe("Scale", "Bias")
def scale(layer: Layer, x: Value, *others: Value) -> Value:
    """X times, or plus, another bottom or an array, that has some of its axes."""
    is_scale = layer.facts.kind == "Scale"
    param = layer.options("scale_param" if is_scale else "bias_param")
    op = ops.Multiply() if is_scale else ops.Add()
    if others:
        axis = param.number("axis", 1)
        param.ignore("num_axes")
        y = _with_bottom(layer, op, x, others[0], int(axis))
    else:
        axis = row_axis(param, "axis", 1, layer.rank(x))
        y = _with_array(layer, op, x, axis, int(param.number("num_axes", 1)))
    if is_scale and param.get("bias_term", False):
        shape = layer.facts.arrays[-1].shape if layer.arrays else ()
        y = _with_array(layer, ops.Add(), y, max(int(axis), 1), len(shape))
    return y


def _with_array(layer: Layer, op: Operation, x: Value, axis: int, count: int) -> Value:
    sizes = layer.sizes(x)
    covered = sizes[axis - 1 :] if count == -1 else sizes[axis - 1 : axis - 1 + count]
    array = layer.take_any()
    if math.prod(array.shape) != math.prod(covered) or count > len(covered):
        raise UnreadableFile(f"{layer.title}: an array of {array.shape} for {covered} of {sizes}")
    shape = (*(1,) * axis, *covered)
    shape += (1,) * (len(sizes) + 1 - len(shape))
    lies = tuple(x.axes.index(i) for i in range(len(shape))) if x.axes else tuple(range(len(shape)))
    whole = array.map(lambda a: a.reshape(shape).transpose(lies))
    value = layer.add(ops.Constant(whole.shape, trainable=True), value=whole)
    return Value(layer.add(op, x.name, value), x.axes)


def _with_bottom(layer: Layer, op: Operation, x: Value, other: Value, axis: int) -> Value:
    rank, sizes = layer.rank(x), layer.sizes(other)
    if axis % rank:
        raise Unsupported(f"{layer.title}: axis {axis} of two bottoms: only 0, the batch, is read")
    ones = rank - 1 - len(sizes)
    if ones < 0 or any(n != m for n, m in zip(sizes, layer.sizes(x), strict=False)):
        raise UnreadableFile(f"{layer.title}: {sizes} does not fit {layer.sizes(x)}")
    if ones:
        other = layer.on_plain(ops.Reshape((*sizes, *(1,) * ones)), other)
    names, axes = layer.alike([x, other])
    return Value(layer.add(op, *names), axes)


@caffe("LRN")
def response_normalization(layer: Layer, x: Value) -> Value:
    param = layer.options("lrn_param")
    size = param.whole("local_size", 5, least=1)
    alpha, beta = param.number("alpha", 1.0), param.number("beta", 0.75)
    k = param.number("k", 1.0)
    if size % 2 == 0:
        raise UnreadableFile(f"{layer.title}: local_size is {size}, and must be odd")
    if param.get("norm_region", "ACROSS_CHANNELS") == "ACROSS_CHANNELS":
        op = ops.LocalResponseNormalization(size, k, alpha / size, beta)
        return layer.images(op, x)
    # Caffe puts the layer together of others, and does not look at k there.
    if layer.rank(x) != 4:
        raise UnreadableFile(f"{layer.title}: its input {layer.shape(x)} is no image")
    half = size // 2
    windows = ops.AveragePooling((size,) * 2, (1, 1), ((half, half),) * 2, count_padding=True)
    mean = layer.images(windows, layer.each(ops.Square(), x))
    shrunk = layer.each(ops.Power(-beta), layer.each(ops.Scale(alpha, 1.0), mean))
    names, axes = layer.alike([shrunk, x])
    return Value(layer.add(ops.Multiply(), *names), axes)


@caffe("MVN")
def mean_variance(layer: Layer, x: Value) -> Value:
    """(x - mean) / (deviation + eps) of each channel, or of all together."""
    param = layer.options("mvn_param")
    eps = param.number("eps", 1e-9)
    axes = _over(layer, x, first=1 if param.get("across_channels", False) else 2)
    mean = layer.add(ops.ReduceMean(axes, keepdims=True), x.name)
    centred = layer.add(ops.Subtract(), x.name, mean)
    if not param.get("normalize_variance", True):
        return Value(centred, x.axes)
    squares = layer.add(ops.Square(), centred)
    variance = layer.add(ops.ReduceMean(axes, keepdims=True), squares)
    deviation = layer.add(ops.Scale(1.0, eps), layer.add(ops.Sqrt(), variance))
    return Value(layer.add(ops.Divide(), centred, deviation), x.axes)


def _over(layer: Layer, x: Value, first: int) -> tuple[int, ...]:
    """The axes of the graph's value from one of Caffe's on."""
    rank = layer.rank(x)
    if first >= rank:
        raise UnreadableFile(f"{layer.title}: its input {layer.shape(x)} is no image")
    return tuple(sorted(x.axes[first:] if x.axes else range(first, rank)))


@caffe("Normalize")
def normalize(layer: Layer, x: Value) -> Value:
    """SSD's: x / sqrt(sum of squares + eps) over the channels, or all, times what was learnt."""
    param = layer.options("norm_param")
    eps = param.number("eps", 1e-10)
    everywhere = bool(param.get("across_spatial", True))
    param.ignore("channel_shared")  # the array tells
    axes = _over(layer, x, first=1) if everywhere else (_channels(x),)
    squares = layer.add(ops.Square(), x.name)
    norm = layer.add(ops.Scale(1.0, eps), layer.add(ops.ReduceSum(axes, keepdims=True), squares))
    y = Value(layer.add(ops.Multiply(), x.name, layer.add(ops.Power(-0.5), norm)), x.axes)
    shape = layer.facts.arrays[0].shape if layer.arrays else ()
    return _with_array(layer, ops.Multiply(), y, 1, 0 if math.prod(shape) == 1 else 1)
