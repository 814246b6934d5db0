"""Converters: convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....runtime import ops
from ....runtime.errors import Unsupported
from ....runtime.op import Operation
from ....runtime.ops.sliding import Pairs
from ...deferred import Deferred
from ..builder import Value
from ..layer import Layer, keras
from .activations import activate
from .axes import as_layer, channels_last, per_axis, spatial


def windows(layer: Layer) -> dict[str, Any]:
    """The options all convolutions have in common."""
    return {
        "kernel_size": per_axis(layer, "kernel_size"),
        "strides": per_axis(layer, "strides", 1),
        "padding": padding_of(layer),
        "dilation": per_axis(layer, "dilation_rate", 1),
    }


def padding_of(layer: Layer) -> Any:
    """A name, or what Theano padded: (before, after) for each spatial axis."""
    padding = layer.get("padding", "valid")
    return tuple((int(a), int(b)) for a, b in padding) if isinstance(padding, list) else padding


def oriented(layer: Layer, kernel: Deferred, axes: int) -> Deferred:
    """Theano convolves where others correlate: its kernels are stored turned round."""
    if not layer.origin.turns_kernels:
        return kernel
    turned = (slice(None, None, -1),) * axes
    return kernel.map(lambda array: array[turned])


def _convolved(layer: Layer, op: Operation, x: Value, arrays: dict[str, Deferred]) -> Value:
    y = layer.add(op, channels_last(layer, x), **arrays)
    return activate(layer, as_layer(layer, y))


@keras("Conv1D", "Conv2D", "Conv3D")
def convolution(layer: Layer, x: Value) -> Value:
    op = ops.Convolution(
        layer["filters"],
        **windows(layer),
        groups=layer.get("groups", 1),
        use_bias=bool(layer.get("use_bias", True)),
    )
    arrays = layer.take("kernel", *["bias"] * op.use_bias)
    arrays["kernel"] = oriented(layer, arrays["kernel"], spatial(layer))
    return _convolved(layer, op, x, arrays)


@keras("DepthwiseConv1D", "DepthwiseConv2D")
def depthwise(layer: Layer, x: Value) -> Value:
    layer.get("groups", 1)  # Keras 2 has the option, and does nothing with it
    op = ops.DepthwiseConvolution(
        **windows(layer),
        multiplier=layer.get("depth_multiplier", 1),
        use_bias=bool(layer.get("use_bias", True)),
    )
    # Keras 3 calls the array kernel, earlier versions depthwise_kernel.
    arrays = layer.take(kernel="depthwise_kernel|kernel")
    arrays |= layer.take(*["bias"] * op.use_bias)
    return _convolved(layer, op, x, arrays)


@keras("SeparableConv1D", "SeparableConv2D")
def separable(layer: Layer, x: Value) -> Value:
    layer.get("groups", 1)  # as above
    sliding, count = windows(layer), spatial(layer)
    multiplier, bias = layer.get("depth_multiplier", 1), bool(layer.get("use_bias", True))
    each = ops.DepthwiseConvolution(**sliding, multiplier=multiplier, use_bias=False)
    across = ops.Convolution(layer["filters"], (1,) * count, use_bias=bias)
    parts = layer.take("depthwise_kernel", "pointwise_kernel", *["bias"] * bias)
    x = layer.add(each, channels_last(layer, x), kernel=parts.pop("depthwise_kernel"))
    y = layer.add(across, x, kernel=parts.pop("pointwise_kernel"), **parts)
    return activate(layer, as_layer(layer, y))


@keras("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
def transposed(layer: Layer, x: Value) -> Value:
    layer.get("groups", 1)  # Keras 2 has the option, and does nothing with it
    sliding, padded = windows(layer), layer.get("output_padding", None) is not None
    if layer.kind == "Conv3DTranspose" and layer.generation < 3:
        sliding["dilation"] = ()  # Keras 2 has the option, and does nothing with it
    more = per_axis(layer, "output_padding") if padded else None
    if (told := layer.get("output_shape", None)) is not None:
        sliding["padding"], more = _cropped_to(layer, channels_last(layer, x), sliding, told)
    op = ops.TransposedConvolution(
        layer["filters"],
        **sliding,
        output_padding=more,
        use_bias=bool(layer.get("use_bias", True)),
    )
    arrays = layer.take("kernel", *["bias"] * op.use_bias)
    arrays["kernel"] = oriented(layer, arrays["kernel"], spatial(layer))
    return _convolved(layer, op, x, arrays)


def _cropped_to(
    layer: Layer, x: Value, sliding: dict[str, Any], told: Sequence[int]
) -> tuple[Pairs, tuple[int, ...]]:
    """(padding, output padding) that give the size Keras 1 is told.

    Theano crops what it is told to crop, TensorFlow for "same" what is too much, the odd one after;
    zeros fill the rest.
    """
    crops: list[tuple[int, int]] = []
    rest: list[int] = []
    for axis, size in enumerate(layer.shape(x)[1:-1]):
        if not isinstance(size, int):
            raise Unsupported(f"{layer.title}: output_shape {told} is for a size that is open")
        whole = (size - 1) * sliding["strides"][axis] + sliding["kernel_size"][axis]
        if isinstance(sliding["padding"], tuple):
            crops.append(sliding["padding"][axis])
        else:
            over = max(whole - told[axis], 0) if sliding["padding"] == "same" else 0
            crops.append((over // 2, over - over // 2))
        rest.append(told[axis] - whole + sum(crops[-1]))
    return tuple(crops), tuple(rest)
