"""How good a network is: its losses and measures over a dataset, without learning."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..data import Batch, Dataset
from ..device import to_numpy
from ..errors import UsageError
from .trainer import Trainer

Array = Any
LOSS = "loss"
"""The sum of all terms, among the measures."""
WATCHED_ROWS = 500
"""Examples, or a few more, whose values are kept because somebody watches them."""


class Measure(Protocol):
    """A number that tells how good answers are."""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        ...

    @property
    def rising(self) -> bool:
        """Whether more is better."""
        ...

    @property
    def on(self) -> str:
        """The value it looks at."""
        ...

    @property
    def target(self) -> str:
        """The data that say what the value should be."""
        ...

    def of(self, found: Array, wanted: Array) -> float:
        """The measure over all examples, a row each."""
        ...


class Evaluation:
    """Losses and measures of a trainer's network as it is now.

    Args:
        trainer: whose network.
        measures: what is to be measured.
        watched: names of more values to keep, of the first examples.

    Attributes:
        answers: what the measures looked at in the last run, by name, and the ``watched`` values.
    """

    def __init__(
        self, trainer: Trainer, measures: Sequence[Measure] = (), watched: Collection[str] = ()
    ) -> None:
        self._trainer, self._measures, self._watched = trainer, measures, watched
        self.answers: Mapping[str, Array] = {}

    def run(self, data: Dataset, batch_size: int) -> Mapping[str, float]:
        """``loss`` and every measure over the dataset, in its own order.

        Raises:
            UsageError: there are no data, or none for a measure.
        """
        values = {measure.on for measure in self._measures}
        watched = {*self._watched} - values
        self._trainer.evaluated.forget()
        found: dict[str, list[Array]] = {}
        total, rows = 0.0, 0
        for batch in data.batches(batch_size):
            losses, kept = self._trainer.evaluate(batch, values | watched)
            if rows >= WATCHED_ROWS:
                kept = {name: kept[name] for name in values}
            size = len(next(iter(batch.values())))
            total, rows = total + float(np.sum(losses)) * size, rows + size
            targets = {at.target: _target(batch, at) for at in self._measures}
            for name, array in {**kept, **targets}.items():
                found.setdefault(name, []).append(np.array(to_numpy(array)))
        if not rows:
            raise UsageError("there are no data to evaluate on")
        whole = {name: np.concatenate(parts) for name, parts in found.items()}
        self.answers = whole
        measures = {at.name: at.of(whole[at.on], whole[at.target]) for at in self._measures}
        return {LOSS: total / rows, **measures}


def _target(batch: Batch, measure: Measure) -> Array:
    if measure.target not in batch:
        raise UsageError(
            f"measure {measure.name!r}: the data have no {measure.target!r}, "
            f"they have {', '.join(batch)}"
        )
    return batch[measure.target]
