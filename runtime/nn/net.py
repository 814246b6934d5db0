"""A network being written: nodes, what their parameters begin with, how they are to learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import GraphError
from ..ir import Graph, Layer, Node, node_parameters, output_types
from ..losses import Term
from ..losses.penalties import penalized
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
    """Collects nodes in the order in which they run; ``model`` is what came of it.

    Attributes:
        layer: the layer that is being added.
        outputs: those that the model it goes on from had, by name.
        inherited: the layers that this model had.
        learnt: values whose layer has a loss of its own, on another value.
    """

    def __init__(self) -> None:
        self.inputs: dict[str, Tensor] = {}
        self.types: dict[str, Tensor] = {}
        self.terms: list[Term] = []
        self.layers: dict[str, Layer] = {}
        self.layer = ""
        self.outputs: dict[str, str] = {}
        self.inherited: set[str] = set()
        self.learnt: set[str] = set()
        self._nodes: list[Node] = []
        self._values: dict[str, tuple[str, ...]] = {}
        self._starts: dict[str, _Start] = {}
        self._treatments: dict[str, Treatment] = {}
        self._frozen: set[str] = set()
        self._states: dict[str, str] = {}

    @classmethod
    def of(cls, model: Model) -> Net:
        """A network that goes on from a model: its arrays are what its parameters begin with."""
        net, graph = cls(), model.network.graph
        net.inputs.update(graph.inputs)
        net.types.update(graph.types)
        net.layers.update(graph.layers)
        net.inherited.update(graph.layers)
        kept = graph.states.values()
        net.outputs.update({name: at for name, at in graph.outputs.items() if name not in kept})
        net._nodes += graph.nodes
        net._values.update({node.name: graph.values(node) for node in graph.nodes})
        net._states.update({held: graph.outputs[kept] for held, kept in graph.states.items()})
        net._treatments.update(model.treatments)
        net._frozen.update(model.frozen)
        for node in graph.nodes:
            for full in node.params.values():
                net._starts[full] = _Start(model.network.parameters[full], node)
        return net

    def input(self, name: str, tensor: Tensor) -> str:
        """A further input."""
        if name in self.types:
            raise GraphError(f"input {name!r}: the name is used twice")
        self.inputs[name] = self.types[name] = tensor
        return name

    def carry(self, held: str, value: str) -> None:
        """Makes an input a state, which has in the next batch what ``value`` has in this one."""
        self._states[held] = value

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
        ``params`` gives it parameters that others have, by local name. Of ``treatment`` biases and
        statistics get no more than its factor.
        """
        draft = Node(name, op, inputs, layer=self.layer or name)
        outputs = output_types(draft, self.types)
        if used := [value for value, _ in outputs if value in self.types]:
            raise GraphError(f"{draft.title}: the name {used[0]!r} is used twice")
        shared = params or {}
        own = {
            local: shared.get(local, f"{name}/{local}")
            for local in node_parameters(draft, self.types)
        }
        node = Node(name, op, inputs, own, draft.layer)
        self._nodes.append(node)
        self._values[name] = tuple(value for value, _ in outputs)
        self.types.update(outputs)
        for local, full in own.items():
            if full not in self._starts:
                usual = STARTS.get(local, "auto")
                self._starts[full] = _Start((initial or {}).get(local, usual), node)
                self._treat(local, full, treatment)
        if frozen:
            self._frozen.add(name)
        return name

    def _treat(self, local: str, full: str, treatment: Treatment | None) -> None:
        if treatment and local in STARTS:
            treatment = Treatment(factor=treatment.factor)
        if treatment and treatment != Treatment():
            self._treatments[full] = treatment

    def has_parameter(self, name: str) -> bool:
        """Whether a parameter has this full name."""
        return name in self._starts

    def penalize(self, term: Term) -> None:
        """Makes a term on a parameter its penalty."""
        at = self._treatments.get(term.on, Treatment())
        self._treatments[term.on] = penalized(at, term)

    def named(self, name: str, value: str, kind: str) -> None:
        """Makes a value the output of a layer."""
        self.layers[name] = Layer(value, kind)

    def node(self, layer: str) -> Node:
        """The first node of a layer that has parameters.

        Raises:
            ValueError: there is none.
        """
        for node in self._nodes:
            if node.layer == layer and node.params:
                return node
        raise ValueError(f"no layer before it that has parameters is called {layer!r}")

    def kernel(self, layer: str) -> str:
        """The full name of a layer's kernel.

        Raises:
            ValueError: it has none.
        """
        params = self.node(layer).params
        if "kernel" not in params:
            raise ValueError(f"layer {layer!r} has no kernel")
        return params["kernel"]

    def shared(self, layer: str, part: str) -> Mapping[str, str]:
        """The full names of the parameters of a layer, or of its node ``LAYER/part``.

        Raises:
            ValueError: there is no such layer.
        """
        name = f"{layer}/{part}" if part else layer
        found = next((node for node in self._nodes if node.name == name), None)
        if found is None:
            raise ValueError(f"no layer before it is like it and called {layer!r}")
        return found.params

    def parts(self, layer: str) -> set[str]:
        """What the parameters of a layer can be called: ``local``, and ``part/local``."""
        found: set[str] = set()
        for node in self._nodes:
            if node.layer == layer:
                part = node.name[len(layer) + 1 :]
                found.update(node.params)
                found.update(f"{part}/{local}" for local in node.params if part)
        return found

    def read(self) -> set[str]:
        """Every value that a node reads, and the others that come from the same node."""
        read = {value for node in self._nodes for value in node.inputs}
        every = [self._values[node.name] for node in self._nodes]
        return read.union(*(values for values in every if read.intersection(values)))

    def is_learnt(self, value: str) -> bool:
        """Whether a loss is on a value, or its layer has one of its own."""
        return value in self.learnt or any(term.on == value for term in self.terms)

    def source(self, value: str) -> Operation | None:
        """The operation that makes a value; None for an input."""
        return next((node.op for node in self._nodes if node.name == value), None)

    def model(self, outputs: Mapping[str, str], seed: int = 0) -> Model:
        """The network with its parameters drawn from ``seed``, and how it is to learn."""
        kept = {held: f"{held}:next" for held in self._states}
        every = {**outputs, **{kept[held]: value for held, value in self._states.items()}}
        graph = Graph(self.inputs, tuple(self._nodes), every, self.layers, kept)
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
        array = np.array(found, np.float32)  # a copy: it will be trained in place
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
