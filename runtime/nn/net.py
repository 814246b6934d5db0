"""A network being written: nodes, what their parameters begin with, how they are to learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import GraphError
from ..ir import Graph, Layer, Node, node_parameters, output_types
from ..losses import Term
from ..network import Network
from ..op import Operation
from ..optim.update import Treatment
from ..tensor import Tensor
from ..training.model import Model
from .initializers import NAMED, STARTS, Initializer, Name

Initial = Initializer | Name | Any
"""An initialiser, the name of one, or the array itself."""
PASSING = {"max_pooling", "average_pooling", "batch_normalization", "dropout", "flatten", "reshape"}
"""What may lie between a layer and its activation."""
RECTIFIERS = {"relu", "prelu", "elu", "gelu", "silu", "selu", "mish"}


@dataclass(frozen=True)
class _Start:
    initial: Initial
    node: Node


class Net:
    """Collects nodes in the order in which they run; ``model`` is what came of it."""

    def __init__(self) -> None:
        self.inputs: dict[str, Tensor] = {}
        self.types: dict[str, Tensor] = {}
        self.terms: list[Term] = []
        self.layers: dict[str, Layer] = {}
        self._nodes: list[Node] = []
        self._starts: dict[str, _Start] = {}
        self._treatments: dict[str, Treatment] = {}
        self._frozen: set[str] = set()

    def input(self, name: str, tensor: Tensor) -> str:
        """A further input."""
        if name in self.types:
            raise GraphError(f"input {name!r}: the name is used twice")
        self.inputs[name] = self.types[name] = tensor
        return name

    def add(
        self,
        op: Operation,
        *inputs: str,
        name: str,
        initial: Mapping[str, Initial] | None = None,
        params: Mapping[str, str] | None = None,
        treatment: Treatment | None = None,
        frozen: bool = False,
    ) -> str:
        """A node called ``name``; its value.

        ``initial`` says what its parameters begin with, by local name, where that is not the usual;
        ``params`` gives it parameters that others have, by local name. ``treatment`` is for its
        weights, not for biases and statistics.
        """
        draft = Node(name, op, inputs, layer=name)
        outputs = output_types(draft, self.types)
        shared = params or {}
        own = {
            local: shared.get(local, f"{name}/{local}")
            for local in node_parameters(draft, self.types)
        }
        node = Node(name, op, inputs, own, name)
        self._nodes.append(node)
        self.types.update(outputs)
        for local, full in own.items():
            if full not in self._starts:
                usual = STARTS.get(local, "auto")
                self._starts[full] = _Start((initial or {}).get(local, usual), node)
                if treatment and local not in STARTS:
                    self._treatments[full] = treatment
        if frozen:
            self._frozen.add(name)
        return name

    def named(self, name: str, value: str, kind: str) -> None:
        """Makes a value the output of a layer."""
        self.layers[name] = Layer(value, kind)

    def read(self) -> set[str]:
        """Every value that a node reads."""
        return {value for node in self._nodes for value in node.inputs}

    def kind(self, value: str) -> str:
        """The kind of the operation that makes a value; empty for an input."""
        return next((node.op.kind for node in self._nodes if node.name == value), "")

    def model(self, outputs: Mapping[str, str], seed: int = 0) -> Model:
        """The network with its parameters drawn from ``seed``, and how it is to learn."""
        graph = Graph(self.inputs, tuple(self._nodes), outputs, self.layers)
        rng = np.random.default_rng(seed)
        arrays = {
            name: self._array(name, spec.shape, rng) for name, spec in graph.parameters.items()
        }
        return Model(
            Network(graph, arrays), tuple(self.terms), self._treatments, frozenset(self._frozen)
        )

    def _array(self, name: str, shape: tuple[Any, ...], rng: np.random.Generator) -> Any:
        start = self._starts[name]
        initial = start.initial
        if isinstance(initial, str):
            if initial == "auto":
                initial = "he" if self._is_rectified(start.node.name) else "xavier"
            if initial not in NAMED:
                raise GraphError(f"parameter {name!r}: no initialiser is called {initial!r}")
            initial = NAMED[initial]
        found = initial(shape, rng) if callable(initial) else initial
        array = np.asarray(found, np.float32)
        if array.shape != shape:
            raise GraphError(f"parameter {name!r}: it begins as {array.shape}, and is {shape}")
        return array

    def _is_rectified(self, value: str) -> bool:
        """Whether the next activation after a value is one for which half of the units rest."""
        for node in self._users(value):
            if node.op.kind in PASSING:
                return self._is_rectified(node.name)
            return node.op.kind in RECTIFIERS
        return False

    def _users(self, value: str) -> Iterator[Node]:
        return (node for node in self._nodes if value in node.inputs)
