"""The graph of a network: small, frozen, checked when it is made; one that exists is valid."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .errors import GraphError, problem
from .op import OPERATIONS, Operation
from .tensor import DTYPES, STRING, Param, Tensor
from .upgrade import FORMAT, upgraded

Types = Mapping[str, Tensor]


@dataclass(frozen=True)
class Node:
    """One use of an operation.

    Its first output carries its name, further ones ``name:1``, ``name:2``. An input "" is an
    optional one left out. ``params`` maps the operation's names to those of the network, so nodes
    can share parameters.
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

    ``outputs`` maps the name of each output to its value, ``layers`` that of each layer (and call)
    of the source file. ``states`` names, for each input that carries a state, the output that it is
    to have in the next call. ``types`` and ``parameters`` are derived: every value's type and every
    parameter's shape.

    Raises:
        GraphError: a name that is missing or used twice, or inputs that do not fit an operation.
    """

    inputs: Mapping[str, Tensor]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, str]
    layers: Mapping[str, Layer] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
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
        for given, kept in self.states.items():
            if given not in self.inputs or kept not in self.outputs:
                raise GraphError(f"state {given!r}: no such input, or no output {kept!r}")
        for name, layer in self.layers.items():
            rank = types[layer.value].rank
            if layer.axes and sorted(layer.axes) != [*range(rank)]:
                raise GraphError(f"layer {name!r}: axes {layer.axes} are no order of {rank} axes")

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
        nodes = [
            StoredNode(node.name, _stored(node.op), node.inputs, dict(node.params), node.layer)
            for node in self.nodes
        ]
        stored = StoredGraph(
            dict(self.inputs), nodes, dict(self.outputs), dict(self.layers), dict(self.states)
        )
        return json.dumps(asdict(stored))

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """Reads what ``to_json`` wrote, in this format or an earlier one.

        Raises:
            GraphError: not such text, a newer format, an unknown operation, attributes of the
            wrong type, or an invalid graph.
        """
        number: int = _read(Numbered, "not the JSON of a graph", json=text).format
        if number > FORMAT:
            raise GraphError(
                f"a newer Cortex has stored it, in format {number}; this one knows {FORMAT}"
            )
        if number < FORMAT:
            text = upgraded(text, number)
        stored: StoredGraph = _read(StoredGraph, "not the JSON of a graph", json=text)
        nodes = (
            Node(node.name, _operation(node), node.inputs, node.params, node.layer)
            for node in stored.nodes
        )
        return cls(stored.inputs, tuple(nodes), stored.outputs, stored.layers, stored.states)


@dataclass(frozen=True, slots=True)
class Numbered:
    """What the JSON of every format says of itself; the first did not."""

    format: int = 0


@dataclass(frozen=True, slots=True)
class StoredNode:
    """The JSON form of a node."""

    name: str
    op: dict[str, Any]
    inputs: tuple[str, ...]
    params: dict[str, str]
    layer: str


@dataclass(frozen=True, slots=True)
class StoredGraph:
    """The JSON form of a graph."""

    inputs: dict[str, Tensor]
    nodes: list[StoredNode]
    outputs: dict[str, str]
    layers: dict[str, Layer]
    states: dict[str, str] = field(default_factory=dict[str, str])
    format: int = FORMAT


def _stored(op: Operation) -> dict[str, Any]:
    attributes = fields(op)  # pyright: ignore[reportArgumentType]
    return {"kind": op.kind, **{field.name: getattr(op, field.name) for field in attributes}}


def _operation(node: StoredNode) -> Operation:
    from . import ops as ops  # registers them

    kind = str(node.op.pop("kind", ""))
    if kind not in OPERATIONS:
        raise GraphError(f"node {node.name!r}: no operation is called {kind!r}")
    return _read(OPERATIONS[kind], f"node {node.name!r} ({kind})", attributes=node.op)


def _read(form: type, what: str, *, json: str | None = None, attributes: Any = None) -> Any:
    from pydantic import ValidationError  # slow to import, and only a stored graph needs it

    reader = _reader(form)
    try:
        if json is None:
            return reader.validate_python(attributes)
        return reader.validate_json(json)
    except ValidationError as error:
        raise GraphError(f"{what}: {problem(error)}") from None


@functools.cache
def _reader(form: type) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(form)


def infer(graph: Graph, sizes: Mapping[str, int]) -> Types:
    """The type of every value, the open sizes named in ``sizes`` replaced by numbers.

    A graph runs it with none, so that what it can say of open sizes is checked; a plan runs it with
    all of them, which is the proof that a graph with open sizes lacks.

    Raises:
        GraphError: a name used twice or before its time, or inputs that do not fit.
    """
    return _infer(graph, sizes)[0]


def _check_input(name: str, tensor: Tensor) -> None:
    if not name:
        raise GraphError("an input has no name")
    if not tensor.shape:
        raise GraphError(f"input {name!r}: it has no batch axis")
    for size in tensor.shape:
        if not (size.isidentifier() if isinstance(size, str) else size > 0):
            raise GraphError(f"input {name!r}: {size!r} is neither a size nor a name for one")
    if tensor.dtype not in (known := (*DTYPES, STRING)):
        raise GraphError(f"input {name!r}: dtype {tensor.dtype!r} is none of {', '.join(known)}")


def _infer(graph: Graph, sizes: Mapping[str, int]) -> tuple[Types, Mapping[str, tuple[str, ...]]]:
    types: dict[str, Tensor] = {}
    for name, tensor in graph.inputs.items():
        shape = (sizes.get(n, n) if isinstance(n, str) else n for n in tensor.shape)
        types[name] = Tensor(tuple(shape), tensor.dtype)
        _check_input(name, types[name])
    values: dict[str, tuple[str, ...]] = {}
    for node in graph.nodes:
        outputs = output_types(node, types)
        values[node.name] = tuple(name for name, _ in outputs)
        for name, tensor in outputs:
            if not name:
                raise GraphError(f"{node.title}: it has no name")
            if name in types:
                raise GraphError(f"{node.title}: the name {name!r} is used twice")
            types[name] = tensor
    return types, values


def output_types(node: Node, types: Types) -> list[tuple[str, Tensor]]:
    """The names and types of the node's outputs, those of its inputs being in ``types``.

    Raises:
        GraphError: an input is missing, or they do not fit.
    """
    inputs = input_types(node, types)
    shapes = ", ".join(str(tensor and tensor.shape) for tensor in inputs)
    try:
        inferred = node.op.infer(*inputs)
    except (ValueError, TypeError, IndexError) as error:
        raise GraphError(f"{node.title}: {node.op.kind} of {shapes}: {error}") from None
    tensors = inferred if isinstance(inferred, tuple) else (inferred,)
    for tensor in tensors:
        _check_sizes(f"{node.title}: {node.op.kind} of {shapes}", tensor.shape)
        if 0 in tensor.shape:
            raise GraphError(
                f"{node.title}: {node.op.kind} of {shapes}: nothing is left: {tensor.shape}"
            )
    return [(f"{node.name}:{i}" if i else node.name, tensor) for i, tensor in enumerate(tensors)]


def input_types(node: Node, types: Types) -> Sequence[Tensor | None]:
    """The types of the node's inputs; None for one left out.

    Raises:
        GraphError: an input that no earlier node computes, that may not be left out, or that is
            no float where one is needed.
    """
    for i, name in enumerate(node.inputs):
        if name and name not in types:
            raise GraphError(f"{node.title}: its input {name!r} is not computed before it")
        if not name and not _may_be_left_out(type(node.op), i):
            raise GraphError(f"{node.title}: its input {i} may not be left out")
        if not name:
            continue
        if types[name].dtype == STRING:
            if not (node.op.strings or node.op.view):
                raise GraphError(
                    f"{node.title}: its input {name!r} holds strings, "
                    f"but {node.op.kind} computes with numbers"
                )
        elif not node.op.any_dtype and types[name].dtype != "float":
            raise GraphError(
                f"{node.title}: its input {name!r} is {types[name].dtype}, "
                f"but {node.op.kind} computes floats"
            )
    return [types[name] if name else None for name in node.inputs]


@functools.cache
def _may_be_left_out(op: type[Operation], i: int) -> bool:
    parameters = [*inspect.signature(op.infer).parameters.values()][1:]
    return i < len(parameters) and parameters[i].default is None


def node_parameters(node: Node, types: Types) -> Mapping[str, Param]:
    """The node's parameters by local name.

    Raises:
        GraphError: one whose size would depend on an open one.
    """
    params = node.op.params(*input_types(node, types))
    for local, param in params.items():
        _check_sizes(f"{node.title}: its {local}", param.shape)
        if open_sizes := [n for n in param.shape if isinstance(n, str)]:
            raise GraphError(
                f"{node.title}: its {local} would have the open size {open_sizes[0]}; "
                "fix that size of the network's input"
            )
    return params


def _check_sizes(what: str, sizes: Sequence[Any]) -> None:
    """Refuses what an option that is no whole number, or a negative one, makes of a shape."""
    for n in sizes:
        if not isinstance(n, (int, str)) or (isinstance(n, int) and n < 0):
            raise GraphError(f"{what} would have the size {n!r}; sizes are ints from 1 on")


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
            if parameters.setdefault(name, param) != param:
                raise GraphError(
                    f"{node.title}: its {local} is {_described(param)}, "
                    f"but {name!r} is shared and is {_described(parameters[name])}"
                )
    return parameters


def _described(param: Param) -> str:
    return f"{'trained' if param.trainable else 'state'} of shape {param.shape}"
