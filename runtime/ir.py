"""The graph of a network: small, frozen, checked when it is made. A ``Graph`` that exists is valid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import GraphError
from .op import OPERATIONS, Operation
from .tensor import Param, Tensor

Types = Mapping[str, Tensor]


@dataclass(frozen=True)
class Node:
    """One use of an operation.

    Its first output carries its name, further ones ``name:1``, ``name:2``. An input "" is an optional one left
    out. ``params`` maps the operation's names to those of the network, so nodes can share parameters.
    """

    name: str
    op: Operation
    inputs: tuple[str, ...]
    params: Mapping[str, str] = field(default_factory=dict)
    layer: str = ""
    """The layer of the source file it came from."""

    @property
    def title(self) -> str:
        """The node as an error names it."""
        return f"layer {self.layer!r}" if self.layer else f"node {self.name!r} ({self.op.kind})"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the source file: which value is its output, and in which layout the source has it.

    ``axes`` is the transposition from the value's layout to the source's; empty: none.
    """

    value: str
    kind: str = ""
    axes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """Nodes in an order they can run in, from named inputs to named outputs.

    ``outputs`` maps the name of each output to its value, ``layers`` that of each layer (and call) of the source file.
    ``types`` and ``parameters`` are derived: every value's type and every parameter's shape.

    Raises:
        GraphError: a name that is missing or used twice, or inputs that do not fit an operation.
    """

    inputs: Mapping[str, Tensor]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, str]
    layers: Mapping[str, Layer] = field(default_factory=dict)
    types: Types = field(init=False, repr=False, compare=False)
    parameters: Mapping[str, Param] = field(init=False, repr=False, compare=False)

    _values: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        types, values = _infer(self, {})
        object.__setattr__(self, "types", types)
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "parameters", _parameters(self.nodes, types))
        places = [("output", name, value) for name, value in self.outputs.items()]
        places += [("layer", name, layer.value) for name, layer in self.layers.items()]
        for what, name, value in places:
            if value not in types:
                raise GraphError(f"{what} {name!r}: no value is called {value!r}")

    def values(self, node: Node) -> tuple[str, ...]:
        """The names of the node's outputs."""
        return self._values[node.name]

    def leading_to(self, values: Iterable[str], outputs: Mapping[str, str]) -> Graph:
        """The part of the graph that computes ``values``, with ``outputs`` for its outputs."""
        needed = set(values)
        nodes: list[Node] = []
        for node in reversed(self.nodes):
            if needed.intersection(self.values(node)):
                nodes.append(node)
                needed.update(node.inputs)
        inputs = {name: tensor for name, tensor in self.inputs.items() if name in needed}
        layers = {name: layer for name, layer in self.layers.items() if layer.value in needed}
        return Graph(inputs, tuple(reversed(nodes)), outputs, layers)

    def to_json(self) -> str:
        """The graph as JSON; ``from_json`` reads it."""
        return json.dumps(
            {
                "inputs": {n: [list(t.shape), t.dtype] for n, t in self.inputs.items()},
                "nodes": [_node_to_json(node) for node in self.nodes],
                "outputs": dict(self.outputs),
                "layers": {n: [at.value, at.kind, list(at.axes)] for n, at in self.layers.items()},
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """Reads what ``to_json`` wrote.

        Raises:
            GraphError: not such text, an unknown operation, attributes of the wrong type, or an invalid graph.
        """
        try:
            data = json.loads(text)
            return cls(
                {n: Tensor(tuple(shape), dtype) for n, (shape, dtype) in data["inputs"].items()},
                tuple(_node_from_json(node) for node in data["nodes"]),
                data["outputs"],
                {n: Layer(v, kind, tuple(axes)) for n, (v, kind, axes) in data["layers"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise GraphError(f"not the JSON of a graph: {type(error).__name__}: {error}") from None


def _node_to_json(node: Node) -> dict[str, Any]:
    attributes = {f.name: getattr(node.op, f.name) for f in fields(node.op)}  # pyright: ignore[reportArgumentType]
    return {
        "name": node.name,
        "op": {"kind": node.op.kind, **attributes},
        "inputs": list(node.inputs),
        "params": dict(node.params),
        "layer": node.layer,
    }


def _node_from_json(data: Mapping[str, Any]) -> Node:
    from pydantic import TypeAdapter  # slow to import, and only a stored graph needs it

    from . import ops as ops  # registers them

    attributes = dict(data["op"])
    kind = attributes.pop("kind")
    if kind not in OPERATIONS:
        raise GraphError(f"node {data['name']!r}: no operation is called {kind!r}")
    op = TypeAdapter(OPERATIONS[kind]).validate_python(attributes)
    return Node(data["name"], op, tuple(data["inputs"]), dict(data["params"]), data["layer"])


def infer(graph: Graph, sizes: Mapping[str, int]) -> Types:
    """The type of every value, the open sizes named in ``sizes`` replaced by numbers.

    A graph runs it with none, so that what it can say of open sizes is checked; a plan runs it with all of them,
    which is the proof that a graph with open sizes lacks.

    Raises:
        GraphError: a name used twice or before its time, or inputs that do not fit.
    """
    return _infer(graph, sizes)[0]


def _infer(graph: Graph, sizes: Mapping[str, int]) -> tuple[Types, Mapping[str, tuple[str, ...]]]:
    types: dict[str, Tensor] = {
        name: Tensor(tuple(sizes.get(n, n) if isinstance(n, str) else n for n in t.shape), t.dtype)
        for name, t in graph.inputs.items()
    }
    values: dict[str, tuple[str, ...]] = {}
    for node in graph.nodes:
        outputs = _outputs(node, types)
        values[node.name] = tuple(name for name, _ in outputs)
        for name, tensor in outputs:
            if not name or name in types:
                raise GraphError(f"{node.title}: the name {name!r} is used twice")
            types[name] = tensor
    return types, values


def _outputs(node: Node, types: Types) -> list[tuple[str, Tensor]]:
    try:
        inferred = node.op.infer(*input_types(node, types))
    except (ValueError, TypeError, IndexError) as error:
        shapes = ", ".join(str(t and t.shape) for t in _known(node, types))
        raise GraphError(f"{node.title}: {node.op.kind} of {shapes}: {error}") from None
    tensors = inferred if isinstance(inferred, tuple) else (inferred,)
    return [(f"{node.name}:{i}" if i else node.name, tensor) for i, tensor in enumerate(tensors)]


def input_types(node: Node, types: Types) -> Sequence[Tensor | None]:
    """The types of the node's inputs; None for one left out.

    Raises:
        GraphError: an input no earlier node computes.
    """
    for name in node.inputs:
        if name and name not in types:
            raise GraphError(f"{node.title}: its input {name!r} is not computed before it")
    return _known(node, types)


def _known(node: Node, types: Types) -> Sequence[Tensor | None]:
    return [types.get(name) for name in node.inputs]


def node_parameters(node: Node, types: Types) -> Mapping[str, Param]:
    """The node's parameters by local name.

    Raises:
        GraphError: one whose size would depend on an open one.
    """
    params = node.op.params(*input_types(node, types))
    for local, param in params.items():
        if open_sizes := [n for n in param.shape if not isinstance(n, int)]:
            raise GraphError(
                f"{node.title}: its {local} would have the open size {open_sizes[0]}; "
                "fix that size of the network's input"
            )
    return params


def _parameters(nodes: Iterable[Node], types: Types) -> Mapping[str, Param]:
    parameters: dict[str, Param] = {}
    for node in nodes:
        params = node_parameters(node, types)
        if params.keys() != node.params.keys():
            raise GraphError(
                f"{node.title}: {node.op.kind} has the parameters {sorted(params) or 'none'}, "
                f"given were {sorted(node.params) or 'none'}"
            )
        for local, param in params.items():
            name = node.params[local]
            if parameters.setdefault(name, param).shape != param.shape:
                raise GraphError(
                    f"{node.title}: its {local} has shape {param.shape}, "
                    f"but {name!r} is shared and has {parameters[name].shape}"
                )
    return parameters
