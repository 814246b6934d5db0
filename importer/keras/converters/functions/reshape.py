"""Tensors in another shape, open sizes included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .....runtime import ops
from .....runtime.errors import Unsupported
from .....runtime.tensor import Size, Symbol, product, window
from ....deferred import Deferred
from ...builder import Value
from ...layer import Layer
from .operand import (
    Open,
    Operand,
    folded,
    function,
    is_tensor,
    number,
    of_size,
    remade,
    shown,
    tensor,
)


@function("shape", known=np.shape)
def shape(layer: Layer, x: Operand) -> Operand:
    """The sizes of the axes, known now or by name."""
    return np.array([of_size(size) for size in layer.shape(tensor(layer, x))], object)


def sizes_of(layer: Layer, given: Any, what: str = "shape") -> list[Size]:
    """Sizes as an operation is given them; None is -1."""
    given = folded(given)
    entries = list(given) if isinstance(given, list | tuple | np.ndarray) else [given]
    sizes: list[Size] = []
    for entry in entries:
        size = -1 if entry is None else folded(entry)
        if isinstance(size, Open):
            sizes.append(size.length)
        elif not is_tensor(size) and (n := number(size)) is not None and n == int(n):
            sizes.append(int(n))
        else:
            raise layer.refuse(what, shown(given))
    return sizes


@function("reshape", known=np.reshape)
def reshape(layer: Layer, x: Operand, shape: Any) -> Operand:
    """The same elements, in C order, in another shape; one size may be -1 or None."""
    wanted = sizes_of(layer, shape)
    if isinstance(x, Deferred):
        sizes = _numbers(wanted)
        return remade(x, f"shape{sizes}", lambda array: array.reshape(sizes))
    x = Value(layer.plain(tensor(layer, x)))
    if wanted.count(-1) == 2 and wanted[0] == -1:  # the batch, and a size to be found
        wanted[0] = layer.shape(x)[0]
    target = _resolved(layer, layer.shape(x), wanted)
    for _ in range(MOST_STEPS):
        have = layer.shape(x)
        if have == target:
            return x
        step = _row_by_row(have, target) or _merged(have, target)
        if step:
            x = layer.add(step, x)
        else:
            x = _below(layer, x, target) or _without_rows(layer, x, target)
    raise _unable(layer, layer.shape(x), target)


MOST_STEPS = 8
"""Of the operations a reshape is made of."""


def _unable(layer: Layer, have: Sequence[Size], target: Sequence[Size]) -> Unsupported:
    shapes = (", ".join(map(str, sizes)) for sizes in (have, target))
    return layer.refuse("reshape of", " to ".join(f"({text})" for text in shapes))


def _resolved(layer: Layer, have: Sequence[Size], wanted: Sequence[Size]) -> tuple[Size, ...]:
    """The shape with a size in the place of -1: one that makes as many elements of it."""
    if -1 not in wanted:
        return tuple(wanted)
    size = _divided(product(have), product(n for n in wanted if n != -1))
    if size is not None and wanted.count(-1) == 1:
        return tuple(size if n == -1 else n for n in wanted)
    raise _unable(layer, have, wanted)


def _divided(whole: Size, by: Size) -> Size | None:
    """Whole / by, if that is a size: of products of names the ones that are left."""
    if isinstance(by, int):
        size = window(whole, 0, by) if by > 0 else 0
    else:
        (factors, n), *more = _terms(whole).items()
        (names, m), *others = _terms(by).items()
        left = Counter(factors) - Counter(names)
        size = product((n // m, *left.elements())) if not more and not others else 0
    return size if product((size, by)) == whole else None


def _terms(size: Size) -> Any:
    """The sum of products that a size is: names and how often."""
    size = product((size,))
    return size.terms if isinstance(size, Symbol) else {(): size}


def _row_by_row(have: Sequence[Size], target: Sequence[Size]) -> Any:
    """A reshape of each row, where the first axis stays or one is split off behind it."""
    rows, rest = product(have[1:]), target[1:]
    if target[:1] != have[:1]:
        size = product(rest)
        if not (isinstance(rows, int) and isinstance(size, int) and 0 < size < rows):
            return None
        if rows % size or product((have[0], rows // size)) != target[0]:
            return None
        row = (rows // size, *_numbers(rest))
        return ops.Reshape(row) if row != have[1:] else None
    if rows != product(rest):
        return None
    if sum(isinstance(n, str) for n in rest) <= 1:
        return ops.Reshape(tuple(-1 if isinstance(n, str) else n for n in rest))
    return None


def _numbers(sizes: Sequence[Size]) -> tuple[int, ...]:
    return tuple(int(n) for n in sizes)


def _merged(have: Sequence[Size], target: Sequence[Size]) -> Any:
    """The first axes that differ as one, or new axes of size 1."""
    start = next((i for i, (a, b) in enumerate(zip(have, target, strict=False)) if a != b), None)
    if start is None:
        start = min(len(have), len(target))
    if start < len(target) and target[start] == 1:
        return ops.ExpandDims((start,))
    if start < len(have) and have[start] == 1:
        return ops.Squeeze((start,))
    for count in range(2, len(have) - start + 1):
        if start < len(target) and product(have[start : start + count]) == target[start]:
            return ops.MergeAxes(start, count)
    return None


def _below(layer: Layer, x: Value, target: Sequence[Size]) -> Value | None:
    """A reshape of what lies below first axes that stay, two of which are open.

    These are made one axis, whose rows are reshaped, and are themselves again.
    """
    have = layer.shape(x)
    kept = next((i for i, (a, b) in enumerate(zip(have, target, strict=False)) if a != b), 0)
    if kept < 2 or product(have[kept:]) != product(target[kept:]):
        return None
    whole = [x]
    for _ in range(kept - 1):
        whole.append(layer.add(ops.MergeAxes(0, 2), whole[-1]))
    step = _row_by_row(layer.shape(whole[-1]), (layer.shape(whole[-1])[0], *target[kept:]))
    if step is None:
        return None
    y = layer.add(step, whole[-1])
    for like in reversed(whole[:-1]):
        y = layer.add(ops.SplitBatch(), y, like)
    return y


def _without_rows(layer: Layer, x: Value, target: Sequence[Size]) -> Value:
    """What is left: the first axis as two that another value has, or a tensor of known sizes."""
    have = layer.shape(x)
    if len(target) > 1 and product(target[:2]) == have[0] and isinstance(have[0], str):
        for name, like in layer.builder.types.items():
            if like.shape[:2] == tuple(target[:2]):
                return layer.add(ops.SplitBatch(), x, Value(name))
    if all(isinstance(n, int) for n in (*have, *target)) and product(have) == product(target):
        flat = layer.add(ops.MergeAxes(0, len(have)), x) if len(have) > 1 else x
        row = layer.add(ops.ExpandDims((0,)), flat)
        return layer.add(ops.Squeeze((0,)), layer.add(ops.Reshape(_numbers(target)), row))
    raise _unable(layer, have, target)


@function("flatten", "batch_flatten")
def flatten(layer: Layer, x: Operand) -> Value:
    """A row of elements for each row of x."""
    x = tensor(layer, x)
    if layer.rank(x) == 1:
        return layer.add(ops.ExpandDims((1,)), x)
    return layer.add(ops.Flatten(), x)


@function("ravel", known=np.ravel)
def ravel(layer: Layer, x: Operand) -> Value:
    """All elements in one axis, the batch's too."""
    x = tensor(layer, x)
    return layer.add(ops.MergeAxes(0, layer.rank(x)), x) if layer.rank(x) > 1 else x
