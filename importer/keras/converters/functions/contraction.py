"""Products summed over axes: matrices, tensors, equations.

A stored array or a constant on one side makes a dense layer of it, whose kernel it is.
"""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from .....runtime import ops
from ...builder import Value
from ...layer import Layer
from .operand import (
    Operand,
    axes_of,
    floats,
    function,
    number,
    shape_of,
    stored,
    wholes,
)
from .shape import expand_dims


@function("matmul", "batch_matmul", known=np.matmul)
def matmul(
    layer: Layer,
    x: Operand,
    y: Operand,
    transpose_x: bool = False,
    transpose_y: bool = False,
) -> Value:
    """Products of matrices, of which each pair of rows has its own."""
    ranks = len(shape_of(layer, x)), len(shape_of(layer, y))
    if min(ranks) < 1 or (min(ranks) == 1 and all(isinstance(v, Value) for v in (x, y))):
        raise layer.refuse("a product of the shapes", [shape_of(layer, v) for v in (x, y)])
    letters = string.ascii_letters[: max(ranks) - 2]
    first = _matrix(letters, ranks[0], "XI" if transpose_x else "IX", "X")
    second = _matrix(letters, ranks[1], "JX" if transpose_y else "XJ", "X")
    kept = "I" * (ranks[0] > 1) + "J" * (ranks[1] > 1)
    return einsum(layer, f"{first},{second}->{letters}{kept}", x, y)


def _matrix(letters: str, rank: int, last: str, alone: str) -> str:
    """The letters of an operand: those of its first axes, and two for its matrix."""
    return alone if rank == 1 else letters[len(letters) - (rank - 2) :] + last


@function("dot")
def dot(layer: Layer, x: Operand, y: Operand) -> Value:
    """The last axis of x with the one but last of y, or its only one."""
    rank = len(shape_of(layer, y))
    if number(x) is not None or number(y) is not None or rank == 0:
        raise layer.refuse("a product with", "a number")
    return tensordot(layer, x, y, [[-1], [max(rank - 2, 0)]])


@function("tensordot")
def tensordot(layer: Layer, x: Operand, y: Operand, axes: Any = 2) -> Value:
    """So many last axes of x with the first of y, or the axes that are named of each."""
    ranks = len(shape_of(layer, x)), len(shape_of(layer, y))
    count = number(axes)
    n = int(count or 0)
    given = list(axes) if count is None else [list(range(-n, 0)), list(range(n))]
    left, right = (axes_of(layer, pair, rank) for pair, rank in zip(given, ranks, strict=True))
    first = list(string.ascii_lowercase[: ranks[0]])
    second = list(string.ascii_uppercase[: ranks[1]])
    for a, b in zip(left, right, strict=True):
        second[b] = first[a]
    summed = {first[a] for a in left}
    kept = [c for c in (*first, *second) if c not in summed]
    return einsum(layer, f"{''.join(first)},{''.join(second)}->{''.join(kept)}", x, y)


@function("batch_dot")
def batch_dot(layer: Layer, x: Operand, y: Operand, axes: Any = None) -> Value:
    """Row by row: an axis of x with one of y; all other axes remain, those of x first."""
    x, y = floats(layer, x), floats(layer, y)
    ranks = layer.rank(x), layer.rank(y)
    both = (ranks[0] - 1, max(ranks[1] - 2, 1)) if axes is None else wholes(layer, axes, "axes")
    both = both * 2 if len(both) == 1 else both
    left, right = (axes_of(layer, axis, rank)[0] for axis, rank in zip(both, ranks, strict=True))
    first = ["n", *"abcdef"[: ranks[0] - 1]]
    second = ["n", *"ghijkl"[: ranks[1] - 1]]
    second[right] = first[left]
    kept = [c for c in (*first[1:], *second[1:]) if c != first[left]]
    equation = f"{''.join(first)},{''.join(second)}->n{''.join(kept)}"
    product = einsum(layer, equation, x, y)
    return product if kept else expand_dims(layer, product, 1)


@function("einsum", known=np.einsum)
def einsum(layer: Layer, equation: Any, *x: Operand) -> Value:
    """Einstein's summation of one or two operands."""
    if not isinstance(equation, str) or not 1 <= len(x) <= 2:
        raise layer.refuse("equation", equation)
    terms, result = _terms(equation)
    if len(terms) != len(x):
        raise layer.refuse("equation", equation)
    arrays = [not isinstance(operand, Value) for operand in x]
    if not any(arrays):
        return layer.add(ops.Einsum(f"{','.join(terms)}->{result}"), *x)
    if all(arrays):
        raise layer.refuse("equation", f"{equation} of arrays alone")
    kernel, value = arrays.index(True), arrays.index(False)
    return _dense(layer, x[value], x[kernel], (terms[value], terms[kernel], result))


def _terms(equation: str) -> tuple[list[str], str]:
    """The terms of the operands and of the result, which NumPy lets one leave out."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    if not arrow:
        letters = sorted(set(left) - set(",."))
        result = "..." * ("..." in left) + "".join(c for c in letters if left.count(c) == 1)
    return left.split(","), result


def _dense(layer: Layer, x: Value, kernel: Operand, terms: tuple[str, str, str]) -> Value:
    array, (first, second, result) = stored(layer, kernel), terms
    if len(first) > 1 and second == first[-1] + result[-1:] and first[:-1] + second[1:] == result:
        return layer.add(ops.Dense(array.shape[1], False), x, kernel=array)
    op = ops.EinsumDense(f"{first},{second}->{result}", array.shape)
    return layer.add(op, x, kernel=array)


@function("bias_add")
def bias_add(layer: Layer, x: Operand, bias: Operand, data_format: Any = None) -> Value:
    """A number added to each channel, the last axis or, channels first, axis 1."""
    x, bias = floats(layer, x), floats(layer, bias)
    if str(data_format).startswith(("NC", "channels_first")):
        bias = expand_dims(layer, bias, list(range(1, layer.rank(x) - 1)))
    return layer.add(ops.Add(), x, bias)
