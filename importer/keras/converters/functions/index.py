"""Elements picked out: by slices as Python writes them, and by their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .....runtime import ops
from .....runtime.tensor import Size, scaled, total
from ....deferred import Deferred
from ...builder import Value
from ...layer import Layer
from .operand import (
    Open,
    Operand,
    axes_of,
    folded,
    function,
    is_tensor,
    of_size,
    remade,
    shape_of,
    shown,
    stored,
    tensor,
    whole,
)
from .reshape import reshape, sizes_of
from .shape import expand_dims, tile


@function("getitem")
def getitem(layer: Layer, x: Operand, key: Any) -> Operand:
    """x[key]: numbers, slices, ``...`` and None, or a list of numbers for one axis."""
    keys = tuple(key) if isinstance(key, tuple | list) else (key,)
    keys = tuple(folded(k) if not isinstance(k, slice) else _plain(k) for k in keys)
    if not is_tensor(x):
        return folded(np.asarray(x)[keys])
    if isinstance(x, Deferred):
        return remade(x, str(keys), lambda array: array[keys])
    x = tensor(layer, x)
    taking = sum(k is not None and k is not ... for k in keys)
    if keys.count(...) > 1 or taking > layer.rank(x):
        raise layer.refuse("indexing with", _said(keys))
    if ... not in keys:
        keys = (*keys, ...)
    at = keys.index(...)
    whole_axes = (slice(None),) * (layer.rank(x) - taking)
    return _indexed(layer, x, (*keys[:at], *whole_axes, *keys[at + 1 :]))


def _plain(bounds: slice) -> slice:
    return slice(*(folded(n) for n in (bounds.start, bounds.stop, bounds.step)))


def _said(keys: Sequence[Any]) -> str:
    return ", ".join(str(shown(k)) for k in keys)


def _indexed(layer: Layer, x: Value, keys: Sequence[Any]) -> Value:
    """A key for each axis of x, and None for new ones."""
    begins, ends, steps = list[Any](), list[Any](), list[Any]()
    dropped: list[int] = []
    lists: list[tuple[int, Any]] = []
    sizes = iter(layer.shape(x))
    for key in (k for k in keys if k is not None):
        begin, end, step, size = None, None, None, next(sizes)
        if isinstance(key, slice):
            begin, end = (_bound(layer, n, size) for n in (key.start, key.stop))
            step = None if key.step is None else whole(layer, key.step, "step")
        elif isinstance(key, np.ndarray) and key.dtype.kind in "iu":
            lists.append((len(begins), key))
        else:
            begin = whole(layer, key, "indexing with")
            end = begin + 1 or None
            dropped.append(len(begins))
        for bounds, n in ((begins, begin), (ends, end), (steps, None if step == 1 else step)):
            bounds.append(n)
    if any(n is not None for n in (*begins, *ends, *steps)):
        x = _sliced(layer, x, begins, ends, steps)
    for axis, numbers in lists:
        if numbers.ndim != 1 or len(lists) > 1 or dropped:
            raise layer.refuse("indexing with", _said(keys))
        x = layer.add(ops.Take(tuple(numbers.tolist()), axis), x)
    x = layer.add(ops.Squeeze(tuple(dropped)), x) if dropped else x
    return _with_new_axes(layer, x, [k for k in keys if not isinstance(k, int | np.integer)])


def _sliced(layer: Layer, x: Value, begins: list[Any], ends: list[Any], steps: list[Any]) -> Value:
    while begins and begins[-1] is ends[-1] is steps[-1] is None:
        del begins[-1], ends[-1], steps[-1]
    return layer.add(ops.StridedSlice(tuple(begins), tuple(ends), tuple(steps)), x)


def _bound(layer: Layer, bound: Any, size: Size) -> int | None:
    """A bound of a slice; one that follows from an open size counts from the axis' end."""
    if bound is None:
        return None
    if not isinstance(bound, Open):
        return whole(layer, bound, "slicing with")
    distance = of_size(total((bound.length, scaled(size, -1))))
    if isinstance(size, int) or not isinstance(distance, int) or distance > 0:
        raise layer.refuse("slicing with", bound)
    return distance or None


def _with_new_axes(layer: Layer, x: Value, keys: Sequence[Any]) -> Value:
    axes = tuple(i for i, key in enumerate(keys) if key is None)
    return layer.add(ops.ExpandDims(axes), x) if axes else x


@function("slice")
def slice_(layer: Layer, x: Operand, start_indices: Any, shape: Any) -> Operand:
    """The part that begins at these places and has this shape; -1: all that is left."""
    starts, wanted = (sizes_of(layer, given) for given in (start_indices, shape))
    bounds = zip(starts, wanted, shape_of(layer, x), strict=True)
    keys = [
        slice(begin, None if n == -1 or n == size else whole(layer, begin, "slice") + int(n))
        for begin, n, size in bounds
    ]
    return getitem(layer, x, tuple(keys))


@function("take", known=np.take)
def take(layer: Layer, x: Operand, indices: Operand, axis: Any = None) -> Value:
    """The elements of x with these numbers along the axis; axes of the numbers take its place."""
    if axis is None:
        raise layer.refuse("axis", None)
    at = axes_of(layer, axis, len(shape_of(layer, x)))[0]
    if not is_tensor(indices):
        return _picked(layer, tensor(layer, x), np.asarray(indices), at)
    ids = tensor(layer, indices)
    if not isinstance(x, Value):
        x = np.asarray(x) if not is_tensor(x) else x
        if len(x.shape) == 2 and at == 0:
            return _looked_up(layer, x, ids)
    return layer.add(ops.Gather(at), tensor(layer, x), ids)


def _looked_up(layer: Layer, table: Operand, ids: Value) -> Value:
    """Rows of a table, whose array trains as that of an embedding."""
    array = stored(layer, table)
    return layer.add(ops.Embedding(*array.shape), ids, table=array)


def _picked(layer: Layer, x: Value, places: Any, axis: int) -> Value:
    picked = layer.add(ops.Take(tuple(int(n) for n in places.reshape(-1)), axis), x)
    if places.ndim == 0:
        return layer.add(ops.Squeeze((axis,)), picked)
    if places.ndim == 1:
        return picked
    sizes = [of_size(size) for size in layer.shape(x)]
    return reshape(layer, picked, [*sizes[:axis], *places.shape, *sizes[axis + 1 :]])


@function("take_along_axis", known=np.take_along_axis)
def take_along_axis(layer: Layer, x: Operand, indices: Operand, axis: Any = -1) -> Value:
    """y[i, j, k] = x[i, indices[i, j, k], k], for axis 1 of three."""
    x, ids = tensor(layer, x), tensor(layer, indices)
    at = axes_of(layer, axis, layer.rank(x))[0]
    pairs = list(zip(layer.shape(x), layer.shape(ids), strict=True))
    times = [n if m == 1 and i != at else 1 for i, (n, m) in enumerate(pairs)]
    if any(n != 1 for n in times):
        ids = tile(layer, ids, times)
    return layer.add(ops.TakeAlongAxis(at), x, ids)


@function("gather")
def gather(
    layer: Layer, x: Operand, indices: Operand, axis: Any = None, batch_dims: Any = 0
) -> Value:
    """As ``take``; with batch dimensions each row has numbers of its own."""
    batch = whole(layer, 0 if batch_dims is None else batch_dims, "batch_dims")
    rank = len(shape_of(layer, x))
    at = axes_of(layer, batch if axis is None else axis, rank)[0]
    if batch == 0:
        return take(layer, x, indices, at)
    x, ids = tensor(layer, x), tensor(layer, indices)
    if batch != 1 or at != 1 or layer.rank(ids) > 2:
        raise layer.refuse("batch_dims", batch)
    alone = layer.rank(ids) == 1
    ids = expand_dims(layer, ids, 1) if alone else ids
    for _ in range(rank - 2):
        ids = expand_dims(layer, ids, -1)
    y = take_along_axis(layer, x, ids, 1)
    return layer.add(ops.Squeeze((1,)), y) if alone else y
