"""The graph as converters of Keras build it: tensors have masks, and users have their say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ...runtime.ir import Node
from ...runtime.tensor import Tensor
from .. import builder

if TYPE_CHECKING:
    from .layer import Converter, Layer


@dataclass(frozen=True, slots=True)
class Value(builder.Value):
    """A Keras tensor with its mask."""

    mask: Value | None = None

    def masked(self, mask: Value | None) -> Value:
        """The same tensor with another mask, or with none."""
        return replace(self, mask=mask)


def _nothing(_: Any) -> None:
    return None


@dataclass
class Builder(builder.Builder):
    """The graph as it grows."""

    substitute: Callable[[Layer], Converter | None] = _nothing
    """What the user says that a layer computes."""
    substitute_function: Callable[[Any], Converter | None] = _nothing
    """What the user says that a function of this name computes."""
    calls: int = 0
    unmasked: set[str] = field(default_factory=set[str])
    """Values whose Keras mask a layer has removed, so that those after it see none."""
    flips: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    """The value that is another one flipped along an axis."""

    def seen(self, value: Any) -> Any:
        """A tensor as the next layer sees it: without its mask, if that was removed."""
        removed = isinstance(value, Value) and value.name in self.unmasked
        return value.masked(None) if removed else value

    def add_input(self, name: str, tensor: Tensor) -> Value:
        """Adds an input of the graph."""
        return Value(self.declare(name, tensor))

    def add(self, node: Node) -> tuple[Value, ...]:
        """Adds a node; returns its outputs.

        Raises:
            GraphError: it does not fit its inputs.
        """
        return tuple(Value(name) for name in self.append(node))
