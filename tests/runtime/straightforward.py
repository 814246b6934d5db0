"""The networks computed as one would write them down: float64, a fresh array for everything.

What plans compute is held against it. It knows nothing of them, but for the random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cortex.runtime.ir import Graph, Node
from cortex.runtime.losses import CrossEntropy, Inner, MeanSquaredError, Term
from cortex.runtime.random import Clock, uniform, words

from .networks import Array


@dataclass
class Evaluation:
    """One run of a graph over all rows.

    ``bumps`` are added to values as they come to be. Nodes that are frozen use ``fixed`` where it
    has a parameter.
    """

    graph: Graph
    parameters: Mapping[str, Array]
    training: bool = False
    frozen: Collection[str] = ()
    bumps: Mapping[str, Array] = field(default_factory=dict)
    fixed: Mapping[str, Array] = field(default_factory=dict)
    values: dict[str, Array] = field(default_factory=dict)
    state: dict[str, Array] = field(default_factory=dict)

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Every value by name."""
        for name, array in inputs.items():
            self._set(name, np.asarray(array, np.float64))
        for index, node in enumerate(self.graph.nodes):
            known = {**self.parameters, **(self.fixed if node.name in self.frozen else {})}
            p = {local: known[name] for local, name in node.params.items()}
            x = [self.values[name] for name in node.inputs if name]
            found = self._compute(index, node, p, x)
            outputs = found if isinstance(found, tuple) else (found,)
            for name, array in zip(self.graph.values(node), outputs, strict=True):
                self._set(name, array)
        return self.values

    def loss(self, terms: Sequence[Term], targets: Mapping[str, Array]) -> float:
        """The sum of the terms."""
        return sum(
            term.weight * _LOSSES[type(term.loss)](self.values[term.on], targets[term.target])
            for term in terms
        )

    def _set(self, name: str, array: Array) -> None:
        self.values[name] = array + self.bumps[name] if name in self.bumps else array

    def _compute(self, index: int, node: Node, p: Mapping[str, Array], x: Sequence[Array]) -> Any:
        op: Any = node.op
        if op.kind == "dropout":
            if not self.training:
                return x[0]
            draws = words(0, index, Clock())(x[0].shape, 0)()
            return np.where(draws >= round(op.rate * 2**16), x[0] / (1 - op.rate), 0)
        if op.kind == "gaussian_noise":
            if not self.training:
                return x[0]
            one, other = np.moveaxis(uniform(0, index, Clock())((*x[0].shape, 2), 0)(), -1, 0)
            radius = np.sqrt(-2 * np.log((1 - one).astype(np.float64)))
            return x[0] + op.stddev * radius * np.cos((other * (2 * np.pi)).astype(np.float64))
        if op.kind == "batch_normalization":
            return self._normalized(node, op, p, x[0])
        return _simple(op, p, x)

    def _normalized(self, node: Node, op: Any, p: Mapping[str, Array], x: Array) -> Array:
        mean, variance = p["moving_mean"], p["moving_variance"]
        if self.training and node.name not in self.frozen:
            axes = tuple(range(x.ndim - 1))
            batch = {"moving_mean": x.mean(axes), "moving_variance": x.var(axes)}
            for local, value in batch.items():
                moved = op.momentum * p[local] + (1 - op.momentum) * value
                self.state[node.params[local]] = moved
            mean, variance = batch["moving_mean"], batch["moving_variance"]
        return p["gamma"] * (x - mean) / np.sqrt(variance + op.epsilon) + p["beta"]


def _softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def _stacked(x: Sequence[Array]) -> Array:
    return np.stack(np.broadcast_arrays(*x))


def _simple(op: Any, p: Mapping[str, Array], x: Sequence[Array]) -> Any:
    """The operations that are a line each."""
    first = x[0]
    match op.kind:
        case "dense":
            return first @ p["kernel"] + p["bias"]
        case "relu":
            return np.maximum(first, 0)
        case "tanh":
            return np.tanh(first)
        case "sigmoid":
            return 1 / (1 + np.exp(-first))
        case "softmax":
            return _softmax(first, op.axis)
        case "prelu":
            return np.where(first > 0, first, p["alpha"] * first)
        case "add":
            return _stacked(x).sum(0)
        case "subtract":
            return first - x[1]
        case "multiply":
            return _stacked(x).prod(0)
        case "average":
            return _stacked(x).mean(0)
        case "maximum":
            return _stacked(x).max(0)
        case "concatenate":
            return np.concatenate(x, op.axis)
        case "flatten":
            return first.reshape(len(first), -1)
        case "reshape":
            return first.reshape(len(first), *op.shape)
        case "transpose":
            return first.transpose(op.axes)
        case "zero_padding":
            return np.pad(first, [(0, 0), *op.padding, (0, 0)])
        case "halves":
            return tuple(np.split(first, 2, axis=-1))
        case kind:
            raise NotImplementedError(kind)


def _mean_squared_error(value: Array, target: Array) -> float:
    return float(np.mean((value - target) ** 2))


def _cross_entropy(value: Array, target: Array) -> float:
    return float(-np.mean(np.sum(target * np.log(value), axis=-1)))


def _inner(value: Array, target: Array) -> float:
    return float(np.sum(value * target) / len(value))


_LOSSES: Mapping[type, Callable[[Array, Array], float]] = {
    MeanSquaredError: _mean_squared_error,
    CrossEntropy: _cross_entropy,
    Inner: _inner,
}


def slope_of(loss: Callable[[float], float], h: float = 1e-6) -> tuple[float, bool]:
    """The slope at 0, and whether the function has a kink there."""
    below, here, above = loss(-h), loss(0), loss(h)
    slope = (above - below) / (2 * h)
    return slope, abs(above - 2 * here + below) / h > 1e-4 * abs(slope) + 1e-6
