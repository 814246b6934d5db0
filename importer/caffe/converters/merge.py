"""Converters: several bottoms into one, one into several."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ....runtime import ops
from ....runtime.errors import UnreadableFile
from ....runtime.op import Operation
from ...builder import Value
from ..layer import Layer, caffe, row_axis


@caffe("Eltwise")
def eltwise(layer: Layer, *x: Value) -> Value:
    param = layer.options("eltwise_param")
    coefficients: list[float] = param.get("coeff", [])
    operation = param.get("operation", "SUM")
    if coefficients and (operation != "SUM" or len(coefficients) != len(x)):
        raise UnreadableFile(f"{layer.title}: coeff {coefficients} for {operation} of {len(x)}")
    if len({layer.shape(one) for one in x}) > 1:
        shapes = ", ".join(str(layer.shape(one)) for one in x)
        raise UnreadableFile(f"{layer.title}: its bottoms differ: {shapes}")
    names, axes = layer.alike(x)
    for i, factor in enumerate(coefficients):
        if factor != 1:
            names[i] = layer.add(ops.Scale(factor), names[i])
    kinds: dict[str, Operation] = {
        "SUM": ops.Add(), "PROD": ops.Multiply(), "MAX": ops.Maximum(),
    }  # fmt: skip
    if operation not in kinds:
        raise param.refuse("operation")
    return Value(layer.add(kinds[operation], *names) if len(names) > 1 else names[0], axes)


@caffe("Concat")
def concat(layer: Layer, *x: Value) -> Value:
    param = layer.options("concat_param")
    rank = layer.rank(x[0])
    former = row_axis(param, "concat_dim", 1, rank)  # what the option was called once
    axis = row_axis(param, "axis", former, rank)
    names, axes = layer.alike(x)
    if len(names) == 1:
        return x[0]
    return Value(layer.add(ops.Concatenate(axes[axis] if axes else axis), *names), axes)


@caffe("Slice")
def slices(layer: Layer, x: Value) -> Sequence[Value]:
    param, count = layer.options("slice_param"), len(layer.facts.tops)
    former = row_axis(param, "slice_dim", 1, layer.rank(x))  # what it was called once
    axis = row_axis(param, "axis", former, layer.rank(x))
    size = layer.sizes(x)[axis - 1]
    points: list[int] = param.get("slice_point", [])
    if not points and size % count == 0:
        points = [size // count * i for i in range(1, count)]
    ends = [0, *points, size]
    if len(points) != count - 1 or any(a >= b for a, b in pairwise(ends)):
        raise UnreadableFile(f"{layer.title}: slice_point {points} cuts {size} for {count} tops")
    return [cut(layer, x, {axis: pair}) for pair in pairwise(ends)]


def cut(layer: Layer, x: Value, bounds: dict[int, tuple[int, int]]) -> Value:
    """The part of ``x`` that lies between the bounds of each axis."""
    places = {x.axes[axis] if x.axes else axis: pair for axis, pair in bounds.items()}
    rank = layer.rank(x)
    none = (None,) * rank
    begins = tuple(places[i][0] if i in places else None for i in range(rank))
    ends = tuple(places[i][1] if i in places else None for i in range(rank))
    return layer.each(ops.StridedSlice(begins, ends, none), x)


@caffe("Crop")
def crop(layer: Layer, x: Value, like: Value) -> Value:
    param = layer.options("crop_param")
    axis = row_axis(param, "axis", 2, layer.rank(x))
    sizes, wanted = layer.sizes(x)[axis - 1 :], layer.sizes(like)[axis - 1 :]
    offsets: list[int] = param.get("offset", []) or [0]
    offsets = offsets * len(sizes) if len(offsets) == 1 else offsets
    fits = len(sizes) == len(wanted) == len(offsets) and all(
        a >= 0 and a + n <= m for a, n, m in zip(offsets, wanted, sizes, strict=True)
    )
    if not fits:
        raise UnreadableFile(f"{layer.title}: {wanted} from {offsets} on are not in {sizes}")
    pairs = zip(offsets, wanted, strict=True)
    return cut(layer, x, {axis + i: (a, a + n) for i, (a, n) in enumerate(pairs)})


@caffe("Split")
def split(layer: Layer, x: Value) -> Sequence[Value]:
    return [x] * len(layer.facts.tops)
