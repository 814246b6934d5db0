"""Activations by name, as Keras has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ....runtime import ops
from ....runtime.op import Operation
from ....runtime.ops.elementwise import Elementwise
from ..arrays import Arrays
from ..builder import Value
from ..layer import CONVERTERS, Layer

ACTIVATIONS: Mapping[str, Callable[[Layer], Operation | None]] = {
    "celu": lambda _: ops.Celu(),
    "elu": lambda _: ops.Elu(),
    "exponential": lambda _: ops.Exponential(),
    "gelu": lambda _: ops.Gelu(),
    "glu": lambda _: ops.Glu(),
    "hard_shrink": lambda _: ops.HardShrink(),
    # Keras 3 took PyTorch's slope; before, it was 0.2.
    "hard_sigmoid": lambda layer: ops.HardSigmoid(1 / 6 if layer.generation > 2 else 0.2),
    "hard_silu": lambda _: ops.HardSilu(),
    "hard_swish": lambda _: ops.HardSilu(),
    "hard_tanh": lambda _: ops.HardTanh(),
    "leaky_relu": lambda _: ops.Relu(negative_slope=0.2),
    "linear": lambda _: None,
    "log_sigmoid": lambda _: ops.LogSigmoid(),
    "log_softmax": lambda _: ops.LogSoftmax(),
    "mish": lambda _: ops.Mish(),
    "relu": lambda _: ops.Relu(),
    "relu6": lambda _: ops.Relu(max_value=6.0),
    "selu": lambda _: ops.Selu(),
    "sigmoid": lambda _: ops.Sigmoid(),
    "silu": lambda _: ops.Silu(),
    "soft_shrink": lambda _: ops.SoftShrink(),
    "softmax": lambda _: ops.Softmax(),
    "softmax_v2": lambda _: ops.Softmax(),  # a name of TensorFlow 2.0
    "softplus": lambda _: ops.Softplus(),
    "softsign": lambda _: ops.Softsign(),
    "sparse_plus": lambda _: ops.SparsePlus(),
    "sparse_sigmoid": lambda _: ops.HardSigmoid(0.5),
    "sparsemax": lambda _: ops.Sparsemax(),
    "squareplus": lambda _: ops.Squareplus(),
    "swish": lambda _: ops.Silu(),
    "tanh": lambda _: ops.Tanh(),
    "tanh_shrink": lambda _: ops.TanhShrink(),
}


def activate(layer: Layer, x: Value) -> Value:
    """What the layer's option ``activation`` makes of a tensor."""
    given: Any = layer.get("activation", "linear")
    if given is None:
        return x
    name = activation_name(given)
    if name in ACTIVATIONS:
        return activated(layer, name, x)
    if isinstance(given, dict) and name in CONVERTERS:  # a layer in the place of a function
        return layer.inner(given, Arrays()).convert(x)
    if substitute := layer.builder.substitute_function(name):
        y = substitute.convert(layer.instead(str(name), {}), x)
        if isinstance(y, Value):
            return y
    raise layer.refuse("activation", name)


def activated(layer: Layer, name: str, x: Value) -> Value:
    """What the activation of a name makes of a tensor."""
    op = ACTIVATIONS[name](layer)
    if op is None:
        return x
    return layer.through(op, x) if isinstance(op, Elementwise) else layer.add(op, x)


def activation_name(activation: Any) -> Any:
    """The name of a function that is written as one or, as Keras 3 may, as an object."""
    if not isinstance(activation, dict):
        return activation
    config = activation.get("config")
    return config if isinstance(config, str) else activation.get("class_name")
