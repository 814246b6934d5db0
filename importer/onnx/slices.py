"""The arguments that several operators have in common, of every version of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from ...runtime.errors import UnreadableFile, Unsupported
from ...runtime.tensor import Size
from .call import Call, axis_of
from .sizes import Open

Slices: TypeAlias = "tuple[slice[Any, Any, Any], ...]"
FURTHEST = 1_000_000_000
"""From here on an exporter means the end of an axis."""


def slices(call: Call, shape: Sequence[Size]) -> Slices:
    """What Slice takes of each axis. An end may be an open size, of an axis that is not as long."""
    rank, starts, ends = len(shape), call.wholes(1, "starts"), call.numbers(2, "ends")
    axes = call.wholes(3, "axes", ()) or tuple(range(len(starts)))
    steps = call.wholes(4, default=()) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise UnreadableFile(f"{call.title}: slices {starts}, {ends}, {axes}, {steps}")
    found: list[slice[Any, Any, Any]] = [slice(None)] * rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place = axis_of(axis, rank, call.title)
        if isinstance(end, Open):
            if start != 0 or step != 1:
                raise Unsupported(f"{call.title}: from {start} to {end} by {step}")
            found[place] = slice(None if shape[place] == end.size else end)
            continue
        found[place] = slice(
            None if abs(start) >= FURTHEST and (start > 0) == (step < 0) else start,
            None if abs(end) >= FURTHEST and (end > 0) == (step > 0) else end,
            step,
        )
    return tuple(found)


def open_end(part: slice[Any, Any, Any]) -> str:
    """The open size that a slice ends at; "" if it ends at none."""
    return part.stop.size if isinstance(part.stop, Open) else ""


def axes_of(call: Call, given: Sequence[int], rank: int) -> tuple[int, ...]:
    """The axes, none negative, in order.

    Raises:
        UnreadableFile: one that is not there, or there twice.
    """
    found = sorted(axis_of(axis, rank, call.title) for axis in given)
    if len(set(found)) < len(found):
        raise UnreadableFile(f"{call.title}: its axes {tuple(given)} name one twice")
    return tuple(found)


def parts_of(call: Call, size: int) -> tuple[int, ...]:
    """The sizes of what Split makes of an axis."""
    if given := call.wholes(1, "split", ()):
        parts = given
    else:
        count = call.options.whole("num_outputs", len(call.outputs), 1)
        each = -(-size // count)
        parts = (*[each] * (count - 1), size - each * (count - 1))
    if sum(parts) != size or min(parts) < 1 or len(parts) != len(call.outputs):
        raise UnreadableFile(f"{call.title}: its parts {parts} are not an axis of {size}")
    return parts
