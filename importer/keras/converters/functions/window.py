"""Windows that slide over spatial axes: convolutions and pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .....runtime import ops
from .....runtime.op import Operation
from ...builder import Value
from ...layer import Layer
from .operand import Operand, floats, function, stored, wholes


def with_channels_last(
    layer: Layer, x: Operand, data_format: Any, compute: Callable[[Value], Value]
) -> Value:
    """What ``compute`` makes of a tensor whose channels are last, in the layout of x."""
    x = floats(layer, x)
    if not str(data_format).upper().startswith(("NC", "CHANNELS_FIRST")):
        return compute(x)
    return layer.channels_first(compute(layer.channels_last(x)))


def spread(layer: Layer, given: Any, count: int, what: str) -> tuple[int, ...]:
    """A number per spatial axis: given so, once for all, or with batch and channels around."""
    numbers = wholes(layer, 1 if given is None else given, what)
    if len(numbers) == count + 2 and numbers[0] == 1:  # (1, height, width, 1)
        numbers = numbers[1:-1] if numbers[-1] == 1 else numbers[2:]
    numbers = numbers * count if len(numbers) == 1 else numbers
    if len(numbers) != count:
        raise layer.refuse(what, list(numbers))
    return numbers


def padding_of(layer: Layer, given: Any, count: int) -> Any:
    """Padding as operations have it: "valid", "same", or (before, after) for each spatial axis."""
    if isinstance(given, str):
        return given.lower()
    pairs = np.asarray(given)
    if pairs.shape != (count + 2, 2):
        raise layer.refuse("padding", given)
    return tuple((int(a), int(b)) for a, b in pairs[1:-1])


Convolve = Callable[[tuple[int, ...], dict[str, Any], int], Operation]
"""The operation of a kernel of this shape, for options in common and a number of groups."""


def _convolved(
    layer: Layer, x: Operand, kernel: Operand, options: dict[str, Any], operation: Convolve
) -> Value:
    """A convolution whose kernel is an array (…, channels in, channels out)."""
    if isinstance(kernel, Value):
        raise layer.refuse("a kernel", "that is computed")
    array = stored(layer, kernel)
    count, data_format = len(array.shape) - 2, options.pop("data_format")
    sliding = {
        "strides": spread(layer, options.pop("strides"), count, "strides"),
        "dilation": spread(layer, options.pop("dilation_rate"), count, "dilation_rate"),
        "padding": padding_of(layer, options.pop("padding"), count),
    }

    def compute(value: Value) -> Value:
        groups = _groups(layer, value, array.shape)
        op = operation(array.shape, {**sliding, **options}, groups)
        return layer.add(op, value, kernel=array)

    return with_channels_last(layer, x, data_format, compute)


def _groups(layer: Layer, x: Value, shape: tuple[int, ...]) -> int:
    """How many groups of channels a kernel is for: it has the channels of one of them."""
    channels = layer.shape(x)[-1]
    return channels // shape[-2] if isinstance(channels, int) else 1


@function("conv", "conv1d", "conv2d", "conv3d")
def conv(
    layer: Layer, x: Operand, kernel: Operand, strides: Any = 1, padding: Any = "valid",
    data_format: Any = None, dilation_rate: Any = 1,
) -> Value:  # fmt: skip
    """A convolution with a constant kernel."""
    options = {"strides": strides, "padding": padding, "data_format": data_format,
               "dilation_rate": dilation_rate}  # fmt: skip
    return _convolved(layer, x, kernel, options, lambda shape, sliding, groups: ops.Convolution(
        shape[-1], shape[:-2], groups=groups, use_bias=False, **sliding
    ))  # fmt: skip


@function("depthwise_conv", "depthwise_conv1d", "depthwise_conv2d")
def depthwise_conv(
    layer: Layer, x: Operand, kernel: Operand, strides: Any = 1, padding: Any = "valid",
    data_format: Any = None, dilation_rate: Any = 1,
) -> Value:  # fmt: skip
    """A convolution of each channel with kernels of its own, which are constant."""
    options = {"strides": strides, "padding": padding, "data_format": data_format,
               "dilation_rate": dilation_rate}  # fmt: skip
    return _convolved(layer, x, kernel, options, lambda shape, sliding, _: (
        ops.DepthwiseConvolution(shape[:-2], multiplier=shape[-1], use_bias=False, **sliding)
    ))  # fmt: skip


@function("separable_conv")
def separable_conv(
    layer: Layer, x: Operand, depthwise_kernel: Operand, pointwise_kernel: Operand,
    strides: Any = 1, padding: Any = "valid", data_format: Any = None, dilation_rate: Any = 1,
) -> Value:  # fmt: skip
    """A convolution of each channel, then one across the channels."""
    y = depthwise_conv(layer, x, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(layer, y, pointwise_kernel, data_format=data_format)


@function("conv_transpose")
def conv_transpose(
    layer: Layer, x: Operand, kernel: Operand, strides: Any = 1, padding: Any = "valid",
    output_padding: Any = None, data_format: Any = None, dilation_rate: Any = 1,
) -> Value:  # fmt: skip
    """The transpose of a convolution with a constant kernel (…, channels out, channels in)."""
    options = {"strides": strides, "padding": padding, "data_format": data_format,
               "dilation_rate": dilation_rate}  # fmt: skip
    count = len(stored(layer, kernel).shape) - 2
    if output_padding is not None:
        options["output_padding"] = spread(layer, output_padding, count, "output_padding")
    return _convolved(layer, x, kernel, options, lambda shape, sliding, _: (
        ops.TransposedConvolution(shape[-2], shape[:-2], use_bias=False, **sliding)
    ))  # fmt: skip


def _pooled(layer: Layer, x: Operand, operation: Any, pool_size: Any, strides: Any, padding: Any,
            data_format: Any) -> Value:  # fmt: skip
    x = floats(layer, x)
    count = layer.rank(x) - 2
    size = spread(layer, pool_size, count, "pool_size")
    every = size if strides is None else spread(layer, strides, count, "strides")
    op = operation(size, every, padding_of(layer, padding, count))
    return with_channels_last(layer, x, data_format, lambda value: layer.add(op, value))


@function("max_pool", "max_pool1d", "max_pool2d", "max_pool3d")
def max_pool(
    layer: Layer, x: Operand, pool_size: Any, strides: Any = None, padding: Any = "valid",
    data_format: Any = None,
) -> Value:  # fmt: skip
    """The largest element of each window."""
    return _pooled(layer, x, ops.MaxPooling, pool_size, strides, padding, data_format)


@function("average_pool", "avg_pool", "avg_pool1d", "avg_pool2d", "avg_pool3d")
def average_pool(
    layer: Layer, x: Operand, pool_size: Any, strides: Any = None, padding: Any = "valid",
    data_format: Any = None,
) -> Value:  # fmt: skip
    """The mean of each window; what pads does not count."""
    return _pooled(layer, x, ops.AveragePooling, pool_size, strides, padding, data_format)


def _adaptive(layer: Layer, x: Operand, operation: Any, size: Any, data_format: Any) -> Value:
    x = floats(layer, x)
    op = operation(spread(layer, size, layer.rank(x) - 2, "output_size"))
    return with_channels_last(layer, x, data_format, lambda value: layer.add(op, value))


@function("adaptive_max_pool")
def adaptive_max_pool(layer: Layer, x: Operand, output_size: Any, data_format: Any = None) -> Value:
    """The largest elements of so many windows."""
    return _adaptive(layer, x, ops.AdaptiveMaxPooling, output_size, data_format)


@function("adaptive_average_pool")
def adaptive_average_pool(
    layer: Layer, x: Operand, output_size: Any, data_format: Any = None
) -> Value:
    """The means of so many windows."""
    return _adaptive(layer, x, ops.AdaptiveAveragePooling, output_size, data_format)
