"""One use of an operator of ONNX, as a converter sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import UnreadableFile, Unsupported
from ...runtime.ir import Node
from ...runtime.op import Operation
from ...runtime.tensor import Size, Tensor, broadcast
from ..builder import Builder, Value
from ..options import REQUIRED, Options
from ..registry import Registry
from .known import Filled, Known
from .weights import Change, Weights

Array = NDArray[Any]
Given: TypeAlias = Value | Known | Filled
"""What an operator is given: a value of the graph, or one that is known already."""

MOST_FILLED = 1 << 22
"""Elements of a constant that the file has as one number and a shape."""


@dataclass
class Call:
    """One node of the file.

    Attributes:
        title: the node as an error names it.
        layer: its name, or that of its first output.
        outputs: the names of its outputs; "" is one that is not wanted.
        options: its attributes.
        opset: the version of its domain.
    """

    builder: Builder
    weights: Weights
    title: str
    layer: str
    kind: str
    inputs: Sequence[Given | None]
    outputs: Sequence[str]
    options: Options
    opset: int

    def given(self, i: int) -> Given | None:
        """An input; None if it is left out."""
        return self.inputs[i] if i < len(self.inputs) else None

    def need(self, i: int) -> Given:
        """An input that may not be left out."""
        given = self.given(i)
        if given is None:
            raise UnreadableFile(f"{self.title}: its input {i} is missing")
        return given

    def value(self, i: int) -> Value:
        """An input as a value of the graph."""
        return self.as_value(self.need(i))

    def as_value(self, given: Given) -> Value:
        """It as a value of the graph."""
        if isinstance(given, Value):
            return given
        if isinstance(given, Filled):
            if not all(isinstance(n, int) for n in given.shape):
                raise Unsupported(f"{self.title}: a constant of the open shape {given.shape}")
            given = Known(np.broadcast_to(given.number, self._filled_sizes(given)))
        return self.weights.constant(given, self.outputs[0], self.layer)

    def _filled_sizes(self, given: Filled) -> tuple[int, ...]:
        sizes = self.sizes(given)
        if prod(sizes) > MOST_FILLED:
            raise Unsupported(f"{self.title}: a constant of shape {sizes} is too large")
        return sizes

    def plain(self, i: int) -> str:
        """An input as the graph's value that is the tensor as the file has it."""
        return self.builder.plain(self.value(i), self.layer)

    def type(self, x: Value) -> Tensor:
        """Shape and dtype as the file has it."""
        return Tensor(self.builder.shape(x), self.builder.types[x.name].dtype)

    def shape(self, given: Given) -> tuple[Size, ...]:
        """The shape as the file has it."""
        return self.builder.shape(given) if isinstance(given, Value) else given.shape

    def sizes(self, given: Given) -> tuple[int, ...]:
        """The shape, of which no size may be open."""
        shape = self.shape(given)
        if any(isinstance(n, str) for n in shape):
            raise Unsupported(f"{self.title}: of a value of the open shape {shape}")
        return tuple(int(n) for n in shape)

    def with_size(self, size: str) -> tuple[str, int]:
        """A value of the graph that has an axis of this size, and which that is.

        Raises:
            Unsupported: there is none.
        """
        for name, tensor in self.builder.types.items():
            if size in tensor.shape:
                return name, tensor.shape.index(size)
        raise Unsupported(f"{self.title}: no value has an axis of {size}")

    def sizes_from(self, x: Value, axis: int) -> tuple[int, ...]:
        """The sizes of the axes from one on, none of which may be open."""
        found = self.shape(x)[axis:]
        if not all(isinstance(n, int | float) and int(n) == n for n in found):
            raise Unsupported(f"{self.title}: over the open sizes {found}")
        return tuple(int(n) for n in found)

    def sizes_of_image(self, x: Value) -> tuple[Size, int, int, int]:
        """Rows, channels, height and width, of which only the rows may be open.

        Raises:
            Unsupported: others are, or it is no image.
        """
        shape = self.shape(x)
        rows, sizes = shape[0], [n for n in shape[1:] if isinstance(n, int)]
        if len(shape) != 4 or len(sizes) != 3:
            raise Unsupported(f"{self.title}: needs an image of known size, not {shape}")
        return (rows, *sizes)  # pyright: ignore[reportReturnType]

    def known(self, i: int, default: Any = REQUIRED) -> Known:
        """An input that must be known before the model runs.

        Raises:
            Unsupported: it is not.
        """
        given = self.given(i)
        if given is None and default is not REQUIRED:
            return Known(np.asarray(default))
        if isinstance(given, Known):
            return given
        if isinstance(given, Filled):
            return Known(np.broadcast_to(given.number, self._filled_sizes(given)))
        raise Unsupported(f"{self.title}: its input {i} is computed; only a constant is supported")

    def numbers(self, i: int, attribute: str = "", default: Any = REQUIRED) -> tuple[Any, ...]:
        """Numbers from an input or, in earlier versions, from an attribute."""
        if attribute and attribute in self.options:
            found = self.options[attribute]
            return tuple(found) if isinstance(found, Sequence) else (found,)
        if self.given(i) is None and default is not REQUIRED:
            return default
        array = self.known(i).here()
        return tuple(array.reshape(-1).tolist())

    def wholes(self, i: int, attribute: str = "", default: Any = REQUIRED) -> tuple[int, ...]:
        """As ``numbers``, of which none depends on an open size.

        Raises:
            Unsupported: one does.
        """
        found = self.numbers(i, attribute, default)
        if not all(isinstance(n, int | float) and int(n) == n for n in found):
            raise Unsupported(f"{self.title}: {attribute or f'input {i}'} {found} is not known")
        return tuple(int(n) for n in found)

    def add(self, op: Operation, *inputs: str, **params: str) -> str:
        """Adds a node of the graph and returns its (first) output."""
        return self.append(op, *inputs, **params)[0]

    def append(self, op: Operation, *inputs: str, **params: str) -> tuple[str, ...]:
        """Adds a node of the graph and returns its outputs."""
        name = self.builder.free_name(next(filter(None, self.outputs)))
        return self.builder.append(Node(name, op, inputs, params, self.layer))

    def weight(self, known: Known, change: Change | None = None, how: str = "") -> str:
        """The parameter that an array is, changed in the way that ``how`` names."""
        return self.weights.name(known, f"{self.layer}/weight", change, how)

    def alike(self, *given: Given) -> tuple[list[str], tuple[int, ...]]:
        """Values of the graph that combine element by element, and the axes of what comes of it.

        Where one has its channels last, constants are turned as it is, and the others, too.
        """
        rank = max(len(self.shape(one)) for one in given)
        given = tuple(self._single(one, given) for one in given)
        values = [one for one in given if isinstance(one, Value)]
        axes = next((x.axes for x in values if x.axes and len(x.axes) == rank), ())
        if any(len(self.shape(x)) != rank for x in values):
            axes = ()
        return [self._as(one, axes, rank) for one in given], axes

    def _single(self, one: Given, given: Sequence[Given]) -> Given:
        """One number, where it is no more and the others have the shape that comes of all."""
        others = [self.shape(other) for other in given if other is not one]
        if (
            isinstance(one, Filled)
            and others
            and broadcast([*others, one.shape]) == broadcast(others)
        ):
            return Known(one.number)
        return one

    def _as(self, given: Given, axes: tuple[int, ...], rank: int) -> str:
        """It with axis i as axis ``axes[i]``."""
        if not axes:
            return self.builder.plain(self.as_value(given), self.layer)
        back = tuple(axes.index(i) for i in range(rank))
        if isinstance(given, Value):
            order = given.axes or tuple(range(rank))
            return self.builder.turned(given.name, tuple(order[i] for i in back), self.layer)
        if not given.shape:
            return self.as_value(given).name
        ones = (1,) * (rank - len(given.shape))
        turned = given.map(lambda array: array.reshape(ones + array.shape).transpose(back))
        return self.as_value(turned).name

    def scalar(self, given: Given | None) -> float | None:
        """The one number that it is, if it is known and has one element."""
        if isinstance(given, Filled):
            return float(given.number)
        if isinstance(given, Known) and int(np.prod(given.shape)) == 1:
            array = given.here()
            return None if array.dtype == object else float(array.reshape(())[()])
        return None


def axis_of(axis: int, rank: int, title: str) -> int:
    """An axis that is not negative.

    Raises:
        UnreadableFile: there is no such axis.
    """
    if not -rank <= axis < rank:
        raise UnreadableFile(f"{title}: a value of {rank} axes has no axis {axis}")
    return axis % rank


def places(x: Value, rank: int) -> tuple[int, ...]:
    """Where the axes of the file's tensor are in the graph's value."""
    return x.axes or tuple(range(rank))


def trimmed(name: str, axes: Sequence[int]) -> Value:
    """The value with these axes, if that is another order than its own."""
    return Value(name, () if tuple(axes) == tuple(range(len(axes))) else tuple(axes))


Converter: TypeAlias = Callable[[Call], "Given | Sequence[Given | None]"]
onnx = Registry[str, Converter]("ONNX")
"""What converts operators; those of other domains than the standard one have theirs before them."""
Fold: TypeAlias = Callable[..., Any]
folds = Registry[str, Fold]("ONNX")
"""What operators make of inputs that are all known; None: to be converted."""
