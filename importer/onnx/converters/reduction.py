"""Axes made one element."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ....runtime import ops
from ....runtime.errors import Unsupported
from ....runtime.op import Operation
from ...builder import Value
from ..call import Call, axis_of, onnx, places, trimmed
from ..slices import axes_of
from .reshaping import without

Axes = tuple[int, ...] | None
REDUCTIONS: dict[str, Callable[[Axes, bool], Operation]] = {
    "ReduceLogSumExp": ops.LogSumExp,
    "ReduceMax": ops.ReduceMax,
    "ReduceMean": ops.ReduceMean,
    "ReduceMin": ops.ReduceMin,
    "ReduceProd": ops.ReduceProd,
    "ReduceSum": ops.ReduceSum,
}
OF_BOOLEANS: dict[str, Callable[[Axes, bool], Operation]] = {
    "ReduceMax": ops.ReduceAny,
    "ReduceMin": ops.ReduceAll,
}
BEFORE: dict[str, tuple[Callable[[], Operation], Callable[[], Operation] | None]] = {
    "ReduceL1": (ops.Abs, None),
    "ReduceL2": (ops.Square, ops.Sqrt),
    "ReduceSumSquare": (ops.Square, None),
}
"""Sums of a function, and a function of the sum."""


@onnx(*REDUCTIONS, *BEFORE, "ReduceLogSum")
def reduction(call: Call) -> Value:
    x = call.value(0)
    rank = len(call.shape(x))
    given = call.wholes(1, "axes", ())
    keepdims = bool(call.options.get("keepdims", 1))
    nothing = call.options.get("noop_with_empty_axes", 0)
    if not given and nothing:
        raise Unsupported(f"{call.title}: it reduces no axes")
    axes = axes_of(call, given or range(rank), rank)
    first, last = BEFORE.get(call.kind, (None, ops.Log if call.kind == "ReduceLogSum" else None))
    if first:
        x = Value(call.add(first(), x.name), x.axes)
    table = OF_BOOLEANS if call.builder.types[x.name].dtype == "bool" else REDUCTIONS
    found = _reduced(call, table.get(call.kind, ops.ReduceSum), x, axes, keepdims)
    return Value(call.add(last(), found.name), found.axes) if last else found


def _reduced(
    call: Call,
    reduce: Callable[[Axes, bool], Operation],
    x: Value,
    axes: Sequence[int],
    keepdims: bool,
) -> Value:
    rank = len(call.shape(x))
    gone, left = without(x, rank, axes)
    if not axes:
        return x
    name = call.add(reduce(gone, keepdims), x.name)
    return Value(name, x.axes) if keepdims else trimmed(name, left)


@onnx("ArgMax", "ArgMin")
def place(call: Call) -> Value:
    x = call.value(0)
    rank = len(call.shape(x))
    axis = axis_of(call.options.get("axis", 0), rank, call.title)
    keepdims = bool(call.options.get("keepdims", 1))
    if call.options.get("select_last_index", 0):
        raise call.options.refuse("select_last_index")
    operation = ops.ArgMax if call.kind == "ArgMax" else ops.ArgMin
    (gone,), left = without(x, rank, [axis])
    name = call.add(operation(gone, keepdims), x.name)
    return Value(name, places(x, rank) if x.axes else ()) if keepdims else trimmed(name, left)
