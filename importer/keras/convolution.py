"""Converters: convolutions, pooling, padding and cropping."""

from __future__ import annotations

from typing import Any

from ...runtime import ops
from ..deferred import Deferred
from .activations import activate
from .layer import REQUIRED, Layer, keras


def _axes(layer: Layer, option: str, default: Any = REQUIRED) -> tuple[int, ...]:
    """An option with a number per spatial axis; Keras takes one number for all."""
    value, count = layer.get(option, default), _spatial(layer)
    sizes = (value,) * count if isinstance(value, int) else tuple(value)
    if len(sizes) != count or not all(isinstance(n, int) for n in sizes):
        raise layer.refuse(option, value)
    return sizes


def _spatial(layer: Layer) -> int:
    return int(layer.kind.removesuffix("Transpose")[-2])


def _windows(layer: Layer) -> dict[str, Any]:
    """The options all convolutions have in common."""
    return {
        "kernel_size": _axes(layer, "kernel_size"),
        "strides": _axes(layer, "strides", 1),
        "padding": layer.get("padding", "valid"),
        "dilation": _axes(layer, "dilation_rate", 1),
    }


def _oriented(layer: Layer, kernel: Deferred) -> Deferred:
    """Theano convolves where others correlate: its kernels are stored turned round."""
    if layer.backend != "theano":
        return kernel
    turned = (slice(None, None, -1),) * _spatial(layer)
    return kernel.map(lambda array: array[turned])


@keras("Conv1D", "Conv2D")
def convolution(layer: Layer, x: str) -> str:
    op = ops.Convolution(
        layer["filters"],
        **_windows(layer),
        groups=layer.get("groups", 1),
        use_bias=bool(layer.get("use_bias", True)),
    )
    arrays = layer.take("kernel", *["bias"] * op.use_bias)
    arrays["kernel"] = _oriented(layer, arrays["kernel"])
    return activate(layer, layer.add(op, x, **arrays))


@keras("DepthwiseConv1D", "DepthwiseConv2D")
def depthwise(layer: Layer, x: str) -> str:
    op = ops.DepthwiseConvolution(
        **_windows(layer),
        multiplier=layer.get("depth_multiplier", 1),
        use_bias=bool(layer.get("use_bias", True)),
    )
    # Keras 3 calls the array kernel, earlier versions depthwise_kernel.
    stored = "kernel" if layer.has("kernel") else "depthwise_kernel"
    arrays = layer.take(*["bias"] * op.use_bias, kernel=stored)
    return activate(layer, layer.add(op, x, **arrays))


@keras("SeparableConv1D", "SeparableConv2D")
def separable(layer: Layer, x: str) -> str:
    windows, count = _windows(layer), _spatial(layer)
    multiplier, bias = layer.get("depth_multiplier", 1), bool(layer.get("use_bias", True))
    each = ops.DepthwiseConvolution(**windows, multiplier=multiplier, use_bias=False)
    across = ops.Convolution(layer["filters"], (1,) * count, use_bias=bias)
    parts = layer.take("depthwise_kernel", "pointwise_kernel", *["bias"] * bias)
    x = layer.add(each, x, kernel=parts.pop("depthwise_kernel"))
    x = layer.add(across, x, kernel=parts.pop("pointwise_kernel"), **parts)
    return activate(layer, x)


@keras("Conv1DTranspose", "Conv2DTranspose")
def transposed(layer: Layer, x: str) -> str:
    padded = layer.get("output_padding", None) is not None
    op = ops.TransposedConvolution(
        layer["filters"],
        **_windows(layer),
        output_padding=_axes(layer, "output_padding") if padded else None,
        use_bias=bool(layer.get("use_bias", True)),
    )
    arrays = layer.take("kernel", *["bias"] * op.use_bias)
    arrays["kernel"] = _oriented(layer, arrays["kernel"])
    return activate(layer, layer.add(op, x, **arrays))


@keras("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D")
def pooling(layer: Layer, x: str) -> str:
    size = _axes(layer, "pool_size")
    every = size if layer.get("strides", None) is None else _axes(layer, "strides")
    op = ops.MaxPooling if layer.kind.startswith("Max") else ops.AveragePooling
    return layer.add(op(size, every, layer.get("padding", "valid")), x)


@keras(
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D"
)
def global_pooling(layer: Layer, x: str) -> str:
    op = ops.GlobalMaxPooling if "Max" in layer.kind else ops.GlobalAveragePooling
    return layer.add(op(bool(layer.get("keepdims", False))), x)


@keras("ZeroPadding1D", "ZeroPadding2D")
def zero_padding(layer: Layer, x: str) -> str:
    return layer.add(ops.ZeroPadding(_pairs(layer, "padding")), x)


@keras("Cropping1D", "Cropping2D")
def cropping(layer: Layer, x: str) -> str:
    return layer.add(ops.Cropping(_pairs(layer, "cropping")), x)


def _pairs(layer: Layer, option: str) -> tuple[tuple[int, int], ...]:
    """(before, after) for each spatial axis; a number stands for both sides, one for all axes."""
    value, count = layer[option], _spatial(layer)
    if count == 1 and isinstance(value, list) and all(isinstance(n, int) for n in value):
        value = [value]
    entries = [value] * count if isinstance(value, int) else list(value)
    pairs = [(n, n) if isinstance(n, int) else tuple(n) for n in entries]
    if len(pairs) != count or any(len(pair) != 2 for pair in pairs):
        raise layer.refuse(option, value)
    return tuple((int(before), int(after)) for before, after in pairs)
