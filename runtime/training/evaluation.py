"""How good a network is: its losses and measures over a dataset, without learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..data import Dataset
from .trainer import Trainer

Array = Any


class Measure(Protocol):
    """A number that tells how good answers are.

    Attributes:
        name: what it is called in tables.
        rising: whether more is better.
        on: the value it looks at.
        target: what that should be.
    """

    name: str
    rising: bool
    on: str
    target: str

    def of(self, found: Array, wanted: Array) -> float:
        """The measure over all examples, a row each."""
        ...


class Evaluation:
    """Losses and measures of a trainer's network as it is now."""

    def __init__(self, trainer: Trainer, measures: Sequence[Measure] = ()) -> None:
        self._trainer, self._measures = trainer, measures

    def run(self, data: Dataset, batch_size: int) -> Mapping[str, float]:
        """``loss`` and every measure over the dataset, in its own order."""
        values = {measure.on for measure in self._measures}
        found: dict[str, list[Array]] = {}
        total, rows = 0.0, 0
        for batch in data.batches(batch_size):
            losses, kept = self._trainer.evaluate(batch, values)
            size = len(next(iter(batch.values())))
            total, rows = total + float(np.sum(losses)) * size, rows + size
            targets = {measure.target: batch[measure.target] for measure in self._measures}
            for name, array in {**kept, **targets}.items():
                found.setdefault(name, []).append(np.array(array))
        whole = {name: np.concatenate(parts) for name, parts in found.items()}
        measures = {at.name: at.of(whole[at.on], whole[at.target]) for at in self._measures}
        return {"loss": total / rows, **measures}
