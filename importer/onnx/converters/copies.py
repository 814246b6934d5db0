"""Parts of values, values put together, and copies of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....runtime import ops
from ....runtime.errors import UnreadableFile, Unsupported
from ....runtime.tensor import Size, broadcast
from ...builder import Value
from ..call import Call, Given, axis_of, onnx, places, trimmed
from ..known import Known
from ..sizes import Open, plain
from ..slices import open_end, parts_of, slices
from ..weights import DTYPES
from .reshaping import reshaped


@onnx("Concat")
def concat(call: Call) -> Given:
    given = [call.need(i) for i in range(len(call.inputs))]
    rank = len(call.shape(given[0]))
    axis = axis_of(call.options["axis"], rank, call.title)
    if len(given) == 1:
        return given[0]
    names, axes = call.alike(*given)
    place = axes[axis] if axes else axis
    return trimmed(call.add(ops.Concatenate(place), *names), axes)


@onnx("Split")
def split(call: Call) -> list[Value]:
    x = call.value(0)
    sizes = call.shape(x)
    axis = axis_of(call.options.get("axis", 0), len(sizes), call.title)
    size = sizes[axis]
    if not isinstance(size, int):
        raise Unsupported(f"{call.title}: an open size cannot be split")
    place, start = places(x, len(sizes))[axis], 0
    found: list[Value] = []
    for count in parts_of(call, size):
        found.append(Value(_cut(call, x.name, {place: slice(start, start + count)}), x.axes))
        start += count
    return found


@onnx("Slice")
def cut(call: Call) -> Value:
    x = call.value(0)
    shape = call.shape(x)
    order = places(x, len(shape))
    parts = {order[axis]: part for axis, part in enumerate(slices(call, shape))}
    known = {i: part for i, part in parts.items() if not open_end(part)}
    name = _cut(call, x.name, known) if known else x.name
    for place, part in parts.items():
        if end := open_end(part):
            like, of = call.with_size(end)
            name = call.add(ops.Leading(place, of), name, like)
    return Value(name, x.axes)


def _cut(call: Call, name: str, parts: dict[int, slice[Any, Any, Any]]) -> str:
    whole = slice(None)
    ordered = [parts.get(i, whole) for i in range(max(parts) + 1)]
    if all(part in (whole, slice(None, None, 1), slice(0, None, 1)) for part in ordered):
        return name
    begins, ends, steps = (
        tuple(getattr(part, side) for part in ordered) for side in ("start", "stop", "step")
    )
    return call.add(ops.StridedSlice(begins, ends, steps), name)


LONGEST_RANGE = 4096


@onnx("Range")
def arange(call: Call) -> Value:
    """The whole numbers below an open size, which is bounded here."""
    start, limit, step = (call.known(i).here().reshape(()) for i in range(3))
    number: Any = limit.tolist()
    whole, dtype = start == 0 and step == 1, start.dtype.name
    if not isinstance(number, Open) or not whole or dtype not in DTYPES:
        raise Unsupported(f"{call.title}: a range from {start} to {limit} by {step}")
    numbers = call.add(ops.Literal(tuple(range(LONGEST_RANGE)), (LONGEST_RANGE,)))
    like, of = call.with_size(number.size)
    name = call.add(ops.Leading(0, of), numbers, like)
    return Value(name if dtype == "int64" else call.add(ops.Cast(DTYPES[dtype]), name))


@onnx("Gather")
def gather(call: Call) -> Value:
    table, ids = call.need(0), call.need(1)
    rank = len(call.shape(table))
    axis = axis_of(call.options.get("axis", 0), rank, call.title)
    if isinstance(ids, Value):
        return _looked_up(call, table, ids, axis)
    x, number = call.value(0), call.known(1).here()
    if number.dtype == object:
        raise Unsupported(f"{call.title}: its indices {number} depend on open sizes")
    place = places(x, rank)[axis]
    size = call.shape(x)[axis]
    if isinstance(size, int) and number.size and not -size <= number.min() <= number.max() < size:
        raise UnreadableFile(f"{call.title}: an axis of {size} has not all of its indices")
    flat = tuple(int(n) for n in number.reshape(-1))
    taken = Value(call.add(ops.Take(flat, place), x.name), x.axes)
    sizes = call.shape(taken)
    return reshaped(call, taken, (*sizes[:axis], *number.shape, *sizes[axis + 1 :]))


def _looked_up(call: Call, table: Given, ids: Value, axis: int) -> Value:
    """An embedding, where the ids come from outside: there a negative one is no number."""
    wanted = call.builder.plain(ids, call.layer)
    from_outside = axis == 0 and wanted in call.builder.inputs
    if from_outside and isinstance(table, Known) and table.trained and len(table.shape) == 2:
        weight = call.weight(table)
        return Value(call.add(ops.Embedding(*table.shape), wanted, table=weight))
    return Value(call.add(ops.Gather(axis), call.plain(0), wanted))


@onnx("GatherElements")
def gather_elements(call: Call) -> Value:
    axis = axis_of(call.options.get("axis", 0), len(call.shape(call.need(0))), call.title)
    names, axes = call.alike(call.need(0), call.need(1))
    return trimmed(call.add(ops.TakeAlongAxis(axes[axis] if axes else axis), *names), axes)


@onnx("Expand")
def expand(call: Call) -> Value:
    x = call.value(0)
    sizes = call.shape(x)
    wanted: tuple[Size, ...] = tuple(plain(n) for n in call.numbers(1))
    to = broadcast((sizes, wanted))
    if to == sizes:
        return x
    # Axes that are put before those of the value have no size of its own to keep.
    more = len(to) - len(sizes)
    shape = (*to[:more], *(-1 if n == m else n for n, m in zip(to[more:], sizes, strict=True)))
    if any(isinstance(n, str) for n in shape):
        raise Unsupported(f"{call.title}: {sizes} as {to} is not supported")
    op = ops.BroadcastTo(tuple(int(n) for n in shape))
    return Value(call.add(op, call.builder.plain(x, call.layer)))


@onnx("Tile")
def tile(call: Call) -> Value:
    x = call.value(0)
    sizes, times = call.shape(x), call.wholes(1)
    if len(times) != len(sizes) or min(times, default=1) < 1:
        raise UnreadableFile(f"{call.title}: it repeats {sizes} {times} times")
    order = places(x, len(sizes))
    placed = tuple(times[order.index(i)] for i in range(len(sizes)))
    return Value(call.add(ops.Tile(placed), x.name), x.axes)


@onnx("Pad")
def pad(call: Call) -> Value:
    x = call.value(0)
    rank = len(call.shape(x))
    pads = call.wholes(1, "pads")
    number = call.scalar(call.given(2))
    if number is None:
        number = call.options.number("value", 0.0)
    axes = [axis_of(axis, rank, call.title) for axis in call.wholes(3, default=range(rank))]
    if len(pads) != 2 * len(axes):
        raise UnreadableFile(f"{call.title}: {len(pads)} pads for {len(axes)} axes")
    mode = _text(call.options.get("mode", "constant"))
    if mode not in ("constant", "edge", "reflect") or min(pads, default=0) < 0:
        raise Unsupported(f"{call.title}: pads {pads} in the mode {mode!r} are not supported")
    order = places(x, rank)
    pairs = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        pairs[order[axis]] = (pads[i], pads[i + len(axes)])
    if not any(map(any, pairs)):
        return x
    return Value(call.add(ops.Pad(tuple(pairs), mode, number), x.name), x.axes)


def _text(found: str | bytes) -> str:
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found


@onnx("DepthToSpace")
def depth_to_space(call: Call) -> Value:
    """Blocks of channels as blocks of an image."""
    x = call.value(0)
    size, mode = call.options.whole("blocksize", least=1), _text(call.options.get("mode", "DCR"))
    rows, channels, height, width = call.sizes_of_image(x)
    if channels % size**2 or mode not in ("DCR", "CRD"):
        raise UnreadableFile(f"{call.title}: {channels} channels as blocks of {size} ({mode})")
    depth = channels // size**2
    split_channels = (size, size, depth) if mode == "DCR" else (depth, size, size)
    order = (0, 3, 4, 1, 5, 2) if mode == "DCR" else (0, 1, 4, 2, 5, 3)
    apart = reshaped(call, x, (rows, *split_channels, height, width))
    turned = _turned(apart, order)
    return reshaped(call, turned, (rows, depth, height * size, width * size))


@onnx("SpaceToDepth")
def space_to_depth(call: Call) -> Value:
    x, size = call.value(0), call.options.whole("blocksize", least=1)
    if _text(call.options.get("mode", "DCR")) != "DCR":
        raise call.options.refuse("mode")
    rows, channels, height, width = call.sizes_of_image(x)
    if height % size or width % size:
        raise UnreadableFile(f"{call.title}: {height} × {width} in blocks of {size}")
    high, wide = height // size, width // size
    apart = reshaped(call, x, (rows, channels, high, size, wide, size))
    turned = _turned(apart, (0, 3, 5, 1, 2, 4))
    return reshaped(call, turned, (rows, channels * size**2, high, wide))


def _turned(x: Value, order: Sequence[int]) -> Value:
    axes = places(x, len(order))
    return trimmed(x.name, [axes[i] for i in order])


@onnx("CumSum")
def cumsum(call: Call) -> Value:
    x = call.value(0)
    rank = len(call.shape(x))
    (axis,) = call.wholes(1)
    op = ops.CumSum(
        places(x, rank)[axis_of(axis, rank, call.title)],
        bool(call.options.get("reverse", 0)),
        bool(call.options.get("exclusive", 0)),
    )
    return Value(call.add(op, x.name), x.axes)


@onnx("OneHot")
def one_hot(call: Call) -> Value:
    """A negative index counts from the end."""
    (depth,), values = call.wholes(1), call.known(2)
    x = call.value(0)
    axis = axis_of(call.options.get("axis", -1), len(call.shape(x)) + 1, call.title)
    if values.array.dtype != np.float32 or values.shape != (2,):
        raise Unsupported(f"{call.title}: values that are no two floats")
    low, high = values.here().tolist()
    name = call.add(ops.Cast("int64"), call.plain(0))
    end = call.add(ops.Literal((depth,), (1,) * len(call.shape(x))))
    from_end = call.add(ops.Add(), name, end)
    name = call.add(ops.Where(), call.add(ops.Less(0), name), from_end, name)
    found = call.add(ops.OneHot(depth, axis), name)
    return Value(found if (low, high) == (0, 1) else call.add(ops.Scale(high - low, low), found))
