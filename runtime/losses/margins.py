"""Losses that are content once a margin is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import UsageError
from ..frame import Array, Frame
from ..op import Step
from ..tensor import Tensor
from .loss import Loss, Passes, tiny


class _OfSigns(Loss):
    """A loss whose targets are -1 and 1; a 0 among them is taken as -1."""

    def put(self, into: Array, rows: Array, name: str, on: Tensor) -> None:
        super().put(into, rows, name, on)
        into[into == 0] = -1
        wrong = abs(into) != 1
        if wrong.any():
            raise UsageError(f"target {name!r}: {into[wrong][0]} is neither 1 nor -1 (or 0)")

    def short(self, at: Frame, margin: float) -> tuple[Any, Step]:
        """Memory for max(0, margin - target·value), and the step that writes it."""
        xp, (value, target, _) = at.xp, at.x
        short = at.keep(value.shape)

        def write() -> None:
            xp.multiply(value, target, out=short)
            xp.subtract(margin, short, out=short)
            xp.maximum(short, 0, out=short)

        return short, write


@dataclass(frozen=True)
class Hinge(_OfSigns):
    """The mean over all elements of max(0, margin - target·value)."""

    margin: float = field(default=1.0, kw_only=True)
    type: Literal["hinge", "margin"] = field(default="hinge", kw_only=True)

    def passes(self, at: Frame) -> Passes:
        xp, (dx,), target = at.xp, at.dx, at.x[1]
        short, write = self.short(at, self.margin)
        each = at.scratch(short.shape)

        def forward() -> None:
            write()
            xp.copyto(each, short)

        def backward() -> None:
            xp.sign(short, out=dx)
            xp.multiply(dx, target, out=dx)
            xp.negative(dx, out=dx)

        return each, forward, backward


@dataclass(frozen=True)
class SquaredHinge(_OfSigns):
    """The mean over all elements of max(0, margin - target·value)²."""

    margin: float = field(default=1.0, kw_only=True)
    type: Literal["squared_hinge"] = field(default="squared_hinge", kw_only=True)

    def passes(self, at: Frame) -> Passes:
        xp, (dx,), target = at.xp, at.dx, at.x[1]
        short, write = self.short(at, self.margin)
        each = at.scratch(short.shape)

        def forward() -> None:
            write()
            xp.multiply(short, short, out=each)

        def backward() -> None:
            xp.multiply(short, target, out=dx)
            xp.multiply(dx, -2, out=dx)

        return each, forward, backward


@dataclass(frozen=True)
class Contrastive(Loss):
    """Draws the two halves of each row together where the target is 1, and apart where it is 0.

    The mean over rows of (t·d² + (1 - t)·max(0, margin - d)²) / 2, d being the distance of the
    halves: Hadsell et al. 2006, whose Y is 1 - t. The value is the concatenation of a pair's two
    embeddings (N, 2·features), the target one number a pair (N,).
    """

    margin: float = field(default=1.0, kw_only=True)
    type: Literal["contrastive"] = field(default="contrastive", kw_only=True)

    per = "row"

    def target(self, on: Tensor) -> Tensor:
        features = on.shape[-1]
        if on.rank != 2 or (isinstance(features, int) and features % 2):
            raise ValueError(f"a row must be two halves, not {on.shape[1:]}")
        return Tensor(on.shape[:1])

    def passes(self, at: Frame) -> Passes:
        xp, (value, target, _), (dx,) = at.xp, at.x, at.dx
        rows, half = len(value), value.shape[1] // 2
        one, other = value[:, :half], value[:, half:]
        apart, distance, short = at.keep((rows, half)), at.keep((rows,)), at.keep((rows,))
        squares = at.scratch((rows, half))
        each, factor, unlike = (at.scratch((rows,)) for _ in range(3))
        least = tiny(at) ** 0.5  # so small that two equal halves have no slope

        def forward() -> None:
            xp.subtract(one, other, out=apart)
            xp.multiply(apart, apart, out=squares)
            xp.add.reduce(squares, axis=1, out=distance)
            xp.multiply(distance, target, out=each)
            xp.sqrt(distance, out=distance)
            xp.subtract(self.margin, distance, out=short)
            xp.maximum(short, 0, out=short)
            xp.subtract(1, target, out=unlike)
            xp.multiply(unlike, short, out=unlike)
            xp.multiply(unlike, short, out=unlike)
            xp.add(each, unlike, out=each)
            xp.multiply(each, 0.5, out=each)

        def backward() -> None:  # (t - (1 - t)·short / d) times what lies between the halves
            xp.maximum(distance, least, out=factor)
            xp.divide(short, factor, out=factor)
            xp.subtract(1, target, out=unlike)
            xp.multiply(factor, unlike, out=factor)
            xp.subtract(target, factor, out=factor)
            xp.multiply(apart, factor[:, None], out=dx[:, :half])
            xp.negative(dx[:, :half], out=dx[:, half:])

        return each, forward, backward
