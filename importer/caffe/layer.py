"""A layer as its converter sees it: options and arrays that remember what was read of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ...runtime.errors import GraphError, UnreadableFile, Unsupported
from ...runtime.ir import Node
from ...runtime.op import Operation
from ...runtime.tensor import Size
from ..builder import Builder, Value, channels_first
from ..deferred import Deferred
from ..options import Options
from ..registry import Registry
from .blobs import fitted
from .net import LayerFacts
from .schema import BY_NAME

Converter = Callable[..., Value | Sequence[Value]]
caffe = Registry[str, Converter]("Caffe")
"""What converts the layers of each type: given the layer and its bottoms, it returns the tops."""

INERT = (
    "weight_filler", "bias_filler", "filler", "scale_filler", "engine", "force_nd_im2col",
    "stable_prod_grad",
)  # fmt: skip
"""Options of any layer that change nothing of what a trained one computes."""


def row_axis(param: Options, name: str, default: int, rank: int) -> int:
    """An option that is an axis of what has so many, counted from the front; not the batch.

    Raises:
        UnreadableFile: there is no such axis.
        Unsupported: it is the batch.
    """
    given = param.number(name, default)
    if given != int(given) or not -rank <= given < rank:
        raise UnreadableFile(f"{param.title}: {name} is {given}, of {rank} axes")
    if given % rank == 0:
        raise Unsupported(f"{param.title}: {name} {given:g} is the batch, which stays whole")
    return int(given % rank)


class Layer:
    """A layer while it is converted.

    ``name`` is what the graph calls it, ``notes`` takes what was concluded, ``batch`` is the size
    of the batch that the file was written for, if it says one.
    """

    def __init__(
        self,
        facts: LayerFacts,
        name: str,
        builder: Builder,
        notes: list[str],
        batch: int | None = None,
    ) -> None:
        self.facts, self.name, self.builder = facts, name, builder
        self.notes, self.batch = notes, batch
        self.title = facts.title
        self._options: dict[str, Options] = {}
        self._taken = 0

    def options(self, field: str) -> Options:
        """The options in a message of the layer, such as "pooling_param"."""
        if field not in self._options:
            options = Options(self.title, self.facts.options.get(field, {}))
            options.ignore(*INERT)
            self._options[field] = options
        return self._options[field]

    @property
    def arrays(self) -> int:
        """How many arrays the file has for the layer."""
        return len(self.facts.arrays)

    def take(self, rank: int) -> Deferred:
        """The layer's next array, of so many axes; those of size 1 in front may be missing.

        Raises:
            UnreadableFile: there is none, or it has more axes.
        """
        if self._taken >= self.arrays:
            raise UnreadableFile(
                f"{self.title}: it needs an array more than the {self.arrays} that the weights have"
            )
        array = fitted(self.facts.arrays[self._taken], rank)
        self._taken += 1
        if len(array.shape) != rank:
            raise UnreadableFile(
                f"{self.title}: its array {self._taken} has the shape {array.shape}, "
                f"expected {rank} axes"
            )
        return array

    def take_any(self) -> Deferred:
        """The layer's next array, whatever its shape."""
        return self.take(len(self.facts.arrays[self._taken].shape) if self.arrays else 0)

    def shape(self, x: Value) -> tuple[Size, ...]:
        """The shape as Caffe has it, the batch first."""
        return self.builder.shape(x)

    def sizes(self, x: Value) -> tuple[int, ...]:
        """The sizes of a row: the shape without the batch, all of which are known.

        Raises:
            Unsupported: one is not.
        """
        sizes = self.shape(x)[1:]
        if not all(isinstance(n, int) for n in sizes):
            raise Unsupported(f"{self.title}: its input {sizes} has a size that depends on data")
        return tuple(int(n) for n in sizes)

    def rank(self, x: Value) -> int:
        """Number of axes, the batch included."""
        return len(self.shape(x))

    def add(self, op: Operation, *inputs: str, **arrays: Deferred) -> str:
        """Adds an operation on values of the graph; returns its output.

        Raises:
            UnreadableFile: it does not fit its inputs, or its arrays have other shapes.
        """
        builder = self.builder
        self._check(op, inputs, arrays)
        params = {local: self._parameter(local) for local in arrays}
        for local, name in params.items():
            builder.parameters[name] = replace(arrays[local], name=name)
        node = Node(builder.free_name(f"{self.name}/{op.kind}"), op, inputs, params, self.name)
        try:
            return builder.append(node)[0]
        except GraphError as error:
            raise UnreadableFile(f"{self.title}: {error}") from None

    def _parameter(self, local: str) -> str:
        """A name for a parameter, which only a layer of several operations has to number."""
        name, number = f"{self.name}/{local}", 1
        while name in self.builder.parameters:
            number += 1
            name = f"{self.name}/{local}.{number}"
        return name

    def _check(self, op: Operation, inputs: Sequence[str], arrays: Mapping[str, Deferred]) -> None:
        try:
            wanted = op.params(*(self.builder.types[name] for name in inputs))
        except (ValueError, TypeError, IndexError):
            return  # the graph says it better
        for local, param in wanted.items():
            if arrays[local].shape != param.shape:
                raise UnreadableFile(
                    f"{self.title}: its {local} has the shape {arrays[local].shape}, "
                    f"expected {param.shape}"
                )

    def each(self, op: Operation, x: Value) -> Value:
        """An operation on each element: its output lies as its input does."""
        return Value(self.add(op, x.name), x.axes)

    def plain(self, x: Value) -> str:
        """The value that is the tensor as Caffe has it."""
        return self.builder.plain(x, self.name)

    def on_plain(self, op: Operation, x: Value, **arrays: Deferred) -> Value:
        """An operation on the tensor as Caffe has it."""
        return Value(self.add(op, self.plain(x), **arrays))

    def channels_last(self, x: Value) -> str:
        """The value with the channels, axis 1, last."""
        return self.builder.channels_last(x, self.name)

    def images(self, op: Operation, x: Value, **arrays: Deferred) -> Value:
        """An operation that has the channels last, on a tensor that has them on axis 1."""
        y = self.add(op, self.channels_last(x), **arrays)
        return channels_first(y, self.builder.types[y].rank)

    def alike(self, inputs: Sequence[Value]) -> tuple[list[str], tuple[int, ...]]:
        """(values that lie alike, the axes through which Caffe sees them)."""
        axes = next((x.axes for x in inputs if x.axes), ())
        if len({len(self.shape(x)) for x in inputs}) > 1:
            axes = ()
        if not axes or all(x.axes == axes for x in inputs):
            names = [x.name if x.axes == axes else self.plain(x) for x in inputs]
            return names, axes
        order = tuple(axes.index(i) for i in range(len(axes)))
        return [self._as(x, order) for x in inputs], axes

    def _as(self, x: Value, order: tuple[int, ...]) -> str:
        turned = tuple(x.axes[i] for i in order) if x.axes else order
        return self.builder.turned(x.name, turned, self.name)

    def finish(self) -> None:
        """After the converter.

        Raises:
            Unsupported: an option or an array that nothing read.
        """
        for options in self._options.values():
            options.finish()
        for field, value in self.facts.options.items():
            # Caffe does not look at the options of other layers either.
            if field not in BY_NAME["layer"]:
                raise Unsupported(f"{self.title}: it sets {field}={value!r}, which would be lost")
        if self._taken < self.arrays:
            raise Unsupported(
                f"{self.title}: the weights have {self.arrays} arrays for it, "
                f"of which {self.arrays - self._taken} would be lost"
            )
