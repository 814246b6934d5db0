"""Converters: functions of each element."""

from __future__ import annotations

import math

from ....runtime import ops
from ....runtime.errors import Unsupported
from ...builder import Value
from ...options import Options
from ..layer import Layer, caffe


@caffe("ReLU")
def relu(layer: Layer, x: Value) -> Value:
    param = layer.options("relu_param")
    return layer.each(ops.Relu(negative_slope=param.number("negative_slope", 0.0)), x)


@caffe("ELU")
def elu(layer: Layer, x: Value) -> Value:
    param = layer.options("elu_param")
    return layer.each(ops.Elu(param.number("alpha", 1.0)), x)


@caffe("Sigmoid")
def sigmoid(layer: Layer, x: Value) -> Value:
    layer.options("sigmoid_param")
    return layer.each(ops.Sigmoid(), x)


@caffe("TanH")
def tanh(layer: Layer, x: Value) -> Value:
    layer.options("tanh_param")
    return layer.each(ops.Tanh(), x)


@caffe("AbsVal")
def absolute(layer: Layer, x: Value) -> Value:
    return layer.each(ops.Abs(), x)


@caffe("BNLL")
def bnll(layer: Layer, x: Value) -> Value:
    """Log(1 + exp(x)), the binomial normal log likelihood."""
    return layer.each(ops.Softplus(), x)


@caffe("Swish")
def swish(layer: Layer, x: Value) -> Value:
    param = layer.options("swish_param")
    beta = param.number("beta", 1.0)
    inner = layer.each(ops.Scale(beta), x) if beta != 1 else x
    gate = layer.each(ops.Sigmoid(), inner)
    return Value(layer.add(ops.Multiply(), x.name, gate.name), x.axes)


@caffe("Clip")
def clip(layer: Layer, x: Value) -> Value:
    param = layer.options("clip_param")
    low, high = param.number("min"), param.number("max")
    return layer.each(ops.Clip(low, high), x)


def _scaled(layer: Layer, x: Value, factor: float, offset: float) -> Value:
    return x if (factor, offset) == (1, 0) else layer.each(ops.Scale(factor, offset), x)


def _base(layer: Layer, param: Options) -> float:
    """The logarithm of the base; -1 stands for e."""
    base = param.number("base", -1.0)
    if base != -1 and (base <= 0 or base == 1):
        raise Unsupported(f"{layer.title}: base {base} is none of a logarithm")
    return 1.0 if base == -1 else math.log(base)


@caffe("Exp")
def exponential(layer: Layer, x: Value) -> Value:
    """Base ** (shift + scale * x)."""
    param = layer.options("exp_param")
    log = _base(layer, param)
    scale, shift = param.number("scale", 1.0), param.number("shift", 0.0)
    return layer.each(ops.Exponential(), _scaled(layer, x, scale * log, shift * log))


@caffe("Log")
def logarithm(layer: Layer, x: Value) -> Value:
    """The logarithm of shift + scale * x."""
    param = layer.options("log_param")
    log = _base(layer, param)
    inner = _scaled(layer, x, param.number("scale", 1.0), param.number("shift", 0.0))
    return _scaled(layer, layer.each(ops.Log(), inner), 1 / log, 0)


@caffe("Power")
def power(layer: Layer, x: Value) -> Value:
    """(shift + scale * x) ** power."""
    param = layer.options("power_param")
    exponent = param.number("power", 1.0)
    scale, shift = param.number("scale", 1.0), param.number("shift", 0.0)
    if exponent == 1:
        return layer.each(ops.Scale(scale, shift), x)
    return layer.each(ops.Power(exponent), _scaled(layer, x, scale, shift))


@caffe("Threshold")
def threshold(layer: Layer, x: Value) -> Value:
    param = layer.options("threshold_param")
    above = ops.Greater(param.number("threshold", 0.0))
    return layer.each(ops.Cast("float"), layer.each(above, x))


@caffe("PReLU")
def prelu(layer: Layer, x: Value) -> Value:
    param, sizes = layer.options("prelu_param"), layer.sizes(x)
    rank = len(sizes) + 1
    shared = bool(param.get("channel_shared", False))
    alpha = layer.take_any()
    shape = (1,) * len(sizes) if shared else (*(1,) * (len(sizes) - 1), sizes[0])
    if math.prod(alpha.shape) != math.prod(shape):
        raise Unsupported(f"{layer.title}: {alpha.shape} slopes for {sizes[0]} channels")
    alpha = alpha.map(lambda array: array.reshape(shape))
    op = ops.Prelu(tuple(range(1, rank if shared else rank - 1)))
    return layer.images(op, x, alpha=alpha)


@caffe("Dropout")
def dropout(layer: Layer, x: Value) -> Value:
    """While training, elements are dropped, and the others scaled up, or all down in a test."""
    param = layer.options("dropout_param")
    rate = param.number("dropout_ratio", 0.5)
    if not 0 <= rate < 1:
        raise param.refuse("dropout_ratio")
    y = layer.each(ops.Dropout(rate), x)
    return y if param.get("scale_train", True) else _scaled(layer, y, 1 - rate, 0)
