"""Training with values stored in float16 and computed with in float32.

What an operation hands to another, and the gradient that comes back, lies in memory in float16.
While an operation runs it sees float32 copies, so that no sum is shorter than before. Parameters,
their gradients and an optimiser's state stay float32, and so do a network's inputs and targets.

Small gradients vanish in float16: losses are multiplied by a scale, and gradients of parameters
divided by it (Micikevicius et al. 2018). Where one is no longer finite the step is left out and the
scale halved; after enough good steps it is doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .ir import Graph, Node, Types
from .op import Step

Array = Any
STORED = np.float16


@dataclass(slots=True)
class Scale:
    """What losses are multiplied by.

    Attributes:
        value: that; powers of two, which change no bit of a gradient but where it is subnormal.
        good: steps since it changed last.
        growth: how many of them double it.
    """

    value: float = 2.0**16
    good: int = 0
    growth: int = 2000

    def keep(self) -> None:
        """After a step whose gradients are finite."""
        self.good += 1
        if self.good >= self.growth:
            self.value, self.good = self.value * 2, 0

    def halve(self) -> None:
        """After one whose gradients are not."""
        self.value, self.good = self.value / 2, 0


def stored(
    graph: Graph, types: Types, dtype: Any, half: bool, is_view: Callable[[Node], bool]
) -> Mapping[str, Any]:
    """The dtype that each float is stored in: ``dtype``, or float16 if a node computes it."""
    found = {name: dtype for name, tensor in types.items() if tensor.dtype == "float"}
    for node in graph.nodes if half else ():
        for value in graph.values(node):
            if value in found:
                source = found.get(node.inputs[0], STORED) if is_view(node) else STORED
                found[value] = np.dtype(source)
    return found


class Widened:
    """A node's arrays for it to work on: float32 in the place of what is float16.

    ``take`` gives memory that lasts for the node's turn.
    """

    def __init__(self, xp: Any, dtype: Any, take: Callable[[tuple[int, ...], Any], Array]) -> None:
        self._xp, self._dtype, self._take = xp, dtype, take
        self._before: list[Step] = []
        self._before_back: list[Step] = []
        self._after: list[Step] = []
        self._after_back: list[Step] = []

    def read(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Inputs of both passes."""
        return tuple(self._wide(array, self._before, self._before_back) for array in arrays)

    def written(self, arrays: Sequence[Array], unread: Collection[int] = ()) -> tuple[Array, ...]:
        """Outputs of the forward pass, which the other one may read."""
        return tuple(
            self._wide(array, self._before_back, after=[] if i in unread else self._after)
            for i, array in enumerate(arrays)
        )

    def read_back(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Gradients of outputs."""
        return tuple(self._wide(array, self._before_back) for array in arrays)

    def written_back(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Gradients of inputs."""
        return tuple(self._wide(array, after=self._after_back) for array in arrays)

    def around(self, forward: Sequence[Step], backward: Sequence[Step]) -> tuple[list[Step], ...]:
        """Both passes with the copies they need."""
        return (
            [*self._before, *forward, *self._after] if forward else [],
            [*self._before_back, *backward, *self._after_back] if backward else [],
        )

    def _wide(self, array: Array, *before: list[Step], after: list[Step] | None = None) -> Array:
        if array is None or array.dtype != STORED:
            return array
        wide = self._take(array.shape, self._dtype)
        for steps in before:
            steps.append(partial(self._xp.copyto, wide, array))
        if after is not None:
            after.append(partial(self._xp.copyto, array, wide))
        return wide


def scaled(xp: Any, slope: Array, scale: Scale) -> Step:
    """A step that multiplies the gradient of a loss by the scale."""

    def multiply() -> None:
        xp.multiply(slope, scale.value, out=slope)

    return multiply
