"""The same elements in another shape. Where the channels are last, they stay there if they can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ....runtime import ops
from ....runtime.errors import UnreadableFile, Unsupported
from ....runtime.tensor import Size, product, quotient
from ...builder import Value
from ..call import Call, places, trimmed
from ..sizes import plain

Shape = tuple[Size, ...]
MOST_AXES = 32


class Group(NamedTuple):
    """Axes of one shape that together have the elements of axes of another."""

    axes: tuple[int, ...]
    sizes: Shape


def reshaped(call: Call, x: Value, to: Shape) -> Value:
    """A value whose tensor has the elements of x's in another shape."""
    shape = call.shape(x)
    if shape == to:
        return x
    groups = _groups(shape, to)
    order = places(x, len(shape))
    if not _lie_together(groups, shape, order):
        x = Value(call.builder.plain(x, call.layer))
        order = tuple(range(len(shape)))
    inside = _as_they_lie(groups, shape, order)
    graph = tuple(n for group in inside for n in group.sizes)
    starts, at = dict[tuple[int, ...], int](), 0
    for group in inside:
        starts[group.axes] = at
        at += len(group.sizes)
    axes = [starts[group.axes] + i for group in groups for i in range(len(group.sizes))]
    return trimmed(_view(call, x.name, graph), axes)


def _groups(shape: Shape, to: Shape) -> list[Group]:
    """The axes of both, from one size that the two have in common to the next."""
    ends = [product(to[:i]) for i in range(len(to) + 1)]
    groups: list[Group] = []
    here = there = 0
    for i in range(1, len(shape) + 1):
        size = product(shape[:i])
        j = next((j for j in range(there + 1, len(to) + 1) if ends[j] == size), None)
        if j is not None:
            groups.append(Group(tuple(range(here, i)), to[there:j]))
            here, there = i, j
    rest = Group(tuple(range(here, len(shape))), to[there:])
    if not groups:
        return [rest]
    last = groups.pop()
    return [*groups, Group(last.axes + rest.axes, last.sizes + rest.sizes)]


def _lie_together(groups: Sequence[Group], shape: Shape, order: Sequence[int]) -> bool:
    """Whether each group's axes follow one another in the graph's value.

    ``order`` says where the axes are; those of size 1 may be anywhere.
    """
    inner = sorted(order[axis] for axis, n in enumerate(shape) if n != 1)
    for group in groups:
        found = [inner.index(order[axis]) for axis in group.axes if shape[axis] != 1]
        if found != list(range(found[0], found[0] + len(found))) if found else False:
            return False
    return True


def _as_they_lie(groups: Sequence[Group], shape: Shape, order: Sequence[int]) -> list[Group]:
    """The groups in the order of the graph's value; those of ones alone stay behind another."""

    def place(group: Group) -> int:
        inner = [order[axis] for axis in group.axes if shape[axis] != 1]
        return min(inner or [order[axis] for axis in group.axes], default=0)

    return sorted(groups, key=place)


def _view(call: Call, name: str, to: Shape) -> str:
    """The graph's value in another shape."""
    shape = call.builder.types[name].shape
    if shape == to:
        return name
    if to and shape[0] == to[0]:
        still_open = [n for n in to[1:] if isinstance(n, str)]
        if len(still_open) <= 1:
            return call.add(
                ops.Reshape(tuple(-1 if isinstance(n, str) else n for n in to[1:])), name
            )
    return call.add(_whole(call, shape, to), name)


def _whole(call: Call, shape: Shape, to: Shape) -> ops.ReshapeAll:
    """The operation that also moves elements between rows."""
    sizes: list[int] = []
    axes: list[int] = []
    for n in to:
        if isinstance(n, int):
            sizes.append(n)
        elif n in shape:
            sizes.append(0)
            axes.append(shape.index(n))
        else:
            sizes.append(-1)
    if sizes.count(-1) > 1:
        raise Unsupported(f"{call.title}: {shape} as {to} is not supported")
    return ops.ReshapeAll(tuple(sizes), tuple(axes))


def target(call: Call, shape: Shape) -> Shape:
    """The shape that Reshape asks for, its 0 and -1 replaced.

    Raises:
        UnreadableFile: the elements do not fit.
        Unsupported: how many elements there are depends on open sizes in an unknown way.
    """
    asked = [plain(n) for n in call.numbers(1, "shape")]
    if len(asked) > MOST_AXES:
        raise UnreadableFile(f"{call.title}: a shape of {len(asked)} axes")
    said = f"{call.title}: a value of shape {shape} cannot take {tuple(asked)}"
    copies = not call.options.whole("allowzero", 0)
    if any(n == 0 and (not copies or i >= len(shape)) for i, n in enumerate(asked)):
        raise UnreadableFile(said)
    sizes = [shape[i] if n == 0 else n for i, n in enumerate(asked)]
    whole, known = product(shape), product(n for n in sizes if n != -1)
    # Of open sizes it may be that they fit, but not that it is known here.
    error = UnreadableFile if isinstance(whole, int) and isinstance(known, int) else Unsupported
    try:
        rest = quotient(whole, known)
    except ValueError:
        raise error(said) from None
    if sizes.count(-1) > 1 or (-1 not in sizes and rest != 1):
        raise error(said)
    return tuple(rest if n == -1 else n for n in sizes)


def without(x: Value, rank: int, removed: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(where the removed axes are in the graph's value, the axes of what is left)."""
    order = places(x, rank)
    gone = tuple(sorted(order[axis] for axis in removed))
    left = [order[axis] for axis in range(rank) if axis not in removed]
    ranks = {place: i for i, place in enumerate(sorted(left))}
    return gone, tuple(ranks[place] for place in left)


def inserted(sizes: Shape, axes: Sequence[int]) -> Shape:
    """The shape with ones where ``axes`` says they are in it then."""
    rest = iter(sizes)
    return tuple(1 if i in axes else next(rest) for i in range(len(sizes) + len(axes)))
