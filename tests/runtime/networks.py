"""Graphs and networks that several tests use."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import CodeType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortex.runtime.frame import Frame
from cortex.runtime.ir import Graph, Layer, Node
from cortex.runtime.network import Network
from cortex.runtime.op import Operation, Steps
from cortex.runtime.ops import (
    Add,
    BatchNormalization,
    Convolution,
    Dense,
    Dropout,
    Flatten,
    MaxPooling,
    Relu,
    Softmax,
)
from cortex.runtime.tensor import Size, Tensor

Array = NDArray[Any]


@dataclass(frozen=True)
class Halves(Operation):
    """The two halves of the last axis, as two outputs; a second input, or none, changes nothing.

    It is not registered: nothing but a graph that is built with it knows it.
    """

    kind = "halves"

    def infer(self, x: Tensor, other: Tensor | None = None) -> tuple[Tensor, ...]:
        half = Tensor((*x.shape[:-1], int(x.shape[-1]) // 2))
        return half, half

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        def parts(whole: Array) -> tuple[Array, Array]:
            width = whole.shape[-1] // 2
            return whole[..., :width], whole[..., width:]

        def forward() -> None:
            for part, half in zip(parts(at.x[0]), at.y, strict=True):
                at.xp.copyto(half, part)

        def backward() -> None:
            for dx in at.dx:
                if dx is not None:
                    dx.fill(0)
            if at.dx[0] is not None:
                for part, half in zip(parts(at.dx[0]), at.dy, strict=True):
                    if half is not None:
                        at.xp.copyto(part, half)

        return forward, backward if at.grads else None


class Chain:
    """Builds a graph node by node; ``add`` returns the name of the new value."""

    def __init__(self, **inputs: Tensor) -> None:
        self.inputs = inputs
        self.nodes: list[Node] = []
        self.layers: dict[str, Layer] = {}

    def add(
        self, op: Operation, *inputs: str, name: str = "", shares: Mapping[str, str] | None = None
    ) -> str:
        """Adds ``op``; its parameters are its own but for those in ``shares``."""
        name = name or f"{op.kind}{len(self.nodes)}"
        known = Graph(self.inputs, tuple(self.nodes), {}).types
        types = [known[value] if value else None for value in inputs]
        params = {local: f"{name}/{local}" for local in op.params(*types)} | dict(shares or {})
        self.nodes.append(Node(name, op, inputs, params, name))
        self.layers[name] = Layer(name, op.kind)
        return name

    def graph(self, *outputs: str) -> Graph:
        """The graph, its outputs called as their values."""
        return Graph(self.inputs, tuple(self.nodes), {v: v for v in outputs}, self.layers)


def with_parameters(graph: Graph, seed: int = 0, dtype: Any = np.float32) -> Network:
    """The network with random parameters; variances and scales are positive."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for name, spec in graph.parameters.items():
        shape = tuple(int(n) for n in spec.shape)
        fan = shape[0] if len(shape) > 1 else 1
        array = rng.normal(size=shape) / np.sqrt(fan)
        if name.endswith(("gamma", "moving_variance")):
            array = rng.uniform(0.5, 1.5, shape)
        arrays[name] = array.astype(dtype)
    return Network(graph, arrays)


def mlp(*widths: int, softmax: bool = True) -> Graph:
    """Fully connected layers with relu between them, from ``x``; a softmax at the end."""
    chain = Chain(x=Tensor(("N", widths[0])))
    value = "x"
    for i, width in enumerate(widths[1:], 1):
        value = chain.add(Dense(width), value, name=f"dense{i}")
        if i < len(widths) - 1:
            value = chain.add(Relu(), value, name=f"relu{i}")
    if softmax:
        value = chain.add(Softmax(), value, name="probabilities")
    return chain.graph(value)


def evaluated(size: Size, **names: float | Fraction) -> int:
    """What the text of a size says of numbers; floats are exact enough for small ones."""
    return int(eval(_compiled(str(size)), {"ceil": math.ceil, **names}))


@functools.cache
def _compiled(text: str) -> CodeType:
    return compile(text, "size", "eval")


def drawn(shape: Sequence[int], seed: int = 0, dtype: Any = np.float32) -> Array:
    """Normal numbers."""
    return np.random.default_rng(seed).normal(size=tuple(shape)).astype(dtype)


def deep() -> Graph:
    """A network that trains by everything there is: batch statistics, dropout, residuals."""
    chain = Chain(x=Tensor(("N", 12)))
    value = "x"
    for i in range(3):
        inner = chain.add(Dense(12), value, name=f"dense{i}")
        normal = chain.add(BatchNormalization(), inner)
        active = chain.add(Relu(), normal)
        kept = chain.add(Dropout(0.3), active)
        value = chain.add(Add(), value, kept)
    return chain.graph(chain.add(Softmax(), chain.add(Dense(4), value), name="probabilities"))


def convnet() -> Graph:
    """A small network of convolutions, pooling and batch statistics."""
    chain = Chain(x=Tensor(("N", 12, 12, 1)))
    value = "x"
    for filters in (8, 16):
        value = chain.add(Convolution(filters, (3, 3), padding="same"), value)
        value = chain.add(BatchNormalization(), value)
        value = chain.add(Relu(), value)
        value = chain.add(MaxPooling((2, 2)), value)
    value = chain.add(Dense(10), chain.add(Flatten(), value))
    return chain.graph(chain.add(Softmax(), value, name="probabilities"))
