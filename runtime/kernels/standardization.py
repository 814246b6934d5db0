"""Normalising every row by statistics of its own, so that shards need not meet."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..frame import Array, Frame
from ..op import Step, Steps


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over parts of a value, each written to every place of its part, in ``shape``.

    ``write(source, out)`` writes them, ``count`` is how many elements each is of.
    """

    shape: tuple[int, ...]
    count: int
    write: Callable[[Array, Array], object]


def over_axes(at: Frame, shape: Sequence[int], axes: Collection[int]) -> Sums:
    """Sums of values of ``shape`` over ``axes`` (none negative).

    Over the last axes they are a product of matrices, for NumPy is slow at reducing short lines.
    """
    xp, over = at.xp, tuple(sorted(axes))
    one = tuple(1 if i in over else n for i, n in enumerate(shape))
    count = math.prod(shape) // math.prod(one)
    if over != tuple(range(len(shape) - len(over), len(shape))):
        reduce = partial(xp.add.reduce, axis=over, keepdims=True)
        return Sums(one, count, lambda source, out: reduce(source, out=out))
    ones = at.hold((count, 1), fill=1)

    def write(source: Array, out: Array) -> None:
        xp.dot(source.reshape(-1, count), ones, out=out.reshape(-1, 1))

    return Sums(one, count, write)


def over_groups(at: Frame, shape: Sequence[int], axis: int, groups: int) -> Sums:
    """Sums over groups of neighbours on ``axis`` and over all other axes but the first."""
    xp, others = at.xp, [i for i in range(1, len(shape)) if i != axis]
    each = over_axes(at, shape, others)
    apart, size = at.scratch(each.shape), shape[axis] // groups
    sums = at.scratch((shape[0], groups, 1))
    grouped = apart.reshape(shape[0], groups, size)

    def write(source: Array, out: Array) -> None:
        each.write(source, apart)
        xp.add.reduce(grouped, axis=2, keepdims=True, out=sums)
        xp.copyto(out.reshape(grouped.shape), sums)

    return Sums(each.shape, each.count * size, write)


@dataclass(frozen=True, slots=True)
class Standardization:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta.

    Not ``about_mean``: zero takes the place of the mean. Not ``centred``: x takes the place of
    x - mean, but the variance stays.
    """

    epsilon: float
    about_mean: bool = True
    centred: bool = True

    def bind(self, at: Frame, sums: Sums, parameters: Sequence[int]) -> tuple[Steps, Steps]:
        """The passes for one input and the statistics that follow from ``sums``.

        gamma and beta, which may be missing, broadcast in the shape ``parameters``. y may be x's
        memory where nothing is differentiated, and dx dy's.
        """
        p, dp = (
            {name: array.reshape(parameters) for name, array in arrays.items()}
            for arrays in (at.p, at.dp)
        )
        work = _Work(self, replace(at, p=p, dp=dp), sums)
        return work.forward(), work.backward() if at.grads else None


class _Work:
    """One standardization and the arrays it works in."""

    def __init__(self, form: Standardization, at: Frame, sums: Sums) -> None:
        self._form, self._at, self._sums = form, at, sums
        self._mean = at.scratch(sums.shape)
        self._inverse = at.keep(sums.shape)  # 1 / sqrt(variance + epsilon)
        plain = form.centred and not at.grads
        self._normal = at.y[0] if plain else at.keep(at.y[0].shape)  # (x - mean) * inverse
        self._spare = at.scratch(at.y[0].shape)

    def _average(self, source: Array, out: Array) -> None:
        self._sums.write(source, out)
        self._at.xp.divide(out, self._sums.count, out=out)

    def forward(self) -> Step:
        xp, form, x, y = self._at.xp, self._form, self._at.x[0], self._at.y[0]
        gamma, beta = self._at.p.get("gamma"), self._at.p.get("beta")
        normal, inverse = self._normal, self._inverse

        def forward() -> None:
            self._describe()
            made = normal
            if not form.centred:
                made = xp.multiply(x, inverse, out=y)
            if gamma is not None:
                made = xp.multiply(made, gamma, out=y)
            if beta is not None:
                made = xp.add(made, beta, out=y)
            if made is normal and normal is not y:
                xp.copyto(y, normal)

        return forward

    def _describe(self) -> None:
        """Writes what deviates, normal, and the inverse of by how much."""
        xp, deviation, mean = self._at.xp, self._at.x[0], self._mean
        normal, inverse, spare = self._normal, self._inverse, self._spare
        if self._form.about_mean:
            self._average(deviation, mean)
            deviation = xp.subtract(deviation, mean, out=normal)
        xp.multiply(deviation, deviation, out=spare)
        self._average(spare, inverse)
        xp.add(inverse, self._form.epsilon, out=inverse)
        xp.sqrt(inverse, out=inverse)
        xp.divide(1, inverse, out=inverse)
        xp.multiply(deviation, inverse, out=normal)

    def backward(self) -> Steps:
        return (*self._parameter_gradients(), self._input_gradient())

    def _parameter_gradients(self) -> list[Step]:
        xp, dy, dp, spare = self._at.xp, self._at.dy[0], self._at.dp, self._spare
        steps: list[Step] = []

        def scale() -> None:
            self._times_output(dy)
            sum_to(xp, spare, dp["gamma"])

        if "gamma" in dp:
            steps.append(scale)
        if "beta" in dp:
            steps.append(lambda: sum_to(xp, dy, dp["beta"]))
        return steps

    def _times_output(self, other: Array) -> None:
        """Writes spare = other times the output before gamma and beta."""
        xp, spare = self._at.xp, self._spare
        if self._form.centred:
            xp.multiply(other, self._normal, out=spare)
        else:
            xp.multiply(self._at.x[0], self._inverse, out=spare)
            xp.multiply(other, spare, out=spare)

    def _input_gradient(self) -> Step | None:
        """Writes inverse * (g - mean(g) - normal * mean(g * output)), g being dy * gamma.

        mean(g) is what comes of subtracting the mean, the rest of dividing.
        """
        at, form, normal, spare = self._at, self._form, self._normal, self._spare
        xp, dy, dx, gamma = at.xp, at.dy[0], at.dx[0], at.p.get("gamma")
        if dx is None:
            return None
        along, mean = at.scratch(self._inverse.shape), self._mean

        def input_gradient() -> None:
            gradient = dy if gamma is None else xp.multiply(dy, gamma, out=dx)
            self._times_output(gradient)
            self._average(spare, along)
            xp.multiply(normal, along, out=spare)
            if form.about_mean and form.centred:
                self._average(gradient, mean)
                xp.add(spare, mean, out=spare)
            xp.subtract(gradient, spare, out=dx)
            xp.multiply(dx, self._inverse, out=dx)

        return input_gradient


def sum_to(xp: Any, source: Array, out: Array) -> None:
    """Writes the sums of ``source`` over the axes on which ``out`` has size one."""
    axes = tuple(i for i, n in enumerate(out.shape) if n == 1)
    xp.add.reduce(source, axis=axes, keepdims=True, out=out)
