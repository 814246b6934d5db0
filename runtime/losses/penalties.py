"""Penalties on parameters: what they add to the loss; their gradients belong to the update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import GraphError
from ..frame import Array
from ..optim.update import Treatment
from ..parameters import Parameters
from .activity import L1, L2
from .term import Term

BLOCK = 16_384
"""Elements worked on at a time."""


def penalized(at: Treatment, term: Term) -> Treatment:
    """How a parameter is treated that a term is on: its weight joins the λ.

    Raises:
        GraphError: the loss is no penalty.
    """
    if isinstance(term.loss, L1):
        return replace(at, l1=at.l1 + term.weight)
    if isinstance(term.loss, L2):
        return replace(at, l2=at.l2 + term.weight)
    raise GraphError(f"the loss on the parameter {term.on!r}: only l1 and l2 are for parameters")


class Penalties:
    """The sum of λ·sum|w| and λ/2·sum w² over the parameters that have a λ."""

    def __init__(
        self, parameters: Parameters, treatments: Mapping[str, Treatment], xp: Any = np
    ) -> None:
        self._xp = xp
        self._parts: list[tuple[Array, float, float]] = []
        for name, at in treatments.items():
            if at.l1 or at.l2:
                flat = parameters.of[name].reshape(-1)
                blocks = range(0, flat.size, BLOCK)
                self._parts += [(flat[i : i + BLOCK], at.l1, at.l2) for i in blocks]
        longest = max((part.size for part, *_ in self._parts), default=0)
        self._scratch = xp.empty(longest, parameters.dtype)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._parts)

    def total(self) -> float:
        """What they come to for the parameters as they are."""
        xp, found = self._xp, 0.0
        for w, l1, l2 in self._parts:
            if l1:
                sizes = self._scratch[: w.size]
                xp.absolute(w, out=sizes)
                found += l1 * float(xp.add.reduce(sizes))
            if l2:
                found += l2 / 2 * float(xp.dot(w, w))
        return found
