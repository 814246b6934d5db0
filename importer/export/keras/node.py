"""What a form sees: one node of the graph, and a model of Keras to add to.

@form(ops.Dense)
def dense(node: Node, op: ops.Dense, x: Output) -> Output: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np

from ....runtime import ir
from ....runtime.check import Array
from ....runtime.errors import Unsupported
from ....runtime.op import Operation
from ....runtime.tensor import Tensor
from ...registry import Registry
from .model import LAYERS, OPERATIONS, Output

Form = Callable[..., Any]

form = Registry[type[Operation], Form]("The form of")
"""How operations are written.

A form is a function of a ``Node``, its operation (``Watched``: an attribute that says something
and is not read is an error), and the tensors the node is given: an ``Output``, an array where it is
constant, None for one left out. It returns what the node's first output is, or a tuple of all.
"""
DTYPES = {"float": "float32"}
CONSTANTS = "weights that are constants now"
"""A note."""


class Watched:
    """An operation as forms see it, which remembers what they have read of it."""

    def __init__(self, op: Operation) -> None:
        attributes = fields(op)  # pyright: ignore[reportArgumentType]
        self._op, self._left = op, {at.name: at.default for at in attributes}

    def __getattr__(self, name: str) -> Any:
        if name in self._left:
            del self._left[name]
        elif not hasattr(Operation, name) and name not in self._op.__dict__:
            self.read_all()  # a property, which reads what it wants
        return getattr(self._op, name)

    def is_plain(self) -> bool:
        """Whether all its attributes are what they are unless somebody says otherwise."""
        self.read_all()
        attributes = fields(self._op)  # pyright: ignore[reportArgumentType]
        return all(getattr(self._op, at.name) == at.default for at in attributes)

    def read_all(self) -> None:
        """What the attributes say is seen to in another way."""
        self._left.clear()

    def check_read(self, title: str) -> None:
        """After the form.

        Raises:
            Unsupported: an attribute that says something, which was not read.
        """
        for name, default in self._left.items():
            if (value := getattr(self._op, name)) != default:
                raise Unsupported(f"{title}: Keras has nothing like its {name} {value!r}")


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

    op: Watched = field(init=False)

    def __post_init__(self) -> None:
        self.op = Watched(self.node.op)

    @property
    def kind(self) -> type[Operation]:
        """The class of its operation."""
        return type(self.node.op)

    def write(self, given: Sequence[Any]) -> tuple[Any, ...]:
        """Its outputs, by the form of its operation.

        Raises:
            Unsupported: an option that Keras has nothing for.
        """
        made = form[self.kind](self, self.op, *given)
        self.op.check_read(self.title)
        return made if isinstance(made, tuple) else (made,)

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
        self.op.read_all()  # they say how it comes by that shape
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
