"""The graph as converters of any format build it, and the tensors they build it of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..runtime import ops
from ..runtime.errors import UnreadableFile
from ..runtime.ir import Graph, Node, node_parameters, output_types
from ..runtime.ir import Layer as SourceLayer
from ..runtime.network import Network
from ..runtime.tensor import Size, Tensor
from .deferred import Deferred


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the source: a value of the graph, seen through a transposition.

    Axis i of the source's tensor is axis ``axes[i]`` of the graph's value; no axes: it is that
    value. So a layer that has its channels first can be computed with its channels last, and
    nothing is moved where the next layer does the same.
    """

    name: str
    axes: tuple[int, ...] = ()


@dataclass
class Builder:
    """The graph as it grows."""

    inputs: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    nodes: list[Node] = field(default_factory=list[Node])
    types: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    values: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """The outputs of each node."""
    parameters: dict[str, Deferred] = field(default_factory=dict[str, Deferred])
    layers: dict[str, SourceLayer] = field(default_factory=dict[str, SourceLayer])
    states: dict[str, str] = field(default_factory=dict[str, str])
    """The value that each input which holds a state is to have in the next call."""
    state_outputs: dict[str, str] = field(default_factory=dict[str, str])
    """The output of the graph that carries it."""
    _turned: dict[tuple[str, tuple[int, ...]], str] = field(
        default_factory=dict[tuple[str, tuple[int, ...]], str]
    )

    def declare(self, name: str, tensor: Tensor) -> str:
        """Adds an input of the graph."""
        if name in self.types:
            raise UnreadableFile(f"the name {name!r} is used twice")
        self.inputs[name] = self.types[name] = tensor
        return name

    def append(self, node: Node) -> tuple[str, ...]:
        """Adds a node and learns the types of its outputs, whose names it returns.

        Raises:
            GraphError: it does not fit its inputs.
        """
        outputs = output_types(node, self.types)
        self.types.update(outputs)
        names = self.values[node.name] = tuple(name for name, _ in outputs)
        node_parameters(node, self.types)
        self.nodes.append(node)
        return names

    def free_name(self, name: str) -> str:
        """The name, with a number if it is taken."""
        number = 1
        while (free := name if number == 1 else f"{name}.{number}") in self.types:
            number += 1
        return free

    def shape(self, x: Value) -> tuple[Size, ...]:
        """The shape as the source has it, batch first; a name stands for an open size."""
        shape = self.types[x.name].shape
        return tuple(shape[axis] for axis in x.axes) if x.axes else shape

    def plain(self, x: Value, layer: str) -> str:
        """The value that is the tensor as the source has it."""
        return self.turned(x.name, x.axes, layer) if x.axes else x.name

    def turned(self, name: str, axes: tuple[int, ...], layer: str) -> str:
        """The value with its axes in another order; made once."""
        if axes == tuple(range(len(axes))):
            return name
        if (name, axes) not in self._turned:
            free = self.free_name(f"{name}/turned")
            node = Node(free, ops.Transpose(axes), (name,), {}, layer)
            self._turned[name, axes] = self.append(node)[0]
        return self._turned[name, axes]

    def channels_last(self, x: Value, layer: str) -> str:
        """The value that is a tensor whose channels are axis 1, with its channels last."""
        order = channels_last_order(self.types[x.name].rank)
        return self.turned(x.name, tuple(x.axes[i] for i in order) if x.axes else order, layer)

    def record(self, layer: str, kind: str, x: Value) -> None:
        """Notes that this is the output of a layer of the source."""
        self.layers[layer] = SourceLayer(x.name, kind, x.axes)

    def network(self, outputs: Mapping[str, str]) -> Network:
        """The network, without the nodes that lead to no output and no layer."""
        carried = {self.state_outputs[state]: value for state, value in self.states.items()}
        outputs = {**outputs, **carried}
        needed = {*outputs.values(), *(layer.value for layer in self.layers.values())}
        nodes: list[Node] = []
        for node in reversed(self.nodes):
            if needed.intersection(self.values[node.name]):
                nodes.append(node)
                needed.update(node.inputs)
        graph = Graph(self.inputs, tuple(reversed(nodes)), outputs, self.layers, self.state_outputs)
        return Network(graph, self.parameters)  # pyright: ignore[reportArgumentType]


def channels_last_order(rank: int) -> tuple[int, ...]:
    """The axes of a channels-first tensor in channels-last order."""
    return (0, *range(2, rank), 1)


def channels_first(name: str, rank: int) -> Value:
    """The tensor whose channels are axis 1 of a value that has them last."""
    return Value(name, (0, rank - 1, *range(1, rank - 1)))
