"""Losses of numbers that should be near their targets: means over all elements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..frame import Frame
from ..op import Steps
from .loss import Loss, Passes, difference


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """The mean of (value - target)²."""

    type: Literal["mse"] = field(default="mse", kw_only=True)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        return super().bind(at) if at.x[2] is not None else self._bind_plain(at)

    def _bind_plain(self, at: Frame) -> tuple[Steps, Steps]:
        """In few calls, for they are what a step of a small network costs."""
        xp, (dx,) = at.xp, at.dx
        error, subtract = difference(at)
        total, flat = at.y[0].reshape(()), error.reshape(-1)
        mean = at.weight * len(error) / error.size
        each, twice = at.hold((), fill=mean), at.hold((), fill=2 * mean)

        def forward() -> None:
            subtract()
            xp.dot(flat, flat, out=total)
            xp.multiply(total, each, out=total)

        def backward() -> None:
            xp.multiply(error, twice, out=dx)

        return forward, backward if dx is not None else None

    def passes(self, at: Frame) -> Passes:
        xp, (dx,) = at.xp, at.dx
        error, subtract = difference(at)
        each = at.scratch(error.shape)

        def forward() -> None:
            subtract()
            xp.multiply(error, error, out=each)

        def backward() -> None:
            xp.multiply(error, 2, out=dx)

        return each, forward, backward


@dataclass(frozen=True)
class Censor(Loss):
    """The mean of (value - target)², an element whose target is NaN costing nothing.

    It counts in the mean all the same, as in cortex: a table with missing entries, whose columns
    are tasks.
    """

    type: Literal["censor"] = field(default="censor", kw_only=True)

    def passes(self, at: Frame) -> Passes:
        xp, (dx,), target = at.xp, at.dx, at.x[1]
        error, subtract = difference(at)
        each, missing = at.scratch(error.shape), at.scratch(error.shape, bool)

        def forward() -> None:
            subtract()
            xp.isnan(target, out=missing)
            xp.copyto(error, 0, where=missing)
            xp.multiply(error, error, out=each)

        def backward() -> None:
            xp.multiply(error, 2, out=dx)

        return each, forward, backward


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """The mean of |value - target|; its slope is taken as 0 where they are equal."""

    type: Literal["mae"] = field(default="mae", kw_only=True)

    def passes(self, at: Frame) -> Passes:
        xp, (dx,) = at.xp, at.dx
        error, subtract = difference(at)
        each = at.scratch(error.shape)

        def forward() -> None:
            subtract()
            xp.absolute(error, out=each)

        def backward() -> None:
            xp.sign(error, out=dx)

        return each, forward, backward


class _Capped(Loss):
    """``steepness`` times: d²/2 up to a distance of ``knee``, and a line from there on."""

    def capped(self, at: Frame, knee: float, steepness: float) -> Passes:
        xp, (dx,) = at.xp, at.dx
        error, subtract = difference(at)
        each, near = at.scratch(error.shape), at.keep(error.shape)

        def forward() -> None:  # c(d - c/2), where c is d capped: d²/2, or knee(|d| - knee/2)
            subtract()
            xp.clip(error, -knee, knee, out=near)
            xp.multiply(near, 0.5, out=each)
            xp.subtract(error, each, out=each)
            xp.multiply(each, near, out=each)
            xp.multiply(each, steepness, out=each)

        def backward() -> None:
            xp.multiply(near, steepness, out=dx)

        return each, forward, backward


@dataclass(frozen=True)
class Huber(_Capped):
    """The mean of d²/2, and of delta·(|d| - delta/2) where |d| > delta: Huber 1964."""

    delta: float = 1.0
    type: Literal["huber"] = field(default="huber", kw_only=True)

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise ValueError(f"delta must be above 0, it is {self.delta}")

    def passes(self, at: Frame) -> Passes:
        return self.capped(at, self.delta, 1.0)


@dataclass(frozen=True)
class SmoothL1(_Capped):
    """The mean of (sigma·d)²/2, and of |d| - 1/(2·sigma²) where |d| > 1/sigma²: Girshick 2015."""

    sigma: float = 1.0
    type: Literal["smooth_l1"] = field(default="smooth_l1", kw_only=True)

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"sigma must be above 0, it is {self.sigma}")

    def passes(self, at: Frame) -> Passes:
        return self.capped(at, 1 / self.sigma**2, self.sigma**2)
