"""Activations by name, as Keras has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...runtime import ops
from ...runtime.op import Operation
from .layer import Layer

ACTIVATIONS: Mapping[str, Callable[[Layer], Operation | None]] = {
    "celu": lambda _: ops.Celu(),
    "elu": lambda _: ops.Elu(),
    "exponential": lambda _: ops.Exponential(),
    "gelu": lambda _: ops.Gelu(),
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
    "softplus": lambda _: ops.Softplus(),
    "softsign": lambda _: ops.Softsign(),
    "squareplus": lambda _: ops.Squareplus(),
    "swish": lambda _: ops.Silu(),
    "tanh": lambda _: ops.Tanh(),
    "tanh_shrink": lambda _: ops.TanhShrink(),
}


def activate(layer: Layer, x: str) -> str:
    """What the layer's option ``activation`` makes of a value."""
    name: Any = layer.get("activation", "linear")
    if name is None:
        return x
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise layer.refuse("activation", name)
    op = ACTIVATIONS[name](layer)
    return layer.add(op, x) if op else x
