"""Activations as layers, and by name as what may follow a layer's product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from .. import ops
from ..op import Operation
from ..tensor import Tensor
from .layers import LayerSpec, layer

ACTIVATIONS: Mapping[str, Operation] = {
    "relu": ops.Relu(),
    "logistic": ops.Sigmoid(),
    "tanh": ops.Tanh(),
    "swish": ops.Silu(),
    "selu": ops.Selu(),
    "elu": ops.Elu(),
    "gelu": ops.Gelu(),
    "mish": ops.Mish(),
    "softplus": ops.Softplus(),
    "softsign": ops.Softsign(),
    "softmax": ops.Softmax(),
    "log_softmax": ops.LogSoftmax(),
}
"""Those that need no option, by name."""
OTHER_NAMES = {"sigmoid": "logistic", "silu": "swish"}


def activation(name: str) -> Operation:
    """The activation of that name.

    Raises:
        ValueError: there is none.
    """
    found = ACTIVATIONS.get(OTHER_NAMES.get(name, name))
    if found is None:
        raise ValueError(f"no activation is called {name!r}; there are {', '.join(ACTIVATIONS)}")
    return found


def _declare(kind: str, op: Operation) -> None:
    """Declares a layer without options."""

    def made(self: LayerSpec, *x: Tensor) -> Operation:
        return op

    members = {"__doc__": type(op).__doc__, "op": made, "__module__": __name__}
    names = [other for other, name in OTHER_NAMES.items() if name == kind]
    layer(kind, *names)(type(kind.title().replace("_", ""), (LayerSpec,), members))


for _kind, _op in ACTIVATIONS.items():
    if _kind not in ("relu", "elu"):
        _declare(_kind, _op)


@layer("relu", "rectlin")
class Relu(LayerSpec):
    """max(x, 0); with a ``slope`` leaky below zero, with a ``limit`` never above that."""

    slope: float = field(default=0.0, kw_only=True)
    limit: float | None = field(default=None, kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        return ops.Relu(negative_slope=self.slope, max_value=self.limit)


@layer("elu", "explin")
class Elu(LayerSpec):
    """x above zero, alpha * (exp(x) - 1) below."""

    alpha: float = field(default=1.0, kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        return ops.Elu(self.alpha)


@layer("scale", "normalizer")
class Scale(LayerSpec):
    """x * factor + offset, of numbers that are not learnt."""

    factor: float = field(default=1.0, kw_only=True)
    offset: float = field(default=0.0, kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        return ops.Scale(self.factor, self.offset)


@layer("prelu")
class Prelu(LayerSpec):
    """x above zero, and a slope that is learnt, one a channel, times x below."""

    def op(self, *x: Tensor) -> Operation:
        return ops.Prelu(tuple(range(1, x[0].rank - 1)))
