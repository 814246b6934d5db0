"""Converters: layers that only Keras 0 and 1 had."""

from __future__ import annotations

from ....runtime import ops
from ...deferred import Deferred
from ..arrays import Arrays
from ..builder import Value
from ..keras1 import Writer, translate
from ..layer import Layer, Result, keras
from ..origin import THEANO
from .activations import activate


@keras("Merge")
def merge(layer: Layer, *x: Value) -> Result:
    """The one merging layer of Keras 1, which Keras 2 still wrote for a while."""
    layer.read_all()
    entry = translate({"class_name": "Merge", "config": dict(layer.config)})
    return layer.inner(entry, Arrays()).convert(*x)


@keras("MaxoutDense")
def maxout_dense(layer: Layer, x: Value) -> Value:
    """The largest of several dense layers' outputs, unit by unit."""
    units, count, bias = layer["units"], layer["nb_feature"], bool(layer.get("use_bias", True))
    arrays = layer.take("kernel", *["bias"] * bias)
    arrays["kernel"] = arrays["kernel"].map(
        lambda kernel: kernel.transpose(1, 0, 2).reshape(kernel.shape[1], -1)
    )
    if bias:
        arrays["bias"] = arrays["bias"].map(lambda array: array.reshape(-1))
    each = layer.add(ops.Dense(units * count, bias), x, **arrays)
    return layer.add(ops.ReduceMax((1,)), layer.add(ops.Reshape((count, units)), each))


@keras("Highway")
def highway(layer: Layer, x: Value) -> Value:
    """A dense layer and its input, mixed by a gate: t h(x) + (1 - t) x = x + t (h(x) - x)."""
    bias = bool(layer.get("use_bias", True))
    width = int(layer.shape(x)[-1])
    arrays = layer.take("kernel", *["bias"] * bias)
    gate = layer.take(kernel="kernel_carry", **({"bias": "bias_carry"} if bias else {}))
    h = activate(layer, layer.add(ops.Dense(width, bias), x, **arrays))
    t = layer.add(ops.Sigmoid(), layer.add(ops.Dense(width, bias), x, **gate))
    change = layer.add(ops.Multiply(), t, layer.add(ops.Subtract(), h, x))
    return layer.add(ops.Add(), x, change)


@keras("ParametricSoftplus", masks=True)
def parametric_softplus(layer: Layer, x: Value) -> Value:
    """A softplus with two slopes of its own: alpha softplus(beta x)."""
    alpha, beta = (parameter(layer, array) for array in layer.take("alpha", "beta").values())
    for option in ("alpha_init", "beta_init", "weights"):
        layer.get(option, None)
    inner = layer.add(ops.Softplus(), layer.add(ops.Multiply(), x, beta))
    return layer.add(ops.Multiply(), inner, alpha)


@keras("SReLU", masks=True)
def s_relu(layer: Layer, x: Value) -> Value:
    """The identity between two thresholds, and a slope of its own beyond each.

    The right threshold is stored as its distance from the left one.
    """
    names = ("t_left", "a_left", "t_right", "a_right")
    low, below, right, above = (parameter(layer, a) for a in layer.take(*names).values())
    distance = layer.add(ops.Abs(), right)
    high = layer.add(ops.Add(), low, distance)
    middle = layer.add(ops.Minimum(), layer.add(ops.Maximum(), x, low), high)
    under = layer.add(ops.Minimum(), layer.add(ops.Subtract(), x, low), layer.constant(0.0))
    over = layer.add(ops.Relu(), layer.add(ops.Subtract(), x, high))
    under, over = (
        layer.add(ops.Multiply(), part, slope) for part, slope in ((under, below), (over, above))
    )
    if layer.origin.backend == THEANO:  # a slope below zero does not lead higher than the middle
        under = layer.add(ops.Minimum(), under, distance)
    return layer.add(ops.Add(), middle, under, over)


@keras("ThresholdedLinear", masks=True)
def thresholded_linear(layer: Layer, x: Value) -> Value:
    """The input, and zero where it is closer to zero than a number."""
    theta = layer.constant(float(layer.get("theta", 1.0)))
    near = layer.add(ops.Less(), layer.add(ops.Abs(), x), theta)
    return layer.add(ops.Where(), near, layer.constant(0.0), x)


TOGETHER = {"max": ops.ReduceMax, "mul": ops.ReduceProd, "sum": ops.ReduceSum}


@keras("TimeDistributedMerge")
def time_distributed_merge(layer: Layer, x: Value) -> Value:
    """The steps of a series as one, in one of the ways that have no class of their own."""
    mode = layer.get("mode", "sum")
    if mode not in TOGETHER:
        raise layer.refuse("mode", mode)
    return layer.add(TOGETHER[mode]((1,)), x)


def normalized_by_sample(layer: Layer, x: Value, epsilon: float) -> Value:
    """BatchNormalization of mode 1: each row by the moments of its own last axis."""
    mean = layer.add(ops.ReduceMean((-1,), keepdims=True), x)
    centred = layer.add(ops.Subtract(), x, mean)
    variance = layer.add(ops.ReduceMean((-1,), keepdims=True), layer.add(ops.Square(), centred))
    inside = 0.0 if Writer(version=layer.origin.version).is_before(1, 0, 5) else epsilon
    deviation = layer.add(ops.Sqrt(), layer.add(ops.Scale(1.0, inside), variance))
    scaled = layer.add(ops.Divide(), centred, layer.add(ops.Scale(1.0, epsilon), deviation))
    gamma, beta = (parameter(layer, array) for array in layer.take("gamma", "beta").values())
    return layer.add(ops.Add(), layer.add(ops.Multiply(), scaled, gamma), beta)


def parameter(layer: Layer, array: Deferred) -> Value:
    """An array of the layer as a tensor."""
    return layer.add(ops.Constant(array.shape), value=array)
