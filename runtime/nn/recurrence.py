"""Recurrent layers.

A layer gives its last state, or with ``return_sequences`` that of every step. A second input is a
mask: where it is false the step is passed over. A ``stateful`` layer begins with the states that
it ended the batch before with: row i of a batch goes on where row i of the last one ended, and the
gradient stops there (truncated back-propagation).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np

from .. import ops
from ..op import Operation
from ..tensor import Tensor
from .connected import NORMALIZATION
from .initializers import Shape, orthogonal
from .joining import JOINS
from .layers import LayerSpec, layer
from .net import Net

Both = Literal["concatenate", "+", "*", "average"]
CELL_NAMES = {"logistic": "sigmoid", "swish": "silu"}
"""What cells call activations that have another name among the layers."""


@dataclass(frozen=True, kw_only=True)
class Recurrence(LayerSpec):
    """What the three kinds have in common.

    Attributes:
        bidirectional: how what was read forwards and what was read backwards are joined.
        reverse: it begins with the last step.
        states_from: the recurrent layer, as wide, whose last states it begins with.
        normalize: batch normalization of what the inputs give, over all steps (Laurent et al.
            2016); the kernel is then called ``product/kernel``.
    """

    activation: str = "tanh"
    return_sequences: bool = False
    reverse: bool = False
    bidirectional: Both | None = None
    stateful: bool = False
    states_from: str = ""
    bias: bool = True
    normalize: bool = False

    states: ClassVar[tuple[str, ...]] = ("h",)

    def build(self, net: Net, name: str, *x: str) -> str:
        if not 1 <= len(x) <= 2:
            raise ValueError(f"needs a sequence and perhaps a mask, not {len(x)} inputs")
        if not self.bidirectional:
            return self._run(net, name, self.reverse, x)
        if self.stateful or self.states_from or self.reverse:
            raise ValueError("one that reads both ways has no states to begin with and no reverse")
        ends = [
            self._run(net, f"{name}/{way}", way == "backward", x) for way in ("forward", "backward")
        ]
        if self.bidirectional == "concatenate":
            return net.add(ops.Concatenate(), *ends, name=name)
        if self.bidirectional not in JOINS:
            raise ValueError(f"bidirectional {self.bidirectional!r} is no way to join")
        return net.add(JOINS[self.bidirectional], *ends, name=name)

    def cell(self, reverse: bool) -> Operation:
        """The operation."""
        raise NotImplementedError

    def _run(self, net: Net, name: str, reverse: bool, x: tuple[str, ...]) -> str:
        sequence, mask = (*x, "")[:2]
        if self.normalize:
            sequence = self._normalized(net, name, sequence, reverse)
        begin = self._begin(net, name)
        inputs = (sequence, mask, *begin) if begin else (sequence, mask)
        while not inputs[-1]:
            inputs = inputs[:-1]
        initial: dict[str, Any] = {"recurrent_kernel": orthogonal(1.0), **self.initial}
        if self.bias:
            initial = {"bias": self._bias, **initial}
        value = replace(self, initial=initial).add(net, self.cell(reverse), name, *inputs)
        if self.stateful:
            for i, state in enumerate(self.states, 1):
                net.carry(f"{name}/{state}", f"{value}:{i}")
        return value if self.return_sequences else f"{value}:1"

    def _normalized(self, net: Net, name: str, sequence: str, reverse: bool) -> str:
        """What the inputs give the cell before its states are added, brought to one scale."""
        if net.types[sequence].rank != 3:
            raise ValueError("needs a batch of sequences of vectors")
        width = self.cell(reverse).params(net.types[sequence])["recurrent_kernel"].shape[-1]
        product = ops.Dense(int(width), use_bias=False)
        value = self.add(net, product, f"{name}/product", sequence)
        return self.add(net, NORMALIZATION, f"{name}/normalization", value)

    def _begin(self, net: Net, name: str) -> tuple[str, ...]:
        """The values of the states it begins with."""
        if self.stateful and self.states_from:
            raise ValueError("it begins with its own states or with another's, not both")
        if self.states_from:
            node = net.node(self.states_from)
            values = tuple(f"{node.name}:{i}" for i, _ in enumerate(self.states, 1))
            if any(value not in net.types for value in values):
                raise ValueError(f"layer {self.states_from!r} has not its states")
            return values
        if self.stateful:
            type_ = Tensor(("N", self.units))  # type: ignore[attr-defined]
            return tuple(net.input(f"{name}/{state}", type_) for state in self.states)
        return ()

    def _bias(self, shape: Shape, rng: np.random.Generator) -> Any:
        return np.zeros(shape)


@layer("recurrent", "simple_rnn", "rnn")
class SimpleRNN(Recurrence):
    """h = activation(x @ kernel + h @ recurrent_kernel + bias)."""

    units: int

    def cell(self, reverse: bool) -> Operation:
        return ops.SimpleRNN(
            self.units, named(self.activation), self.bias, reverse, projected=self.normalize
        )


@layer("lstm")
class LSTM(Recurrence):
    """Long short-term memory; its gates are in, forget, candidate, out.

    ``forget_bias`` is what the forget gate's bias begins with (Jozefowicz et al. 2015).
    """

    units: int
    gate_activation: str = field(default="sigmoid", kw_only=True)
    forget_bias: float = field(default=1.0, kw_only=True)

    states: ClassVar[tuple[str, ...]] = ("h", "c")

    def cell(self, reverse: bool) -> Operation:
        gates = (named(self.activation), named(self.gate_activation))
        return ops.LSTM(self.units, *gates, self.bias, reverse, projected=self.normalize)

    def _bias(self, shape: Shape, rng: np.random.Generator) -> Any:
        bias = np.zeros(shape)
        bias[self.units : 2 * self.units] = self.forget_bias
        return bias


@layer("gru")
class GRU(Recurrence):
    """Gated recurrent units; the reset gate is before the product unless ``reset_after``."""

    units: int
    gate_activation: str = field(default="sigmoid", kw_only=True)
    reset_after: bool = field(default=False, kw_only=True)

    def cell(self, reverse: bool) -> Operation:
        gates = (named(self.activation), named(self.gate_activation))
        return ops.GRU(
            self.units, *gates, self.reset_after, self.bias, reverse, projected=self.normalize
        )


def named(activation: str) -> str:
    """An activation as cells name it."""
    return CELL_NAMES.get(activation, activation)
