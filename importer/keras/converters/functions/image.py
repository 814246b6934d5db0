"""Images: other sizes, frames, colours, and blocks of pixels as channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from .....runtime import ops
from .....runtime.tensor import Size, product
from ...builder import Value
from ...layer import Layer
from .elementwise import multiply
from .operand import Operand, floats, function, of_size, whole
from .reduction import reduced
from .reshape import reshape, sizes_of
from .shape import pad, transpose
from .window import with_channels_last


@function("resize", "resize_images")
def resize(
    layer: Layer,
    x: Operand,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    data_format: Any = None,
) -> Value:
    """Images of another size (height, width), which may be so many times their own."""
    wanted = sizes_of(layer, size, "size")

    def compute(value: Value) -> Value:
        return layer.add(_resample(layer, value, wanted, interpolation, antialias), value)

    x = floats(layer, x)
    if layer.rank(x) != 3:
        return with_channels_last(layer, x, data_format, compute)
    alone = layer.add(ops.ExpandDims((0,)), x)
    return layer.add(ops.Squeeze((0,)), with_channels_last(layer, alone, data_format, compute))


def _resample(
    layer: Layer, x: Value, wanted: list[Size], method: Any, antialias: bool
) -> ops.Resample:
    have = layer.shape(x)[1:-1]
    if len(have) != len(wanted):
        raise layer.refuse("size", wanted)
    if all(isinstance(n, int) for n in wanted):
        size = tuple(int(n) for n in wanted)
        if not antialias and method in ("nearest", "bilinear") and _multiple(have, size):
            return ops.Resample(factors=_multiple(have, size), method=method)
        return ops.Resample(size, method=method, antialias=bool(antialias))
    factors = [
        next((k for k in range(1, MOST_TIMES) if product((n, k)) == m), None)
        for n, m in zip(have, wanted, strict=True)
    ]
    if None in factors:
        raise layer.refuse("size", wanted)
    times = tuple(k for k in factors if k)
    return ops.Resample(factors=times, method=method, antialias=bool(antialias))


MOST_TIMES = 65
"""How many times as large an image of open size can be made."""


def _multiple(have: tuple[Size, ...], size: tuple[int, ...]) -> tuple[int, ...]:
    """How many times as large all sizes are; empty if that is no whole number."""
    if any(isinstance(n, str) or m % n for n, m in zip(have, size, strict=True)):
        return ()
    return tuple(m // int(n) for n, m in zip(have, size, strict=True))


@function("depth_to_space")
def depth_to_space(layer: Layer, x: Operand, block_size: Any, data_format: Any = None) -> Value:
    """Channels as blocks of pixels."""
    b = whole(layer, block_size, "block_size")

    def compute(value: Value) -> Value:
        n, h, w, c = (of_size(size) for size in layer.shape(value))
        blocks = reshape(layer, value, [n, h, w, b, b, c // (b * b)])
        apart = Value(layer.plain(transpose(layer, blocks, [0, 1, 3, 2, 4, 5])))
        rows = layer.add(ops.MergeAxes(1, 2), apart)
        return layer.add(ops.MergeAxes(2, 2), rows)

    return with_channels_last(layer, x, data_format, compute)


@function("space_to_depth")
def space_to_depth(layer: Layer, x: Operand, block_size: Any, data_format: Any = None) -> Value:
    """Blocks of pixels as channels."""
    b = whole(layer, block_size, "block_size")

    def compute(value: Value) -> Value:
        n, h, w, c = (of_size(size) for size in layer.shape(value))
        blocks = reshape(layer, value, [n, h // b, b, w // b, b, c])
        together = transpose(layer, blocks, [0, 1, 3, 2, 4, 5])
        return reshape(layer, together, [n, h // b, w // b, c * b * b])

    return with_channels_last(layer, x, data_format, compute)


@function("rgb_to_grayscale")
def rgb_to_grayscale(layer: Layer, x: Operand, data_format: Any = None) -> Value:
    """One channel: how bright the three together are."""

    def compute(value: Value) -> Value:
        weighted = multiply(layer, value, np.array([0.2989, 0.587, 0.114], np.float32))
        return reduced(layer, ops.ReduceSum, weighted, -1, True)

    return with_channels_last(layer, x, data_format, compute)


Pair = tuple[int, int]


def _margin(layer: Layer, size: Size, target: Any, before: Any, after: Any, sign: int) -> Pair:
    """What is added (or, sign -1, taken) at both ends of an axis; one of three numbers is open."""
    if target is not None:
        if isinstance(size, str):
            raise layer.refuse("an image of the open size", size)
        change = sign * (whole(layer, target, "size") - size)
        given = before if before is not None else after
        other = change - whole(layer, given, "margin")
        return (other, change - other) if before is None else (change - other, other)
    return whole(layer, before or 0, "margin"), whole(layer, after or 0, "margin")


def _margins(layer: Layer, x: Value, given: dict[str, Any], word: str, sign: int) -> list[Pair]:
    sides = [given.get(f"{side}_{word}") for side in ("top", "bottom", "left", "right")]
    height, width = layer.shape(x)[1:3]
    return [
        _margin(layer, height, given.get("target_height"), sides[0], sides[1], sign),
        _margin(layer, width, given.get("target_width"), sides[2], sides[3], sign),
    ]


@function("pad_images")
def pad_images(layer: Layer, x: Operand, data_format: Any = None, **margins: Any) -> Value:
    """Images in a frame of zeros."""

    def compute(value: Value) -> Value:
        pairs = _margins(layer, value, margins, "padding", 1)
        return pad(layer, value, [(0, 0), *pairs, (0, 0)])

    return with_channels_last(layer, x, data_format, compute)


@function("crop_images")
def crop_images(layer: Layer, x: Operand, data_format: Any = None, **margins: Any) -> Value:
    """Images without their edges."""

    def compute(value: Value) -> Value:
        return layer.add(
            ops.Cropping(tuple(_margins(layer, value, margins, "cropping", -1))), value
        )

    return with_channels_last(layer, x, data_format, compute)
