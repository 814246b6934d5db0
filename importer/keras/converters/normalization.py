"""Converters: normalization by moments that were learnt, or by those of each row."""

from __future__ import annotations

import math
from typing import Any

from ....runtime import ops
from ...deferred import Deferred
from ..builder import Value
from ..layer import Layer, Result, keras
from .legacy import normalized_by_sample

RENORM = ("moving_stddev", "renorm_mean", "renorm_stddev")
"""Arrays that batch renormalization keeps for training."""


@keras(
    "BatchNormalization", "BatchNormalizationV1", "BatchNormalizationV2", "SyncBatchNormalization",
    masks=True,
)  # fmt: skip
def batch_normalization(layer: Layer, x: Value) -> Value:
    epsilon = number(layer.get("epsilon", 1e-3))
    axes = _axes(layer, x)
    layer.given("mask")  # matters to the moments of a batch in training
    if layer.get("mode", 0) == 1:
        layer.get("momentum", None)
        return normalized_by_sample(layer, x, epsilon)
    if len(axes) > 1:
        x = Value(layer.plain(x), (), x.mask)
    op = ops.BatchNormalization(
        tuple(x.axes[axis] for axis in axes) if x.axes else axes,  # below the transposition
        epsilon=epsilon,
        momentum=number(layer.get("momentum", 0.99)),
        center=bool(layer.get("center", True)),
        scale=bool(layer.get("scale", True)),
    )
    names = ["gamma"] * op.scale + ["beta"] * op.center + ["moving_mean", "moving_variance"]
    arrays = _shaped(layer.take(*names), [layer.shape(x)[axis] for axis in axes])
    if layer.get("renorm", False):
        for path in list(layer.arrays.left()):
            name = path.rpartition("/")[2]
            if name.isdigit() or name in RENORM:
                layer.take(name)
    return layer.through(op, x, **arrays)


@keras("LayerNormalization", masks=True)
def layer_normalization(layer: Layer, x: Value) -> Value:
    axes = _axes(layer, x)
    rms = bool(layer.get("rms_scaling", False))
    op = ops.LayerNormalization(
        axes,
        epsilon=number(layer.get("epsilon", 1e-3)),
        center=bool(layer.get("center", True)) and not rms,
        scale=bool(layer.get("scale", True)) or rms,
        rms_scaling=rms,
    )
    arrays = layer.take(*["gamma"] * op.scale, *["beta"] * op.center)
    # An axis may be counted from the end: Keras then stores the sizes in another order, and takes
    # the array as if they were in that of the axes.
    return layer.add(op, x, **_shaped(arrays, [layer.shape(x)[axis] for axis in axes]))


@keras("RMSNormalization")
def rms_normalization(layer: Layer, x: Value) -> Value:
    given: Any = layer.get("axis", -1)
    if isinstance(given, list) and len({axis < 0 for axis in given}) > 1:
        raise layer.refuse("axis", given)
    op = ops.RMSNormalization(_axes(layer, x), number(layer.get("epsilon", 1e-6)))
    return layer.add(op, x, **layer.take(gamma="scale"))


@keras("GroupNormalization", masks=True)
def group_normalization(layer: Layer, x: Value) -> Value:
    (axis,) = _axes(layer, x)
    if x.mask and layer.generation < 3:
        raise layer.refuse("mask", "that Keras 2 leaves out of its moments")
    op = ops.GroupNormalization(
        int(layer.get("groups", 32)),
        x.axes[axis] if x.axes else axis,
        epsilon=number(layer.get("epsilon", 1e-3)),
        center=bool(layer.get("center", True)),
        scale=bool(layer.get("scale", True)),
    )
    return layer.through(op, x, **layer.take(*["gamma"] * op.scale, *["beta"] * op.center))


@keras("UnitNormalization", masks=True)
def unit_normalization(layer: Layer, x: Value) -> Value:
    axes = _axes(layer, x)
    epsilon = 1e-12 if layer.generation > 2 else 1e-6
    op = ops.UnitNormalization(tuple(x.axes[axis] for axis in axes) if x.axes else axes, epsilon)
    return layer.through(op, x)


@keras("SpectralNormalization")
def spectral_normalization(layer: Layer, *x: Value) -> Result:
    """Only training divides the kernel by its norm, and it stores what comes of it."""
    layer.get("power_iterations", 1)
    inside = layer.arrays.part("layer")
    if not inside:
        layer.take("vector_u")
        return layer.inner(layer["layer"], layer.arrays).convert(*x)
    result = layer.inner(layer["layer"], inside).convert(*x)
    layer.take("kernel", "vector_u")  # the kernel is stored a second time
    return result


def number(value: Any) -> float:
    """Keras may store a number as a one-element array: {"type": "ndarray", "value": 0.3}."""
    if isinstance(value, dict):
        value = value["value"] if "value" in value else value["config"]["value"]
    return float(value)


def _axes(layer: Layer, x: Value) -> tuple[int, ...]:
    """The option ``axis``, a number or a list of them, counted from the first and in order."""
    given: Any = layer.get("axis", -1)
    rank = layer.rank(x)
    axes = [given] if isinstance(given, int) else list(given)
    if not axes or any(not isinstance(axis, int) or not -rank <= axis < rank for axis in axes):
        raise layer.refuse("axis", given)
    return tuple(sorted({axis % rank for axis in axes}))


def _shaped(arrays: dict[str, Deferred], shape: list[Any]) -> dict[str, Deferred]:
    """Arrays whose axes of size one, or the order of the others, are not those of ``shape``."""
    sizes = tuple(shape)
    return {
        name: array.map(lambda a: a.reshape(sizes))
        if array.shape != sizes and math.prod(array.shape) == math.prod(sizes)
        else array
        for name, array in arrays.items()
    }
