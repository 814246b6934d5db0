"""Normalising by the statistics of a whole batch, however many shards it is cut into."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..frame import Array, Frame
from ..op import Step, Steps

if TYPE_CHECKING:
    from .normalization import BatchNormalization

MEAN, DEVIATION, COUNT = 0, 1, 2
"""What a shard says of its rows: mean, sum of squared deviations, and how many they are."""


class Batch:
    """One shard's part in normalising a batch.

    Each shard adds up its own rows. Where shards meet, their means and sums of squared deviations
    are merged by Chan's formula, which does not cancel as E[x²] - E[x]² does. Statistics have the
    rank of x, with 1 on the axes they are taken over.
    """

    def __init__(
        self,
        op: BatchNormalization,
        at: Frame,
        p: Mapping[str, Array],
        dp: Mapping[str, Array],
        shape: tuple[int, ...],
    ) -> None:
        self._op, self._at, self._p, self._dp = op, at, p, dp
        self._shape, self._axes = shape, reduced(shape)
        self._count = at.x[0].size // math.prod(shape)  # elements of this shard per statistic
        self._total = self._count // at.rows * at.total
        self._deviation = at.keep(shape)  # sqrt(variance + epsilon)
        self._normal = at.keep(at.x[0].shape) if at.grads else at.y[0]
        self._squares = at.scratch(at.x[0].shape)

    def steps(self) -> tuple[Steps, Steps]:
        """(forward, backward), each cut where shards meet."""
        mine, every = self._at.exchange((3, *self._shape))
        forward = (self._describe(mine), self._at.meet, self._normalise(every))
        if not self._at.grads:
            return forward, None
        mine, every = self._at.exchange((2, *self._shape))
        return forward, (self._sums(mine), self._at.meet, self._input_gradient(every))

    def _describe(self, mine: Array) -> Step:
        xp, x, axes, squares = self._at.xp, self._at.x[0], self._axes, self._squares

        def describe() -> None:
            mine[COUNT].fill(self._count)
            xp.add.reduce(x, axis=axes, keepdims=True, out=mine[MEAN])
            xp.divide(mine[MEAN], self._count, out=mine[MEAN])
            xp.subtract(x, mine[MEAN], out=squares)
            xp.multiply(squares, squares, out=squares)
            xp.add.reduce(squares, axis=axes, keepdims=True, out=mine[DEVIATION])

        return describe

    def _normalise(self, every: Array) -> Step:
        at, op, p, normal, deviation = self._at, self._op, self._p, self._normal, self._deviation
        xp, x, y = at.xp, at.x[0], at.y[0]
        mean, variance = at.scratch(self._shape), at.scratch(self._shape)
        merge = merging(at, every, self._total, mean, variance)

        def normalise() -> None:
            merge()
            if at.lead:
                for name, value in (("moving_mean", mean), ("moving_variance", variance)):
                    follow(xp, p[name], value, op.momentum, deviation)
            xp.add(variance, op.epsilon, out=deviation)
            xp.sqrt(deviation, out=deviation)
            xp.subtract(x, mean, out=normal)
            xp.divide(normal, deviation, out=normal)
            if op.scale:
                xp.multiply(normal, p["gamma"], out=y)
            elif normal is not y:
                xp.copyto(y, normal)
            if op.center:
                xp.add(y, p["beta"], out=y)

        return normalise

    def _sums(self, mine: Array) -> Step:
        """The gradients of beta and gamma by this shard's rows, which it tells the others."""
        xp, axes, dy, squares = self._at.xp, self._axes, self._at.dy[0], self._squares

        def sums() -> None:
            xp.add.reduce(dy, axis=axes, keepdims=True, out=mine[0])
            xp.multiply(dy, self._normal, out=squares)
            xp.add.reduce(squares, axis=axes, keepdims=True, out=mine[1])
            for name, own in (("beta", mine[0]), ("gamma", mine[1])):
                if name in self._dp:
                    xp.copyto(self._dp[name], own)

        return sums

    def _input_gradient(self, every: Array) -> Step | None:
        """Writes gamma / deviation * (dy - mean(dy) - normal * mean(dy * normal))."""
        xp, dy, dx = self._at.xp, self._at.dy[0], self._at.dx[0]
        if dx is None:
            return None
        means, along = self._at.scratch((2, *self._shape)), self._squares

        def input_gradient() -> None:
            xp.add.reduce(every, axis=0, out=means)
            xp.divide(means, self._total, out=means)
            xp.multiply(self._normal, means[1], out=along)
            xp.subtract(dy, along, out=dx)
            xp.subtract(dx, means[0], out=dx)
            xp.divide(dx, self._deviation, out=dx)
            if self._op.scale:
                xp.multiply(dx, self._p["gamma"], out=dx)

        return input_gradient


def reduced(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes that statistics of this shape are taken over."""
    return tuple(i for i, n in enumerate(shape) if n == 1)


def merging(at: Frame, every: Array, total: int, mean: Array, variance: Array) -> Step:
    """A step that merges what the shards said of their rows into a mean and a biased variance."""
    xp, part = at.xp, at.scratch((len(every), *mean.shape))
    means, deviations, counts = every[:, MEAN], every[:, DEVIATION], every[:, COUNT]

    def merge() -> None:
        xp.multiply(means, counts, out=part)
        xp.add.reduce(part, axis=0, out=mean)
        xp.divide(mean, total, out=mean)
        xp.subtract(means, mean, out=part)
        xp.multiply(part, part, out=part)
        xp.multiply(part, counts, out=part)
        xp.add(part, deviations, out=part)
        xp.add.reduce(part, axis=0, out=variance)
        xp.divide(variance, total, out=variance)

    return merge


def follow(xp: Any, moving: Array, value: Array, momentum: float, spare: Array) -> None:
    """Writes moving = momentum * moving + (1 - momentum) * value."""
    xp.multiply(value, 1 - momentum, out=spare)
    xp.multiply(moving, momentum, out=moving)
    xp.add(moving, spare, out=moving)
