"""Contractions of one or two arrays, as products of matrices.

Axes are only looked at in another order where BLAS takes them so, and copied into that order where
it does not. Every gradient of a contraction is a contraction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, product

from ..equation import Equation
from ..frame import Array, Frame
from ..op import Step
from .steps import in_turn


def contraction(at: Frame, equation: Equation, x: Sequence[Array], y: Array) -> Step:
    """Writes ``y`` = ``equation`` of one or two arrays; none of them may share memory with it.

    Letters that stand in one term alone are summed over, or in the result: repeated.
    """
    steps: list[Step] = []
    arrays, terms = list(x), list(equation.operands)
    for i, term in enumerate(terms):
        others = "".join((equation.result, *terms[:i], *terms[i + 1 :]))
        terms[i] = "".join(c for c in term if c in others)
        if terms[i] != term:
            arrays[i] = _summed(at, term, terms[i], x[i], steps)
    known = "".join(c for c in equation.result if c in "".join(terms))
    if len(arrays) == 1:
        steps.append(_copy(at, y, _aligned(arrays[0], terms[0], equation.result)))
    elif known == equation.result:
        steps.append(_product(at, Equation(tuple(terms), known), arrays, y))
    else:
        sizes = dict(zip(equation.result, y.shape, strict=True))
        once = at.scratch(tuple(sizes[c] for c in known))
        steps.append(_product(at, Equation(tuple(terms), known), arrays, once))
        steps.append(_copy(at, y, _aligned(once, known, equation.result)))
    return in_turn(steps)


def _summed(at: Frame, term: str, left: str, x: Array, steps: list[Step]) -> Array:
    """The sum of x over the letters that are not left; ``steps`` get what writes it."""
    sizes = dict(zip(term, x.shape, strict=True))
    total = at.scratch(tuple(sizes[c] for c in left))
    axes = tuple(i for i, c in enumerate(term) if c not in left)
    steps.append(lambda: at.xp.add.reduce(x, axis=axes, out=total))
    return total


def _copy(at: Frame, to: Array, source: Array) -> Step:
    return lambda: at.xp.copyto(to, source)


def _aligned(x: Array, term: str, result: str) -> Array:
    """The axes of x in the result's order, and axes of size one where it has none."""
    ordered = x.transpose([term.index(c) for c in result if c in term])
    return ordered[tuple(slice(None) if c in term else None for c in result)]


def _product(at: Frame, equation: Equation, x: Sequence[Array], y: Array) -> Step:
    """Two operands, every letter in two terms or more."""
    xp = at.xp
    if not equation.roles().inner:
        a, b = (
            _aligned(array, term, equation.result)
            for array, term in zip(x, equation.operands, strict=True)
        )
        return lambda: xp.multiply(a, b, out=y)
    before, after = list[Step](), list[Step]()
    a, b, c = _cheapest(equation, x, y)
    left, right, out = a.taken(at, before), b.taken(at, before), c.written(at, after)
    return in_turn([*before, lambda: xp.matmul(left, right, out=out), *after])


class Matrices:
    """An array seen as matrices: some axes count them, some are their rows, some their columns."""

    def __init__(self, x: Array, term: str, batch: str, rows: str, columns: str) -> None:
        self._view = x.transpose([term.index(c) for c in batch + rows + columns])
        count, middle = len(batch), len(batch) + len(rows)
        sizes = self._view.shape
        self._shape = (*sizes[:count], math.prod(sizes[count:middle]), math.prod(sizes[middle:]))
        self._direct = all(
            _merge(sizes[part], self._view.strides[part])
            for part in (slice(count, middle), slice(middle, None))
        ) and _for_blas(self._view.reshape(self._shape))

    @property
    def copied(self) -> int:
        """Elements that must be copied, for BLAS cannot take them where they are."""
        return 0 if self._direct else self._view.size

    def taken(self, at: Frame, before: list[Step]) -> Array:
        """The matrices, after the steps ``before``."""
        if self._direct:
            return self._view.reshape(self._shape)
        ordered = at.scratch(self._view.shape)
        before.append(_copy(at, ordered, self._view))
        return ordered.reshape(self._shape)

    def written(self, at: Frame, after: list[Step]) -> Array:
        """Where to write the matrices, before the steps ``after``."""
        if self._direct:
            return self._view.reshape(self._shape)
        ordered = at.scratch(self._view.shape)
        after.append(_copy(at, self._view, ordered))
        return ordered.reshape(self._shape)


def _cheapest(equation: Equation, x: Sequence[Array], y: Array) -> tuple[Matrices, ...]:
    """Both operands and the result as matrices, in the orders of axes that copy least."""
    roles, (first, second) = equation.roles(), equation.operands

    def by(term: str, letters: str) -> str:
        return "".join(c for c in term if c in letters)

    def cut(rows: str, columns: str, inner: str) -> tuple[Matrices, ...]:
        return (
            Matrices(x[0], first, roles.batch, rows, inner),
            Matrices(x[1], second, roles.batch, inner, columns),
            Matrices(y, equation.result, roles.batch, rows, columns),
        )

    orders = product(
        (roles.rows, by(first, roles.rows)),
        (roles.columns, by(second, roles.columns)),
        (roles.inner, by(second, roles.inner)),
    )
    return min(
        (cut(*order) for order in orders), key=lambda found: sum(part.copied for part in found)
    )


def _merge(sizes: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether axes can be seen as one."""
    axes = [(n, stride) for n, stride in zip(sizes, strides, strict=True) if n > 1]
    return all(outer == inner * n for (_, outer), (n, inner) in pairwise(axes))


def _for_blas(x: Array) -> bool:
    """Whether the lines of matrices, or of their transposes, are contiguous and do not overlap."""
    (rows, columns), (down, along) = x.shape[-2:], x.strides[-2:]

    def lines(n: int, apart: int, length: int, stride: int) -> bool:
        whole = length == 1 or stride == x.itemsize
        return whole and (n == 1 or apart >= length * x.itemsize)

    return lines(rows, down, columns, along) or lines(columns, along, rows, down)
