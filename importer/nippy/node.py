"""What a converter sees: a node that remembers what was read of it, and a graph to add to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...runtime import ops
from ...runtime.errors import GraphError, UnreadableFile
from ...runtime.ir import Node as GraphNode
from ...runtime.op import Operation
from ..builder import Builder, Value, channels_first
from ..deferred import Array, Deferred
from ..options import Options
from ..registry import Registry
from .cursor import LONGEST_NAME, told
from .saved import Dimensions, Saved, dimensions
from .thaw import as_map

Convert = Callable[..., Value]

nippy = Registry[str, Convert]("cortex")
"""What converts the nodes of each type.

It is a function of a ``Node`` and its inputs, ``Value`` by ``Value``, that adds to the graph and
returns the output.
"""

INERT = (
    "average-factor", "ave-factor", "id", "initialization", "kernel-dim", "l1-regularization",
    "l2-max-constraint", "l2-regularization", "learning-attenuation", "non-trainable?", "pad",
    "parents", "stride", "type", "ceil", "floor", "center-loss",
    *(f"{side}-{what}" for side in ("input", "output")
      for what in ("dimensions", "size", "width", "height", "channels", "data-format")),
)  # fmt: skip
"""Options that say nothing that others do not say, or matter in training alone."""

PARAMETERS = {
    "weights": "kernel", "bias": "bias", "scale": "gamma", "means": "moving_mean",
    "variances": "moving_variance", "neg-scale": "alpha", "centers": "centers",
}  # fmt: skip
"""What operations call the parameters of cortex, but for the bias of a normalization."""


@dataclass
class Growing:
    """The network as it grows, and what is to be said of it."""

    saved: Saved
    builder: Builder = field(default_factory=Builder)
    notes: list[str] = field(default_factory=list[str])
    shared: dict[Any, Deferred] = field(default_factory=dict[Any, Deferred])
    """The parameter that was made of a buffer, by the buffer's name and the shape it has there."""


class Node(Options):
    """One node, for its converter."""

    def __init__(self, name: str, growing: Growing) -> None:
        options = growing.saved.nodes[name]
        self.name, self.kind = name, str(options["type"])
        super().__init__(f"node {name[:LONGEST_NAME]!r} ({told(self.kind)})", options)
        self.growing, self._builder = growing, growing.builder

    def note(self, text: str) -> None:
        """Notes what was assumed of it."""
        self.growing.notes.append(f"{self.title}: {text}")

    def dimensions(self, x: Value) -> Dimensions:
        """The shape of a tensor as cortex has it."""
        sizes = [int(n) for n in self._builder.shape(x)[1:]]
        return Dimensions(*(1,) * (3 - len(sizes)), *sizes)

    def add(self, op: Operation, *inputs: Value, **arrays: Deferred) -> Value:
        """Adds an operation on tensors as cortex has them."""
        return Value(self._node(op, [self._builder.plain(x, self.name) for x in inputs], arrays))

    def through(self, op: Operation, *inputs: Value, **arrays: Deferred) -> Value:
        """Adds an operation that treats all axes alike, below the transposition of its inputs."""
        if len({x.axes for x in inputs}) > 1:
            return self.add(op, *inputs, **arrays)
        return Value(self._node(op, [x.name for x in inputs], arrays), inputs[0].axes)

    def on_channels(self, op: Operation, x: Value, **arrays: Deferred) -> Value:
        """Adds an operation on an image whose channels are the last axis; a vector is a row."""
        name = self._builder.channels_last(self.image(x), self.name)
        return channels_first(self._node(op, [name], arrays), rank=4)

    def per_channel(self, op: Operation, x: Value, **arrays: Deferred) -> Value:
        """As ``on_channels``, for an operation that keeps the shape: a vector stays one."""
        y = self.on_channels(op, x, **arrays)
        return y if len(self._builder.shape(x)) == 4 else self.flat(y)

    def image(self, x: Value) -> Value:
        """The tensor as an image: a vector is one row of one channel."""
        if len(self._builder.shape(x)) == 4:
            return x
        return channels_first(self.add(ops.Reshape((1, -1, 1)), x).name, rank=4)

    def flat(self, x: Value) -> Value:
        """The tensor as a vector: channel by channel, row by row."""
        return x if len(self._builder.shape(x)) == 2 else self.add(ops.Flatten(), x)

    def like(self, x: Value, like: Value) -> Value:
        """A vector in the shape of another tensor, of which it has as many elements."""
        shape = self._builder.shape(like)[1:]
        return x if len(shape) == 1 else self.add(ops.Reshape(tuple(map(int, shape))), x)

    def take(
        self,
        option: str,
        shape: Sequence[int],
        change: Callable[[Array], Array] | None = None,
        local: str = "",
    ) -> Deferred:
        """A parameter, in the shape that it must have, and then as ``change`` makes it.

        ``local`` is what the operation calls it, if that is not what it usually is called.

        Raises:
            UnreadableFile: its buffer is missing, or has another number of elements.
        """
        buffer, stored = self._stored(option)
        if math.prod(stored.shape) != math.prod(shape):
            raise UnreadableFile(
                f"{self.title}: its {option} have the shape {stored.shape}, expected {tuple(shape)}"
            )
        array = stored.map(lambda numbers: numbers.reshape(tuple(shape)))
        array = array.map(change) if change else array
        local = local or PARAMETERS[option]
        named = replace(array, name=f"{self.name}/{local}")
        return self.growing.shared.setdefault((buffer, local, array.shape), named)

    def rows(self, option: str) -> int:
        """How many rows a parameter is stored as.

        Raises:
            UnreadableFile: its buffer is missing.
        """
        _, stored = self._stored(option)
        return stored.shape[0] if len(stored.shape) == 2 else 1

    def _stored(self, option: str) -> tuple[str, Deferred]:
        """The name of a parameter's buffer, and what is in it."""
        name = as_map(self[option]).get("buffer-id")
        stored = None if name is None else self.growing.saved.buffer(str(name))
        if stored is None:
            raise UnreadableFile(f"{self.title}: it has no numbers for its {option}")
        return stored.name, stored

    def record(self, y: Value) -> None:
        """Makes the output something that can be asked for by the node's name."""
        self._builder.record(self.name, self.kind, y)

    def _node(self, op: Operation, inputs: Sequence[str], arrays: Mapping[str, Deferred]) -> str:
        builder = self._builder
        name = builder.free_name(f"{self.name}/{op.kind}")
        params = {local: array.name for local, array in arrays.items()}
        builder.parameters.update({array.name: array for array in arrays.values()})
        try:
            return builder.append(GraphNode(name, op, tuple(inputs), params, self.name))[0]
        except GraphError as error:
            raise UnreadableFile(f"{self.title}: {_without_title(error, self.name)}") from None

    def finish(self) -> None:
        """After the converter: what nothing read, cortex does not know either, and says so."""
        self.ignore(*INERT)
        if unread := self.unread():
            self.note(f"cortex makes nothing of {', '.join(f':{told(key)}' for key in unread)}")

    def check(self, y: Value) -> None:
        """Whether the output has the shape that the file says.

        Raises:
            UnreadableFile: it has not.
        """
        stated, found = dimensions(self.growing.saved.nodes[self.name], "output"), None
        if stated and (found := self.dimensions(y)) not in stated:
            raise UnreadableFile(
                f"{self.title}: its output would be {_sizes(found)}, the file says "
                f"{_sizes(stated[0])}"
            )


def _sizes(it: Dimensions) -> str:
    return f"{it.channels}×{it.height}×{it.width}"


def _without_title(error: GraphError, layer: str) -> str:
    return str(error).removeprefix(f"layer {layer!r}: ")
