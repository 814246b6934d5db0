"""Shapes, and the same elements in another one or in another order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....runtime.errors import UnreadableFile, Unsupported
from ....runtime.tensor import product
from ...builder import Value
from ..call import Call, onnx, places, trimmed
from ..known import Known
from ..sizes import shape_array
from ..slices import axes_of
from .reshaping import inserted, reshaped, target


@onnx("Constant")
def constant(call: Call) -> Known:
    for name in ("value_float", "value_int", "value_floats", "value_ints"):
        if name in call.options:
            dtype = "float32" if "float" in name else "int64"
            return Known(np.asarray(call.options[name], dtype))
    return Known(np.asarray(call.options["value"]))


@onnx("Shape")
def shape(call: Call) -> Known:
    sizes = call.shape(call.need(0))
    start, end = (call.options.get(name) for name in ("start", "end"))
    return Known(shape_array(sizes[start:end]))


@onnx("Size")
def size(call: Call) -> Known:
    return Known(shape_array([product(call.shape(call.need(0)))]).reshape(()))


@onnx("Reshape")
def reshape(call: Call) -> Value:
    x = call.value(0)
    return reshaped(call, x, target(call, call.shape(x)))


@onnx("Flatten")
def flatten(call: Call) -> Value:
    x = call.value(0)
    sizes = call.shape(x)
    axis = call.options.get("axis", 1)
    if not -len(sizes) <= axis <= len(sizes):
        raise UnreadableFile(f"{call.title}: a value of {len(sizes)} axes has no axis {axis}")
    axis += len(sizes) * (axis < 0)
    return reshaped(call, x, (product(sizes[:axis]), product(sizes[axis:])))


@onnx("Squeeze")
def squeeze(call: Call) -> Value:
    x = call.value(0)
    sizes = call.shape(x)
    given = call.wholes(1, "axes", ()) or [i for i, n in enumerate(sizes) if n == 1]
    axes = axes_of(call, given, len(sizes))
    if wrong := [axis for axis in axes if sizes[axis] != 1]:
        raise Unsupported(f"{call.title}: axis {wrong[0]} of {sizes} is not 1")
    return reshaped(call, x, tuple(n for i, n in enumerate(sizes) if i not in axes))


@onnx("Unsqueeze")
def unsqueeze(call: Call) -> Value:
    x = call.value(0)
    sizes, given = call.shape(x), call.wholes(1, "axes")
    return reshaped(call, x, inserted(sizes, axes_of(call, given, len(sizes) + len(given))))


@onnx("Transpose")
def transpose(call: Call) -> Value:
    """Nothing is moved: it is the same value with other axes."""
    x = call.value(0)
    rank = len(call.shape(x))
    order: Sequence[int] = call.options.get("perm") or range(rank)[::-1]
    if sorted(order) != list(range(rank)):
        raise UnreadableFile(f"{call.title}: {tuple(order)} is no order of {rank} axes")
    axes = places(x, rank)
    return trimmed(x.name, [axes[i] for i in order])
