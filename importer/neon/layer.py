"""A layer of neon as its converter sees it, and the table of converters.

Tensors are as neon has them, but batch first: (N, features), (N, features, steps) or (N, channels,
height, width). The values of the graph have what neon has first last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...runtime.errors import UnreadableFile
from ...runtime.ir import Node
from ...runtime.op import Operation
from ...runtime.tensor import Size, Tensor
from ..builder import Builder, Value, channels_first
from ..deferred import Array, Deferred
from ..options import Options
from ..registry import Registry
from .description import Entry, Thing

Converter = Callable[..., Value]
"""Takes the layer and the tensors it reads; gives the one it makes."""

neon = Registry[str, Converter]("neon")
"""What converts the layers of each class."""
INERT = ("init", "init_inner", "parallelism", "bsum", "update", "alphas")
"""Options that change nothing of what a layer computes once it has its weights."""


@dataclass
class Layer:
    """One layer, and the network it becomes a part of.

    ``bias`` are the weights of the Bias that follows a product, which is computed with it.
    """

    entry: Entry
    builder: Builder
    caffe: bool
    bias: Deferred | None = None
    where: str = ""
    options: Options = field(init=False)
    _taken: set[str] = field(default_factory=set[str], init=False)

    def __post_init__(self) -> None:
        self.options = Options(self.title, self.entry.options)

    @property
    def title(self) -> str:
        """How an error names it."""
        return f"{self.where}: {self.entry.title}"

    def convert(self, *x: Value) -> Value:
        """What the layer makes of its inputs.

        Raises:
            Unsupported: it has an option, or an array, that nothing reads.
        """
        made = neon[self.entry.kind](self, *x)
        self.options.ignore(*INERT)
        self.options.finish()
        if left := self.entry.arrays.keys() - self._taken:
            raise UnreadableFile(f"{self.title}: it has an array {min(left)!r} that is none of its")
        return made

    def shape(self, x: Value) -> tuple[Size, ...]:
        """The shape of one example, as neon has it."""
        return self.builder.shape(x)[1:]

    def sizes(self, x: Value) -> tuple[int, ...]:
        """The shape of one example, all of whose sizes have to be known.

        Raises:
            UnreadableFile: one is not.
        """
        shape = self.shape(x)
        if not all(isinstance(n, int) for n in shape):
            raise UnreadableFile(f"{self.title}: it needs to know how many steps there are")
        return tuple(int(n) for n in shape)

    def features_last(self, x: Value) -> str:
        """The value of the graph whose last axis is the features, or the channels."""
        name = self.entry.name
        if len(self.shape(x)) == 1:
            return self.builder.plain(x, name)
        return self.builder.channels_last(x, name)

    def plain(self, x: Value) -> str:
        """The value of the graph that is the tensor as neon has it."""
        return self.builder.plain(x, self.entry.name)

    def tensor(self, value: str) -> Value:
        """The tensor of neon that is a value whose features are last."""
        rank = self.builder.types[value].rank
        return Value(value) if rank == 2 else channels_first(value, rank)

    def add(self, op: Operation, *x: str, **arrays: Deferred) -> str:
        """Adds an operation; its first output."""
        return self.add_all(op, x, arrays)[0]

    def add_all(
        self, op: Operation, x: Sequence[str], arrays: Mapping[str, Deferred], part: str = ""
    ) -> tuple[str, ...]:
        """Adds an operation; all its outputs. ``part`` tells its arrays from another's."""
        name = "/".join(filter(None, (self.entry.name, part)))
        for local, array in arrays.items():
            if f"{name}/{local}" in self.builder.parameters:
                raise UnreadableFile(f"{self.title}: another layer has arrays of its name")
            self.builder.parameters[f"{name}/{local}"] = array
        params = {local: f"{name}/{local}" for local in arrays}
        node = Node(self.builder.free_name(name), op, tuple(x), params, self.entry.name)
        return self.builder.append(node)

    def array(self, name: str, *shape: int | None) -> Deferred:
        """An array of the layer, of this shape; None is any size.

        Raises:
            UnreadableFile: it is missing, or has another shape.
        """
        self._taken.add(name)
        found = self.entry.arrays.get(name)
        if found is None:
            raise UnreadableFile(f"{self.title}: its array {name!r} is missing")
        return self.checked(found, name, shape)

    def checked(self, found: Deferred, name: str, shape: Sequence[int | None]) -> Deferred:
        """The array, if it has the shape.

        Raises:
            UnreadableFile: it has another.
        """
        fits = len(found.shape) == len(shape) and all(
            n is None or n == m for n, m in zip(shape, found.shape, strict=True)
        )
        if not fits:
            wanted = " × ".join("any" if n is None else str(n) for n in shape)
            told = " × ".join(map(str, found.shape))
            raise UnreadableFile(f"{self.title}: its array {name!r} is {told}, expected {wanted}")
        return found

    def state(self, name: str, units: int) -> str:
        """A state that a batch takes from the one before; zeros in the first."""
        return self.builder.declare(f"{self.entry.name}/{name}", Tensor(("N", units)))

    def keep(self, state: str, value: str) -> None:
        """What the state is to be for the next batch."""
        self.builder.states[state] = value
        self.builder.state_outputs[state] = f"{state}/next"


def transform(settings: Options, option: str) -> tuple[Thing, Options]:
    """An option that is an activation, and what that one is told."""
    thing = Thing.of(settings[option], f"{settings.title}: {option}")
    told = Options(f"{settings.title}: {option} {thing.kind}", thing.options)
    told.ignore("name", "shortcut", "epsilon")
    return thing, told


def rearranged(
    array: Deferred, shape: tuple[int, ...], change: Callable[[Array], Array]
) -> Deferred:
    """The array in another form, read when it is asked for; single precision."""

    def read() -> Any:
        return change(array.read()).astype(np.float32).reshape(shape)

    return Deferred(array.name, shape, np.dtype(np.float32), read)


def column(array: Deferred) -> Deferred:
    """A vector, which neon stores as a matrix of one column."""
    return rearranged(array, (array.shape[0],), lambda a: a)
