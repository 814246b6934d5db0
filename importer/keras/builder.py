"""The graph as converters build it, and the tensors they build it of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ...runtime import ops
from ...runtime.errors import UnreadableFile
from ...runtime.ir import Layer as SourceLayer
from ...runtime.ir import Node, node_parameters, output_types
from ...runtime.tensor import Tensor
from ..deferred import Deferred

if TYPE_CHECKING:
    from .layer import Converter, Layer


@dataclass(frozen=True, slots=True)
class Value:
    """A Keras tensor: a value of the graph, seen through a transposition, with its mask.

    Axis i of the Keras tensor is axis ``axes[i]`` of the graph's value; no axes: it is that value.
    So a layer that has its channels first can be computed with its channels last, and nothing is
    moved where the next layer does the same.
    """

    name: str
    axes: tuple[int, ...] = ()
    mask: Value | None = None

    def masked(self, mask: Value | None) -> Value:
        """The same tensor with another mask, or with none."""
        return replace(self, mask=mask)


def _nothing(_: Any) -> None:
    return None


@dataclass
class Builder:
    """The graph as it grows."""

    substitute: Callable[[Layer], Converter | None] = _nothing
    """What the user says that a layer computes."""
    substitute_function: Callable[[Any], Converter | None] = _nothing
    """What the user says that a function of this name computes."""
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
    calls: int = 0
    unmasked: set[str] = field(default_factory=set[str])
    """Values whose Keras mask a layer has removed, so that those after it see none."""
    flips: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    """The value that is another one flipped along an axis."""
    _turned: dict[tuple[str, tuple[int, ...]], str] = field(
        default_factory=dict[tuple[str, tuple[int, ...]], str]
    )

    def seen(self, value: Any) -> Any:
        """A tensor as the next layer sees it: without its mask, if that was removed."""
        removed = isinstance(value, Value) and value.name in self.unmasked
        return value.masked(None) if removed else value

    def add_input(self, name: str, tensor: Tensor) -> Value:
        """Adds an input of the graph."""
        if name in self.types:
            raise UnreadableFile(f"the name {name!r} is used twice")
        self.inputs[name] = self.types[name] = tensor
        return Value(name)

    def add(self, node: Node) -> tuple[Value, ...]:
        """Adds a node and learns the types of its outputs.

        Raises:
            GraphError: it does not fit its inputs.
        """
        outputs = output_types(node, self.types)
        self.types.update(outputs)
        self.values[node.name] = tuple(name for name, _ in outputs)
        node_parameters(node, self.types)
        self.nodes.append(node)
        return tuple(Value(name) for name, _ in outputs)

    def free_name(self, name: str) -> str:
        """The name, with a number if it is taken."""
        number = 1
        while (free := name if number == 1 else f"{name}.{number}") in self.types:
            number += 1
        return free

    def plain(self, x: Value, layer: str) -> str:
        """The value that is the tensor as Keras has it."""
        return self.turned(x.name, x.axes, layer) if x.axes else x.name

    def turned(self, name: str, axes: tuple[int, ...], layer: str) -> str:
        """The value with its axes in another order; made once."""
        if axes == tuple(range(len(axes))):
            return name
        if (name, axes) not in self._turned:
            free = self.free_name(f"{name}/turned")
            node = Node(free, ops.Transpose(axes), (name,), {}, layer)
            self._turned[name, axes] = self.add(node)[0].name
        return self._turned[name, axes]
