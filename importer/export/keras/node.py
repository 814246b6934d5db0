"""What a form sees: one node of the graph, and a model of Keras to add to.

@form(ops.Dense)
def dense(node: Node, op: ops.Dense, x: Output) -> Output: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from ....runtime import ir
from ....runtime.check import Array
from ....runtime.errors import Unsupported
from ....runtime.op import Operation
from ....runtime.tensor import Tensor
from .model import LAYERS, OPERATIONS, Output

Form = Callable[..., Any]
F = TypeVar("F", bound=Form)

FORMS: dict[type[Operation], Form] = {}
"""How each operation is written: what ``form`` registers."""
DTYPES = {"float": "float32"}
CONSTANTS = "weights that are constants now"
"""A note."""


def form(*operations: type[Operation]) -> Callable[[F], F]:
    """Registers how operations are written: ``@form(ops.Dense)``.

    A form is a function of a ``Node``, its operation, and the tensors the node is given: an
    ``Output``, an array where it is constant, None for one left out. It returns what the node's
    first output is, or a tuple of all of them.

    Raises:
        ValueError: an operation that has one.
    """

    def register(write: F) -> F:
        for operation in operations:
            if operation in FORMS:
                raise ValueError(f"{operation.kind} has two forms")
            FORMS[operation] = write
        return write

    return register


class Sink(Protocol):
    """Where layers go."""

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
        """Calls a new layer, or the one of before that has the same ``shared``."""
        ...


@dataclass
class Node:
    """One node of the graph as it is written.

    Attributes:
        node: the node.
        types: what it is given; None for an input left out.
        results: what it puts out.
        used: whether anybody wants each of its outputs.
        arrays: its parameters, by the operation's names.
        sink: where its layers go.
        notes: what could not be kept, with the layers of which that is so.
    """

    node: ir.Node
    types: Sequence[Tensor | None]
    results: Sequence[Tensor]
    used: Sequence[bool]
    arrays: Mapping[str, Array]
    sink: Sink
    notes: dict[str, list[str]]
    _made: int = 0

    @property
    def title(self) -> str:
        """The node as a message names it."""
        return f"{self.node.title}: {self.node.op.kind}"

    def type(self, i: int = 0) -> Tensor:
        """What its input ``i`` is."""
        found = self.types[i]
        assert found is not None
        return found

    @property
    def spatial(self) -> int:
        """How many axes of its first input are neither the batch nor the channels."""
        return self.type().rank - 2

    def note(self, what: str) -> None:
        """Tells people what of the node is not as it was."""
        self.notes.setdefault(what, []).append(self.node.layer or self.node.name)

    def refuse(self, why: str) -> Unsupported:
        """The error where Keras has no form for it."""
        return Unsupported(f"{self.title}: {why}")

    def layer(
        self,
        kind: str,
        *args: Any,
        arrays: Mapping[str, Array] | None = None,
        inside: str = "",
        given: Mapping[str, Any] | None = None,
        **config: Any,
    ) -> Output:
        """Calls a layer of Keras.

        Args:
            kind: its class.
            args: what it is called on.
            arrays: its weights, in Keras' order.
            inside: the object inside it that holds them.
            given: what it is called with by name.
            config: its options.
        """
        self._made += 1
        params = tuple(sorted(self.node.params.items()))
        shared = (self.node.op, params, self._made) if arrays and params else None
        return self.sink.call(kind, LAYERS, args, given or {}, config, arrays or {}, inside, shared)

    def operation(
        self, kind: str, *args: Any, given: Mapping[str, Any] | None = None, **config: Any
    ) -> Output:
        """Calls an operation of ``keras.ops``, by its module and class: "numpy.Add"."""
        module, _, name = kind.partition(".")
        return self.sink.call(name, OPERATIONS + module, args, given or {}, config, {}, "", None)

    def reshaped(self, x: Output, wanted: Tensor) -> Output:
        """The elements of x in another shape, the batch's axis included.

        Raises:
            Unsupported: two sizes of it are open.
        """
        sizes = [n if isinstance(n, int) else -1 for n in wanted.shape]
        if sizes.count(-1) > 1:
            raise self.refuse(f"of the shape {wanted.shape} more than one size is open")
        return self.operation("numpy.Reshape", x, newshape=sizes)


def keras_dtype(dtype: str) -> str:
    """What Keras calls a dtype of the graph."""
    return DTYPES.get(dtype, dtype)


def sizes(shape: Sequence[int | str]) -> list[int | None]:
    """A shape as Keras has it: None for an open size."""
    return [n if isinstance(n, int) else None for n in shape]


def scalar(value: float, dtype: str) -> Any:
    """A number as one of that dtype."""
    return np.dtype(keras_dtype(dtype)).type(value).item()
