"""Fully connected layers, what may follow a product, and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import ops
from ..op import Operation
from .activations import activation
from .layers import LayerSpec, layer
from .net import Net

NORMALIZATION = ops.BatchNormalization((-1,), 1e-4, 0.9)
"""What ``normalize`` stands for."""


@dataclass(frozen=True, kw_only=True)
class Product(LayerSpec):
    """A layer that multiplies by weights; what may follow belongs to it.

    Attributes:
        bias: whether something is added to the product; by default unless it is normalised.
        normalize: batch normalization follows, whose offset stands for the bias.
        activation: the name of the activation that follows.
    """

    bias: bool | None = None
    normalize: bool = False
    activation: str = ""

    @property
    def biased(self) -> bool:
        """Whether it has a bias.

        Raises:
            ValueError: it is to have a bias and be normalised, which would take it off again.
        """
        if self.bias and self.normalize:
            raise ValueError("give it a bias or normalize it, not both")
        return not self.normalize if self.bias is None else self.bias

    def product(
        self, net: Net, op: Operation, name: str, *x: str, params: Mapping[str, str] | None = None
    ) -> str:
        """Adds the product and what follows it."""
        then: list[Operation] = []
        if self.normalize:
            then.append(NORMALIZATION)
        if self.activation:
            then.append(activation(self.activation))
        last = f"{name}/{op.kind}" if then else name
        own = {local: f"{name}/{local}" for local in op.params(net.types[x[0]])}
        value = self.add(net, op, last, *x, params={**own, **(params or {})})
        for i, follows in enumerate(then, 1):
            last = name if i == len(then) else f"{name}/{follows.kind}"
            value = self.add(net, follows, last, value)
        return value


@layer("linear", "dense", "affine")
class Linear(Product):
    """y = x @ kernel + bias over all of an example; with ``flatten=False`` over the last axis.

    ``tied`` names a layer whose kernel, transposed, is this one's.
    """

    units: int
    flatten: bool = field(default=True, kw_only=True)
    tied: str = field(default="", kw_only=True)

    def build(self, net: Net, name: str, *x: str) -> str:
        if self.flatten and net.types[x[0]].rank > 2:
            x = (net.add(ops.Flatten(), x[0], name=f"{name}/flat"),)
        if not self.tied:
            return self.product(net, ops.Dense(self.units, self.biased), name, *x)
        size = net.types[x[0]].shape[-1]
        if not isinstance(size, int):
            raise ValueError("its input has an open size")
        bias = (self.units,) if self.biased else None
        op = ops.EinsumDense("...b,cb->...c", (self.units, size), bias)
        return self.product(net, op, name, *x, params={"kernel": net.kernel(self.tied)})


def _declare(kind: str) -> None:
    """Declares a composite: a linear layer and its activation, as the first seed names them."""

    class Composite(Linear):
        activation: str = field(default=kind, kw_only=True)

    Composite.__doc__ = f"A linear layer and {kind}."
    Composite.__module__ = __name__
    Composite.__qualname__ = Composite.__name__ = f"Linear{kind.title()}"
    layer(f"linear_{kind}")(Composite)


for _kind in ("relu", "softmax", "tanh", "logistic", "swish", "selu"):
    _declare(_kind)


@layer("embedding", "lookup_table")
class Embedding(LayerSpec):
    """A vector for each id; that of the id ``pad`` is zero and stays so."""

    vocabulary: int = field(kw_only=True)
    units: int = field(kw_only=True)
    pad: int | None = field(default=None, kw_only=True)

    def build(self, net: Net, name: str, *x: str) -> str:
        op = ops.Embedding(self.vocabulary, self.units)
        if self.pad is None:
            return self.add(net, op, name, *x)
        found = self.add(net, op, f"{name}/table", *x)
        counts = net.add(ops.NotEqual(self.pad), *x, name=f"{name}/counts")
        counts = net.add(ops.Cast("float"), counts, name=f"{name}/factor")
        counts = net.add(ops.ExpandDims((-1,)), counts, name=f"{name}/factors")
        return net.add(ops.Multiply(), found, counts, name=name)
