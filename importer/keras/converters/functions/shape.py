"""Functions that move, repeat and join axes and elements."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .....runtime import ops
from .....runtime.tensor import Size, product
from ....deferred import Deferred
from ...builder import Value
from ...layer import Layer
from .operand import (
    Operand,
    axes_of,
    check_size,
    folded,
    function,
    is_tensor,
    number,
    of_size,
    promoted,
    remade,
    shape_of,
    shown,
    tensor,
    whole,
    wholes,
)
from .reshape import sizes_of


@function("transpose", "permute_dimensions", known=np.transpose)
def transpose(layer: Layer, x: Operand, axes: Any = None) -> Operand:
    """Axis i is axis ``axes[i]`` of x; without axes the order is turned round."""
    rank = len(shape_of(layer, x))
    order = tuple(reversed(range(rank))) if axes is None else axes_of(layer, axes, rank)
    if sorted(order) != list(range(rank)):
        raise layer.refuse("axes", shown(axes))
    if isinstance(x, Deferred):
        return remade(x, f"axes{order}", lambda array: array.transpose(order))
    x = tensor(layer, x)
    return Value(x.name, tuple((x.axes or range(rank))[axis] for axis in order))


@function("swapaxes", known=np.swapaxes)
def swapaxes(layer: Layer, x: Operand, axis1: Any, axis2: Any) -> Value:
    """X with two of its axes in each other's place."""
    x = tensor(layer, x)
    order = list(range(layer.rank(x)))
    a, b = axes_of(layer, [axis1, axis2], len(order))
    order[a], order[b] = b, a
    return transpose(layer, x, order)


@function("moveaxis", known=np.moveaxis)
def moveaxis(layer: Layer, x: Operand, source: Any, destination: Any) -> Value:
    """X with some of its axes in other places; the others keep their order."""
    x = tensor(layer, x)
    rank = layer.rank(x)
    left, to = axes_of(layer, source, rank), axes_of(layer, destination, rank)
    order = [axis for axis in range(rank) if axis not in left]
    for place, axis in sorted(zip(to, left, strict=True)):
        order.insert(place, axis)
    return transpose(layer, x, order)


@function("expand_dims", known=np.expand_dims)
def expand_dims(layer: Layer, x: Operand, axis: Any = -1) -> Value:
    """New axes of size 1, where ``axis`` says they are in the result."""
    x = tensor(layer, x)
    count = len(wholes(layer, axis, "axis"))
    return layer.add(ops.ExpandDims(axes_of(layer, axis, layer.rank(x) + count)), x)


@function("squeeze", known=np.squeeze)
def squeeze(layer: Layer, x: Operand, axis: Any = None) -> Value:
    """X without axes of size 1; without any of them, unless told which."""
    x = tensor(layer, x)
    if axis is None or wholes(layer, axis, "axis") == ():
        axes = tuple(i for i, size in enumerate(layer.shape(x)) if size == 1)
    else:
        axes = axes_of(layer, axis, layer.rank(x))
    return layer.add(ops.Squeeze(axes), x) if axes else x


@function("concatenate", "concat", known=np.concatenate)
def concatenate(layer: Layer, x: Sequence[Operand], axis: Any = -1) -> Value:
    """Tensors one after the other along an axis."""
    values = [Value(layer.plain(value)) for value in promoted(layer, *x)[0]]
    at = axes_of(layer, axis, layer.rank(values[0]))[0]
    return layer.add(ops.Concatenate(at), *values) if len(values) > 1 else values[0]


@function("stack", "pack", known=np.stack)
def stack(layer: Layer, x: Sequence[Operand], axis: Any = 0) -> Value:
    """Tensors of one shape side by side along a new axis."""
    values = promoted(layer, *x)[0]
    at = axes_of(layer, axis, layer.rank(values[0]) + 1)
    return concatenate(layer, [layer.add(ops.ExpandDims(at), value) for value in values], at[0])


def part(
    layer: Layer, x: Value, axis: int, begin: int | None, end: int | None, step: int = 1
) -> Value:
    """A slice of one axis."""
    before = (None,) * axis
    op = ops.StridedSlice((*before, begin), (*before, end), (*before, step if step != 1 else None))
    return layer.add(op, x)


@function("split")
def split(
    layer: Layer, x: Operand, indices_or_sections: Any, axis: Any = -1
) -> tuple[Operand, ...]:
    """Parts of x along an axis: so many equal ones, or those that begin at these places."""
    x = x if is_tensor(x) else np.asarray(x)
    at = axes_of(layer, axis, len(shape_of(layer, x)))[0]
    count, size = number(indices_or_sections), shape_of(layer, x)[at]
    if count is None:
        cuts: list[Any] = [0, *wholes(layer, indices_or_sections, "indices_or_sections"), None]
    elif isinstance(size, int) and size % count == 0:
        cuts = list(range(0, size + 1, size // int(count)))
    else:
        raise layer.refuse(f"splitting an axis of size {size} into", count)
    bounds = pairwise(cuts)
    if not isinstance(x, Value):
        return tuple(np.split(x, cuts[1:-1], at))
    return tuple(part(layer, x, at, begin, end) for begin, end in bounds)


@function("unstack")
def unstack(layer: Layer, x: Operand, axis: Any = 0, num: Any = None) -> tuple[Operand, ...]:
    """The elements of an axis, each without that axis."""
    del num
    if not is_tensor(x):
        return tuple(folded(one) for one in np.moveaxis(np.asarray(x), axis, 0))
    x = tensor(layer, x)
    at = axes_of(layer, axis, layer.rank(x))
    size = layer.shape(x)[at[0]]
    if isinstance(size, str):
        raise layer.refuse("unstacking an axis of the open size", size)
    each = (part(layer, x, at[0], i, i + 1) for i in range(size))
    return tuple(layer.add(ops.Squeeze(at), one) for one in each)


def _tiled(x: Any, repeats: Any) -> Any:
    check_size(np.size(x), *np.ravel(repeats))
    return np.tile(x, repeats)


@function("tile", known=_tiled)
def tile(layer: Layer, x: Operand, repeats: Any) -> Value:
    """The whole, so many times along each axis."""
    x = tensor(layer, x)
    times = wholes(layer, repeats, "repeats")
    missing = layer.rank(x) - len(times)
    if missing < 0:
        x = layer.add(ops.ExpandDims(tuple(range(-missing))), x)
    return layer.add(ops.Tile((1,) * missing + times), x)


def _repeated(x: Any, repeats: Any, axis: Any = None) -> Any:
    check_size(np.size(x), np.sum(repeats))
    return np.repeat(x, repeats, axis)


@function("repeat", "repeat_elements", known=_repeated)
def repeat(layer: Layer, x: Operand, repeats: Any, axis: Any = None) -> Value:
    """Each element so many times along the axis."""
    x = tensor(layer, x)
    if axis is None:
        raise layer.refuse("axis", None)
    at = axes_of(layer, axis, layer.rank(x))[0]
    times = wholes(layer, repeats, "repeats")
    if len(times) == 1:
        return layer.add(ops.Repeat(times[0], at), x)
    places = np.repeat(np.arange(len(times)), times)
    return layer.add(ops.Take(tuple(places.tolist()), at), x)


@function("broadcast_to", known=np.broadcast_to)
def broadcast_to(layer: Layer, x: Operand, shape: Any) -> Value:
    """Copies of x along axes of size 1, and along new first axes."""
    x = tensor(layer, x)
    wanted = sizes_of(layer, shape)
    have: tuple[Size, ...] = (1,) * (len(wanted) - layer.rank(x)) + layer.shape(x)
    sizes = [-1 if n == m else n for n, m in zip(wanted, have, strict=True)]
    if any(isinstance(n, str) for n in sizes):
        raise layer.refuse("broadcasting to", wanted)
    return layer.add(ops.BroadcastTo(tuple(int(n) for n in sizes)), x)


@function("pad")
def pad(
    layer: Layer, x: Operand, pad_width: Any, mode: str = "constant", constant_values: Any = 0
) -> Value:
    """More elements before and after: (before, after) for each axis, or for all of them."""
    x = tensor(layer, x)
    pairs = np.asarray(folded(pad_width))
    value, rank = number(0 if constant_values is None else constant_values), layer.rank(x)
    if pairs.dtype == object or value is None:
        raise layer.refuse("pad_width", shown(pad_width))
    pairs = np.broadcast_to(pairs, (rank, 2)).tolist()
    op = ops.Pad(tuple((int(a), int(b)) for a, b in pairs), str(mode).lower(), float(value))
    return layer.add(op, x)


@function("flip", "reverse", known=np.flip)
def flip(layer: Layer, x: Operand, axis: Any = None) -> Value:
    """From the end to the beginning along some axes."""
    x = tensor(layer, x)
    for at in axes_of(layer, axis, layer.rank(x)):
        x = layer.flipped(x, at)
    return x


@function("roll", known=np.roll)
def roll(layer: Layer, x: Operand, shift: Any, axis: Any = None) -> Value:
    """The elements so many places further along axes; those that fall off come in again."""
    if axis is None:
        raise layer.refuse("axis", None)
    x = tensor(layer, x)
    shifts = wholes(layer, shift, "shift")
    for at, places in zip(axes_of(layer, axis, layer.rank(x)), shifts, strict=True):
        size = layer.shape(x)[at]
        places = places % size if isinstance(size, int) else places
        if places:
            ends = part(layer, x, at, -places, None), part(layer, x, at, None, -places)
            x = layer.add(ops.Concatenate(at), *ends)
    return x


@function("ndim", "rank", known=np.ndim)
def ndim(layer: Layer, x: Operand) -> int:
    """The number of axes."""
    return layer.rank(tensor(layer, x))


@function("size", known=np.size)
def size(layer: Layer, x: Operand) -> Operand:
    """The number of elements, known now or by name."""
    return of_size(product(layer.shape(tensor(layer, x))))


def _range(*bounds: Any) -> Any:
    start, stop, step = (*((0,) * (len(bounds) == 1)), *bounds, 1)[:3]
    check_size(abs((stop - start) / step))
    return np.arange(start, stop, step)


def _full(shape: Any, value: Any) -> Any:
    sizes = np.ravel(shape)
    check_size(*sizes)
    return np.full([int(n) for n in sizes], value)


@function("full", known=_full)
def full(layer: Layer, shape: Any, value: Any) -> Value:
    """One number in a shape that is known."""
    raise layer.refuse("filling the shape", shown(shape))


@function("arange", "range", known=_range)
def arange(layer: Layer, *bounds: Operand) -> Value:
    """Numbers one after the other, between bounds that are known."""
    raise layer.refuse("bounds", shown(bounds))


@function("diff")
def diff(layer: Layer, x: Operand, n: Any = 1, axis: Any = -1) -> Value:
    """The differences of neighbours along the axis, n times."""
    x = tensor(layer, x)
    at = axes_of(layer, axis, layer.rank(x))[0]
    for _ in range(whole(layer, n, "n")):
        ends = part(layer, x, at, 1, None), part(layer, x, at, None, -1)
        x = layer.add(ops.Subtract(), *ends)
    return x
