"""Products of matrices."""

from __future__ import annotations

import string
from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from ....runtime import ops
from ....runtime.errors import Unsupported
from ....runtime.tensor import product
from ...builder import Value
from ..call import Call, Given, onnx, places, trimmed
from ..known import Known
from .reshaping import inserted, reshaped

Array = NDArray[np.float32]


@onnx("MatMul")
def matmul(call: Call) -> Value:
    a, b = call.need(0), call.need(1)
    ranks = len(call.shape(a)), len(call.shape(b))
    if isinstance(a, Value) and isinstance(b, Known) and ranks[1] == 2 <= ranks[0]:
        return _dense(call, a, b)
    if isinstance(a, Known) and isinstance(b, Value) and ranks[0] == 2 <= ranks[1]:
        # A @ B is the transpose of B' @ A'.
        return _swapped(call, _dense(call, _swapped(call, b), a, turn=True))
    return product_of(call, a, b)


def _dense(call: Call, x: Value, kernel: Known, turn: bool = False) -> Value:
    """Over the last axis, by a matrix that the file stores."""
    name = call.builder.plain(x, call.layer)
    if turn:
        weight = call.weight(kernel, lambda array: array.T, "turned")
        return Value(call.add(ops.Dense(kernel.shape[0], False), name, kernel=weight))
    return Value(call.add(ops.Dense(kernel.shape[1], False), name, kernel=call.weight(kernel)))


def _swapped(call: Call, x: Value) -> Value:
    """The value with its last two axes in the other order."""
    axes = list(places(x, len(call.shape(x))))
    return trimmed(x.name, [*axes[:-2], axes[-1], axes[-2]])


def product_of(call: Call, a: Given, b: Given) -> Value:
    """NumPy's matmul of two values, as a sum over letters.

    Every term has to begin with the letter of the batch: where it is not an axis of both, one of
    size 1 is.
    """
    x, y = (_matrices(call, one, i) for i, one in enumerate((a, b)))
    rank = max(len(call.shape(x)), len(call.shape(y)), 3)
    x, y = (_ranked(call, one, rank) for one in (x, y))
    if all(n == 1 for n in call.shape(y)[:-2]):
        return _unranked(call, _by_one_matrix(call, x, y), a, b)
    x, y = _with_batch(call, x, y), _with_batch(call, y, x)
    # A letter has one size: an axis of 1 that is broadcast is left out.
    sizes = list(zip(call.shape(x)[:-2], call.shape(y)[:-2], strict=True))
    letters = string.ascii_lowercase[: rank - 2]
    terms, names = list[str](), list[str]()
    for side, one in enumerate((x, y)):
        kept = [i for i, pair in enumerate(sizes) if pair[side] != 1 or pair[0] == pair[1]]
        shape = call.shape(one)
        small = reshaped(call, one, (*(shape[i] for i in kept), *shape[-2:]))
        names.append(call.builder.plain(small, call.layer))
        terms.append("".join(letters[i] for i in kept))
    equation = f"{terms[0]}xy,{terms[1]}yz->{letters}xz"
    return _unranked(call, Value(call.add(ops.Einsum(equation), *names)), a, b)


def _by_one_matrix(call: Call, x: Value, y: Value) -> Value:
    """All matrices of one value by the one of the other: their rows are put together."""
    *leading, rows, shared = call.shape(x)
    flat = reshaped(call, x, (1, product([*leading, rows]), shared))
    one = reshaped(call, y, (1, *call.shape(y)[-2:]))
    names = (call.builder.plain(value, call.layer) for value in (flat, one))
    found = Value(call.add(ops.Einsum("axy,ayz->axz"), *names))
    return reshaped(call, found, (*leading, rows, call.shape(y)[-1]))


def _with_batch(call: Call, x: Value, other: Value) -> Value:
    """The value, repeated along its first axis as the other one has it.

    Raises:
        Unsupported: that is an open size.
    """
    (first, *rest), (wanted, *_) = call.shape(x), call.shape(other)
    if first == wanted or first != 1:
        return x
    if isinstance(wanted, str):
        raise Unsupported(
            f"{call.title}: a product of {call.shape(x)} and {call.shape(other)} is not supported"
        )
    name = call.builder.plain(x, call.layer)
    return Value(call.add(ops.BroadcastTo((wanted, *[-1] * len(rest))), name))


def _matrices(call: Call, given: Given, i: int) -> Value:
    """A vector as a row on the left, and as a column on the right."""
    x = call.as_value(given)
    sizes = call.shape(x)
    if len(sizes) > 1:
        return x
    return reshaped(call, x, (1, *sizes) if i == 0 else (*sizes, 1))


def _ranked(call: Call, x: Value, rank: int) -> Value:
    sizes = call.shape(x)
    more = rank - len(sizes)
    return reshaped(call, x, inserted(sizes, range(more))) if more else x


def _unranked(call: Call, y: Value, a: Given, b: Given) -> Value:
    """Without the axes that were put in."""
    left, right = call.shape(a), call.shape(b)
    sizes = list(call.shape(y))
    if len(right) == 1:
        del sizes[-1]
    if len(left) == 1:
        del sizes[-1 if len(right) == 1 else -2]
    wanted = max(len(left), len(right)) - (len(left) == 1) - (len(right) == 1)
    if len(left) == len(right) == 1:
        wanted = 0
    elif 1 in (len(left), len(right)):
        wanted = max(len(left), len(right)) - 1
    return reshaped(call, y, tuple(sizes[len(sizes) - wanted :]))


@onnx("Gemm")
def gemm(call: Call) -> Value:
    """A @ B times alpha, plus C times beta; A and B may be transposed."""
    alpha, beta = (call.options.number(name, 1.0) for name in ("alpha", "beta"))
    turn_a, turn_b = (bool(call.options.get(name, 0)) for name in ("transA", "transB"))
    call.options.ignore("broadcast")
    x, kernel, bias = call.value(0), call.need(1), call.given(2)
    if turn_a:
        x = _swapped(call, x)
    if not isinstance(kernel, Known):
        return _unstored(call, x, turn_b, alpha, beta)
    units, name = kernel.shape[not turn_b], call.builder.plain(x, call.layer)
    how = f"{turn_b} {alpha}" if turn_b or alpha != 1 else ""
    weight = call.weight(kernel, lambda a: _scaled(a.T if turn_b else a, alpha), how)
    if not isinstance(bias, Known) or prod(bias.shape) not in (1, *bias.shape[-1:]):
        y = Value(call.add(ops.Dense(units, False), name, kernel=weight))
        return y if bias is None else _added(call, y, bias, beta)

    def row(array: Array) -> Array:
        return _scaled(np.broadcast_to(array.reshape(-1), (units,)), beta)

    how = "" if bias.shape == (units,) and beta == 1 else f"row {beta}"
    params = {"kernel": weight, "bias": call.weight(bias, row, how)}
    return Value(call.add(ops.Dense(units), name, **params))


def _scaled(array: Array, factor: float) -> Array:
    return array if factor == 1 else array * np.float32(factor)


def _unstored(call: Call, x: Value, turn_b: bool, alpha: float, beta: float) -> Value:
    """Where the second matrix is computed."""
    y = call.value(1)
    if turn_b:
        y = _swapped(call, y)
    found = product_of(call, x, y)
    if alpha != 1:
        found = Value(call.add(ops.Scale(alpha), found.name), found.axes)
    c = call.given(2)
    return found if c is None else _added(call, found, c, beta)


def _added(call: Call, x: Value, c: Given, beta: float) -> Value:
    if beta != 1:
        c = Value(call.add(ops.Scale(beta), call.plain(2)))
    names, _ = call.alike(x, c)
    return Value(call.add(ops.Add(), *names))


@onnx("Einsum")
def einsum(call: Call) -> Value:
    equation = call.options["equation"]
    text = equation.decode("ascii", "replace") if isinstance(equation, bytes) else str(equation)
    if "->" not in text:
        raise Unsupported(f"{call.title}: the equation {text!r} names no result")
    names: Sequence[str] = [call.plain(i) for i in range(len(call.inputs))]
    return Value(call.add(ops.Einsum(text.replace(" ", "")), *names))
