"""What functions compute with: tensors of the graph, stored arrays, and what is known already.

Whatever is known when a model is read (numbers, constants, the sizes of tensors) is computed there
and then, by NumPy. A size that the file leaves open takes part in it under its name.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .....runtime import ops
from .....runtime.errors import Unsupported
from .....runtime.tensor import DTYPES, Size, product, scaled, total, window
from ....deferred import Deferred
from ...builder import Value
from ...layer import FLOATS, WHOLE, Layer

Known = NDArray[Any] | int | float | bool
"""What has a value already; the elements of an array may be ``Open``."""
Operand = Any
"""``Value``, ``Deferred`` (a stored array), ``Known`` or ``Open``; lists of them where said."""


@dataclass(frozen=True, slots=True)
class Open:
    """A size that is not known before the model runs."""

    length: str

    def __str__(self) -> str:
        return str(self.length)

    def __add__(self, other: Any) -> Any:
        return of_size(total((self.length, _size(other))))

    __radd__ = __add__

    def __neg__(self) -> Any:
        return of_size(scaled(self.length, -1))

    def __sub__(self, other: Any) -> Any:
        return self + -other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        return of_size(product((self.length, _size(other))))

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        if not isinstance(other, int | np.integer) or other < 1:
            return NotImplemented
        return of_size(window(self.length, int(other) - 1, int(other)))


def of_size(size: Size) -> Any:
    """A size to compute with."""
    return Open(size) if isinstance(size, str) else size


def _size(number: Any) -> Size:
    if isinstance(number, Open):
        return number.length
    if isinstance(number, int | np.integer):
        return int(number)
    raise Unsupported(f"an open size is computed with {number!r}, which is no whole number")


Function = Callable[..., Any]
FUNCTIONS: dict[str, Function] = {}
"""The vocabulary: functions ``(layer, x, …)`` by the names NumPy and Keras have for them."""
Applied = TypeVar("Applied", bound=Function)


def function(*names: str, known: Function | None = None) -> Callable[[Applied], Applied]:
    """Registers a function; ``known`` computes it where no operand is a tensor or stored array.

    Raises:
        ValueError: a name that is taken.
    """

    def register(compute: Applied) -> Applied:
        signature = inspect.signature(compute)

        @wraps(compute)
        def applied(layer: Layer, *args: Any, **kwargs: Any) -> Any:
            if known and not any(map(is_tensor, (*args, *kwargs.values()))):
                operands, options = _arranged(signature.bind(layer, *args, **kwargs))
                check_size(*(_count(operand) or 1 for operand in operands))
                return known(*operands, **options)
            return compute(layer, *args, **kwargs)

        for name in names:
            if name in FUNCTIONS:
                raise ValueError(f"there are two functions {name!r}")
            FUNCTIONS[name] = applied
        return applied  # pyright: ignore[reportReturnType]

    return register


MOST_ELEMENTS = 1 << 26
"""Of an array that is computed as a model is read."""


def check_size(*sizes: Any) -> None:
    """Whether an array of so many elements, one number times the other, is of reasonable size.

    Raises:
        ValueError: it is not.
    """
    if (count := math.prod(int(n) for n in sizes)) > MOST_ELEMENTS:
        raise ValueError(f"a constant of {count:,} elements")


def _count(x: Any) -> int:
    return sum(map(_count, x)) if isinstance(x, list | tuple) else np.size(x)


def _arranged(given: inspect.BoundArguments) -> tuple[list[Any], dict[str, Any]]:
    """What has to be given by its place, as NumPy's functions want it, and the rest by name."""
    operands, options = list[Any](), dict[str, Any]()
    for name, parameter in list(given.signature.parameters.items())[1:]:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            operands += map(folded, given.arguments.get(name, ()))
        elif name in given.arguments and parameter.default is inspect.Parameter.empty:
            operands.append(folded(given.arguments[name]))
        elif name in given.arguments:
            options[name] = given.arguments[name]
    return operands, options


def is_tensor(x: Any) -> bool:
    """Whether its values are not known yet, or those of something in it."""
    if isinstance(x, list | tuple):
        return any(map(is_tensor, x))
    return isinstance(x, Value | Deferred)


def folded(x: Any) -> Any:
    """Lists of numbers as arrays, arrays of one number as that number."""
    if isinstance(x, list | tuple) and not is_tensor(x):
        if len({np.shape(entry) for entry in x}) > 1:  # arrays to be joined
            return x
        x = np.asarray(x)
    if isinstance(x, np.ndarray) and x.ndim == 0:
        return x.item()
    return x


def array_of(value: Any, dtype: str) -> NDArray[Any]:
    """A constant tensor of a dtype that Keras names."""
    return np.asarray(value, WHOLE.get(dtype, "float32"))


def number(x: Any) -> Any:
    """An operand that is one number known already, as that number; None for all others."""
    x = folded(x)
    return x if isinstance(x, int | float | np.number) else None


def whole(layer: Layer, x: Any, what: str) -> int:
    """An operand that has to be a whole number known already.

    Raises:
        Unsupported: it is none.
    """
    value = number(x)
    if value is None or value != int(value):
        raise layer.refuse(what, shown(x))
    return int(value)


def wholes(layer: Layer, x: Any, what: str) -> tuple[int, ...]:
    """One whole number, or several; as ``whole``."""
    x = folded(x)
    entries = list(x) if isinstance(x, list | tuple | np.ndarray) else [x]
    return tuple(whole(layer, entry, what) for entry in entries)


def axes_of(layer: Layer, axis: Any, rank: int) -> tuple[int, ...]:
    """The axes that are meant, not negative, in their order; None is all of them."""
    if axis is None:
        return tuple(range(rank))
    found = wholes(layer, axis, "axis")
    if any(not -rank <= axis < rank for axis in found):
        raise layer.refuse("axis", shown(axis))
    return tuple(axis % rank for axis in found)


def shown(x: Any) -> Any:
    """An operand as a message names it."""
    if isinstance(x, Value):
        return "that is computed"
    if isinstance(x, Deferred):
        return x.name
    if isinstance(x, list | tuple):
        return [shown(entry) for entry in x]
    return x.tolist() if isinstance(x, np.ndarray) else str(x) if isinstance(x, Open) else x


def shape_of(layer: Layer, x: Operand) -> tuple[Size, ...]:
    """The shape of any operand."""
    return layer.shape(x) if isinstance(x, Value) else np.shape(x)


def dtype_of(layer: Layer, x: Operand) -> str:
    """The dtype of any operand, of those the graph has."""
    if isinstance(x, Value):
        return layer.tensor(x).dtype
    if isinstance(x, Deferred):
        return "float"
    kind = np.asarray(x).dtype.kind
    return {"b": "bool", "f": "float"}.get(kind, "int32")


def tensor(layer: Layer, x: Operand, dtype: str | None = None) -> Value:
    """Any operand as a tensor, of another dtype if asked."""
    if isinstance(x, Deferred):
        x = layer.add(ops.Constant(x.shape), value=x)
    elif not isinstance(x, Value):
        array = np.asarray(x)
        if array.dtype == object:
            raise layer.refuse("computing with the size", shown(array))
        dtype = dtype or dtype_of(layer, array)
        return layer.constant(array, "float32" if dtype == "float" else dtype)
    if dtype in (None, dtype_of(layer, x)):
        return x
    return layer.through(ops.Cast(dtype), x)


def stored(layer: Layer, x: Operand) -> Deferred:
    """A stored array, or a constant that becomes one, for an operation's parameter."""
    if isinstance(x, Deferred):
        return x
    array = np.asarray(x, np.float32)
    name, number = f"{layer.call}/constant", 1
    while name in layer.builder.parameters:
        name, number = f"{layer.call}/constant.{number}", number + 1
    return Deferred(name, array.shape, array.dtype, lambda: array)


def remade(x: Deferred, what: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Deferred:
    """A stored array changed as it is read; ``what`` tells it from others made of the same."""
    return replace(x.map(change), name=f"{x.name}/{what}")


def promoted(layer: Layer, *x: Operand) -> tuple[list[Value], str]:
    """The operands as tensors of the one dtype that holds them all, and that dtype."""
    order = ("bool", "int32", "int64", "float")
    dtype = max((dtype_of(layer, entry) for entry in x), key=order.index)
    return [tensor(layer, entry, dtype) for entry in x], dtype


def floats(layer: Layer, x: Operand) -> Value:
    """An operand as a tensor of floats."""
    return tensor(layer, x, "float")


def graph_dtype(layer: Layer, dtype: Any) -> str:
    """The graph's dtype for one that Keras, NumPy or TensorFlow names.

    Raises:
        Unsupported: it has none.
    """
    name = dtype.get("config", {}).get("name") if isinstance(dtype, Mapping) else dtype
    if name in FLOATS or name == "float":
        return "float"
    if name in WHOLE:
        return WHOLE[name]
    if name not in DTYPES:
        raise layer.refuse("dtype", name)
    return str(name)
