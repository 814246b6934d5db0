"""What a stateful network hands from one batch to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..ir import Graph
from ..network import BATCH
from ..plan import Plan

Array = Any


class States:
    """The states of a graph: zeros at first, then what the batch before ended with.

    Rows belong together: row i of a batch goes on where row i of the last one ended. A batch of
    another size begins anew.

    Attributes:
        arrays: what is carried, by the name of the graph's input.
    """

    def __init__(self, graph: Graph, dtype: Any, xp: Any) -> None:
        self._values = {held: graph.outputs[kept] for held, kept in graph.states.items()}
        self._shapes = {held: graph.inputs[held].shape for held in self._values}
        self._dtype, self._xp = dtype, xp
        self.arrays: dict[str, Array] = {}

    def forget(self) -> None:
        """The next batch begins anew."""
        self.arrays = {}

    def take(self, arrays: Mapping[str, Array]) -> None:
        """The next batch goes on from these."""
        self.arrays = {
            held: self._xp.array(array, dtype=self._dtype) for held, array in arrays.items()
        }

    def join(self, batch: Mapping[str, Array]) -> Mapping[str, Array]:
        """The batch with the states it begins with, but for those it has itself."""
        missing = [held for held in self._values if held not in batch]
        if not missing:
            return batch
        rows = len(next(iter(batch.values())))
        return {**batch, **{held: self._state(held, rows) for held in missing}}

    def keep(self, plans: Sequence[Plan]) -> None:
        """Keeps the states that the shards of a batch have ended with."""
        for held, value in self._values.items():
            state, row = self._state(held, sum(len(plan.v[value]) for plan in plans)), 0
            for plan in plans:
                part = plan.v[value]
                state[row : row + len(part)] = part
                row += len(part)

    def _state(self, held: str, rows: int) -> Array:
        if held not in self.arrays or len(self.arrays[held]) != rows:
            shape = [rows if size == BATCH else size for size in self._shapes[held]]
            self.arrays[held] = self._xp.zeros(shape, self._dtype)
        return self.arrays[held]
