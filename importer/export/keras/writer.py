"""From a network to a model of Keras: every node through the form of its operation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ....runtime.check import Array
from ....runtime.errors import Unsupported
from ....runtime.ir import Graph, input_types
from ....runtime.ir import Node as GraphNode
from ....runtime.network import Network
from ....runtime.op import Operation
from ....runtime.ops import Constant, Literal
from ....runtime.tensor import STRING
from . import forms as forms  # registers them
from .model import LAYERS, Arguments, KerasLayer, KerasModel, Output
from .node import CONSTANTS, Node, form, keras_dtype, sizes
from .order import in_order

LARGEST_CONSTANT = 1 << 16
"""Elements: constants stand in the model's configuration, as text."""
MOST_NAMED = 20


@dataclass(frozen=True)
class Written:
    """A model of Keras, and what of the network could not be kept."""

    model: KerasModel
    notes: tuple[str, ...]


def keras_model(network: Network, name: str) -> Written:
    """The network as a model of Keras 3.

    Raises:
        Unsupported: operations that Keras has no layer for, all by name.
    """
    graph = network.graph
    pruned = graph.leading_to(graph.outputs.values(), graph.outputs)
    writer = Writer(replace(pruned, inputs=graph.inputs, states=graph.states), network)
    _check_forms(writer.graph)
    return writer.write(name)


def has_form(op: Operation) -> bool:
    """Whether an operation can be written at all."""
    return type(op) in form or isinstance(op, Constant | Literal)


def _check_forms(graph: Graph) -> None:
    without = [node for node in graph.nodes if not has_form(node.op)]
    if without:
        named = ", ".join(f"{node.op.kind} ({node.title})" for node in without[:MOST_NAMED])
        more = f" and {len(without) - MOST_NAMED} more" if len(without) > MOST_NAMED else ""
        raise Unsupported(f"Keras has no form for {named}{more}; export to onnx instead")
    strings = [name for name, tensor in graph.inputs.items() if tensor.dtype == STRING]
    if strings:
        raise Unsupported(f"input {strings[0]!r}: it is of strings, which no form is for")


@dataclass
class Writer:
    """The model as it grows. ``values`` are outputs of Keras, or arrays that are constant."""

    graph: Graph
    network: Network
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    layers: list[KerasLayer] = field(default_factory=list[KerasLayer])
    shared: dict[Any, KerasLayer] = field(default_factory=dict[Any, KerasLayer])
    notes: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    named: set[KerasLayer] = field(default_factory=set[KerasLayer])

    @cached_property
    def _used(self) -> set[str]:
        """The values that a node needs, or that are outputs."""
        needed = {name for node in self.graph.nodes for name in node.inputs}
        return needed.union(self.graph.outputs.values())

    def write(self, name: str) -> Written:
        """All of it."""
        graph = self.graph
        wanted = _wanted(graph)
        inputs = [self._input(title) for title in graph.inputs]
        problems: list[str] = []
        for node in graph.nodes:
            try:
                self._node(node)
            except Unsupported as error:
                problems.append(str(error))
                self.values |= dict.fromkeys(graph.values(node), inputs[0] if inputs else None)
                continue
            for value in graph.values(node):
                self._name(self.values[value], wanted.get(value), node)
        if problems:
            raise Unsupported("; ".join(problems))
        outputs = [self._output(title, value) for title, value in graph.outputs.items()]
        layers = in_order(inputs, outputs)
        _settle_names(layers)
        self._tell()
        return Written(KerasModel(_fit(name), layers, inputs, outputs), tuple(self._told()))

    def call(
        self,
        kind: str,
        module: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        config: Mapping[str, Any],
        arrays: Mapping[str, Array],
        inside: str,
        shared: Any,
    ) -> Output:
        """As ``Sink``."""
        layer = self.shared.get(shared) if shared else None
        if layer is None:
            layer = KerasLayer(kind, module, "", config, arrays, inside)
            self.layers.append(layer)
            if shared:
                self.shared[shared] = layer
        layer.calls.append(Arguments(args, kwargs))
        return Output(layer, len(layer.calls) - 1)

    def _input(self, name: str) -> Output:
        tensor = self.graph.inputs[name]
        shape, dtype = sizes(tensor.shape), keras_dtype(tensor.dtype)
        config = {"batch_shape": [None, *shape[1:]], "dtype": dtype}
        layer = KerasLayer("InputLayer", LAYERS, _fit(name), config)
        self.named.add(layer)
        self.values[name] = Output(layer, 0, 0, shape, dtype)
        return self.values[name]

    def _node(self, node: GraphNode) -> None:
        graph = self.graph
        given = [self.values[name] if name else None for name in node.inputs]
        if not any(isinstance(one, Output) for one in given):
            for name in graph.values(node):
                self.values[name] = self._constant(node, name)
            return
        written = Node(
            node,
            input_types(node, graph.types),
            [graph.types[name] for name in graph.values(node)],
            [name in self._used for name in graph.values(node)],
            {local: np.asarray(self.network.parameters[n]) for local, n in node.params.items()},
            self,
            self.notes,
        )
        outputs = written.write(given)
        for name, output in zip(graph.values(node), outputs, strict=True):
            tensor = graph.types[name]
            shape, dtype = sizes(tensor.shape), keras_dtype(tensor.dtype)
            self.values[name] = output and replace(output, shape=shape, dtype=dtype)

    def _constant(self, node: GraphNode, name: str) -> Array:
        """A value that depends on no input."""
        alone = self.graph.leading_to([name], {name: name})
        found = Network(alone, self.network.parameters).run({})[name]
        if found.size > LARGEST_CONSTANT:
            raise Unsupported(
                f"{node.title}: a constant of {found.size:,} numbers, for which Keras has no layer"
            )
        if node.params:
            self.notes.setdefault(CONSTANTS, []).append(node.layer or node.name)
        return found

    def _name(self, output: Any, wanted: str | None, node: GraphNode) -> None:
        """Gives a layer the name that people know it by; the first one that it has."""
        if not isinstance(output, Output) or output.layer in self.named:
            return
        output.layer.name = _fit(wanted or node.name)
        if wanted:
            self.named.add(output.layer)

    def _output(self, title: str, value: str) -> Output:
        found = self.values[value]
        if not isinstance(found, Output):
            raise Unsupported(f"output {title!r}: it depends on no input")
        return found

    def _told(self) -> Iterator[str]:
        for what, where in self.notes.items():
            yield f"{what}: {', '.join(dict.fromkeys(where))}" if where else what

    def _tell(self) -> None:
        """What of the network the model does not say."""
        homes: dict[str, set[Any]] = {}
        for key in self.shared:
            for _, param in key[1]:
                homes.setdefault(param, set()).add(key[:2])
        apart = [param for param, keys in homes.items() if len(keys) > 1]
        if apart:
            self.notes["shared by layers, and now each one's own"] = apart
        for given, kept in self.graph.states.items():
            states = self.notes.setdefault("states that whoever runs the model hands on", [])
            states.append(f"from {kept} to {given}")
        if any(layer.axes for layer in self.graph.layers.values()):
            self.notes["axes are in the order of Keras, channels last; the source has another"] = []


def _wanted(graph: Graph) -> dict[str, str]:
    """For each value the name that its layer is to have: that of a layer, else of an output."""
    names = {value: title for title, value in graph.outputs.items()}
    return names | {layer.value: title for title, layer in graph.layers.items()}


def _fit(name: str) -> str:
    """A name as Keras takes it."""
    return re.sub(r"[^\w.\-]+", "_", name) or "layer"


def _settle_names(layers: Sequence[KerasLayer]) -> None:
    """Every layer has a name of its own."""
    taken = set[str]()
    for layer in layers:
        stem = layer.name or layer.kind.lower()
        name, number = stem, 1
        while name in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(name)
        layer.name = name
