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
from cortex.runtime.random import Clock, uniform

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
            draws = uniform(0, index, Clock())(x[0].shape, 0)()
            return np.where(draws >= np.float32(op.rate), x[0] / (1 - op.rate), 0)
        if op.kind == "gaussian_noise":
            if not self.training:
                return x[0]
            one, other = np.moveaxis(uniform(0, index, Clock())((*x[0].shape, 2), 0)(), -1, 0)
            radius = np.sqrt(-2 * np.log((1 - one).astype(np.float64)))
            return x[0] + op.stddev * radius * np.cos((other * (2 * np.pi)).astype(np.float64))
        if op.kind == "batch_normalization":
            return self._normalized(node, op, p, x[0])
        return _OPERATIONS[op.kind](op, p, *x)

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


def _softmax(op: Any, p: Mapping[str, Array], x: Array) -> Array:
    powers = np.exp(x - x.max(op.axis, keepdims=True))
    return powers / powers.sum(op.axis, keepdims=True)


def _affine(op: Any, p: Mapping[str, Array], x: Array) -> Array:
    return x @ p["kernel"] + p["bias"]


def _padded(op: Any, p: Mapping[str, Array], x: Array) -> Array:
    return np.pad(x, [(0, 0), *op.padding, (0, 0)])


_OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "dense": _affine,
    "relu": lambda op, p, x: np.maximum(x, 0),
    "tanh": lambda op, p, x: np.tanh(x),
    "sigmoid": lambda op, p, x: 1 / (1 + np.exp(-x)),
    "softmax": _softmax,
    "prelu": lambda op, p, x: np.where(x > 0, x, p["alpha"] * x),
    "add": lambda op, p, *x: sum(x),
    "subtract": lambda op, p, a, b: a - b,
    "multiply": lambda op, p, *x: np.prod(np.stack(np.broadcast_arrays(*x)), axis=0),
    "average": lambda op, p, *x: np.mean(np.stack(np.broadcast_arrays(*x)), axis=0),
    "maximum": lambda op, p, *x: np.max(np.stack(np.broadcast_arrays(*x)), axis=0),
    "concatenate": lambda op, p, *x: np.concatenate(x, op.axis),
    "flatten": lambda op, p, x: x.reshape(len(x), -1),
    "reshape": lambda op, p, x: x.reshape(len(x), *op.shape),
    "transpose": lambda op, p, x: x.transpose(op.axes),
    "zero_padding": _padded,
    "halves": lambda op, p, x, *_: tuple(np.split(x, 2, axis=-1)),
}


def _mean_squared_error(value: Array, target: Array) -> float:
    return float(np.mean((value - target) ** 2))


def _cross_entropy(value: Array, target: Array) -> float:
    return float(-np.sum(target * np.log(value)) / len(value))


def _inner(value: Array, target: Array) -> float:
    return float(np.sum(value * target) / len(value))


_LOSSES: Mapping[type, Callable[[Array, Array], float]] = {
    MeanSquaredError: _mean_squared_error,
    CrossEntropy: _cross_entropy,
    Inner: _inner,
}
