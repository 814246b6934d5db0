"""Converters: other shapes of the same elements."""

from __future__ import annotations

from math import prod

from ....runtime import ops
from ....runtime.errors import UnreadableFile, Unsupported
from ...builder import Value
from ..layer import Layer, caffe, row_axis


@caffe("Flatten")
def flatten(layer: Layer, x: Value) -> Value:
    param, sizes = layer.options("flatten_param"), layer.sizes(x)
    first = row_axis(param, "axis", 1, layer.rank(x))
    last = row_axis(param, "end_axis", -1, layer.rank(x)) if sizes else 0
    if last < first:
        raise UnreadableFile(f"{layer.title}: it would flatten the axes {first} to {last}")
    merged = prod(sizes[first - 1 : last])
    return reshaped(layer, x, (*sizes[: first - 1], merged, *sizes[last:]))


def reshaped(layer: Layer, x: Value, row: tuple[int, ...]) -> Value:
    """The elements of each row in another shape."""
    sizes = layer.sizes(x)
    if prod(row) != prod(sizes) or not all(n > 0 for n in row):
        raise UnreadableFile(f"{layer.title}: {sizes} cannot take the shape {row}")
    return x if row == sizes else layer.on_plain(ops.Reshape(row), x)


@caffe("Reshape")
def reshape(layer: Layer, x: Value) -> Value:
    param = layer.options("reshape_param")
    given = param.get("shape", {})
    told: list[int] = given.get("dim", []) if isinstance(given, dict) else []
    rank = layer.rank(x)
    start = int(param.number("axis", 0))
    start = start if start >= 0 else rank + 1 + start
    count = int(param.number("num_axes", -1))
    end = rank if count == -1 else start + count
    if not 0 <= start <= end <= rank:
        raise UnreadableFile(f"{layer.title}: axis {start} and num_axes {count} of {rank} axes")
    return reshaped(layer, x, _row(layer, layer.sizes(x), told, start, end))


def _row(
    layer: Layer, sizes: tuple[int, ...], told: list[int], start: int, end: int
) -> tuple[int, ...]:
    """The shape of a row, of which the axes from ``start`` to ``end`` become ``told``."""
    whole = (0, *sizes)  # a batch of any size
    dims = [whole[start + i] if n == 0 and start + i < end else n for i, n in enumerate(told)]
    shape = [*whole[:start], *dims, *whole[end:]]
    if not shape or shape.count(-1) > 1:
        raise UnreadableFile(f"{layer.title}: its shape is {told}")
    batch, *row = shape
    if -1 in row:
        known = prod(n for n in row if n != -1)
        row[row.index(-1)] = prod(sizes) // known if known > 0 else 0
    if batch not in (0, -1, layer.batch) or (batch == -1 and prod(row) != prod(sizes)):
        raise Unsupported(f"{layer.title}: {told} takes elements from one row to another")
    return tuple(row)


@caffe("Permute")
def permute(layer: Layer, x: Value) -> Value:
    """SSD's: nothing moves, the axes are only called otherwise."""
    param = layer.options("permute_param")
    order: list[int] = param.get("order", [])
    rank = layer.rank(x)
    whole = (*order, *(i for i in range(rank) if i not in order))
    if sorted(whole) != list(range(rank)) or whole[0] != 0:
        raise Unsupported(f"{layer.title}: the order {order} of {rank} axes")
    axes = x.axes or tuple(range(rank))
    return Value(x.name, tuple(axes[i] for i in whole))


@caffe("Tile")
def tile(layer: Layer, x: Value) -> Value:
    param = layer.options("tile_param")
    rank = layer.rank(x)
    axis, tiles = row_axis(param, "axis", 1, rank), param.whole("tiles", least=1)
    place = x.axes[axis] if x.axes else axis
    return layer.each(ops.Tile(tuple(tiles if i == place else 1 for i in range(rank))), x)
