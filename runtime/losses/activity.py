"""Penalties on what a layer puts out: they need no target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..frame import Frame
from ..tensor import Tensor
from .loss import Loss, Passes


class _Activity(Loss):
    per = "row"

    def target(self, on: Tensor) -> None:
        return None


@dataclass(frozen=True)
class L1(_Activity):
    """The mean over rows of sum|value|; λ is the term's weight."""

    type: Literal["l1"] = field(default="l1", kw_only=True)

    def passes(self, at: Frame) -> Passes:
        xp, value, (dx,) = at.xp, at.x[0], at.dx
        each = at.scratch(value.shape)
        return each, lambda: xp.absolute(value, out=each), lambda: xp.sign(value, out=dx)


@dataclass(frozen=True)
class L2(_Activity):
    """The mean over rows of sum(value²) / 2; λ is the term's weight."""

    type: Literal["l2"] = field(default="l2", kw_only=True)

    def passes(self, at: Frame) -> Passes:
        xp, value, (dx,) = at.xp, at.x[0], at.dx
        each = at.scratch(value.shape)

        def forward() -> None:
            xp.multiply(value, value, out=each)
            xp.multiply(each, 0.5, out=each)

        return each, forward, lambda: xp.copyto(dx, value)
