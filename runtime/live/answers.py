"""What a classifier answered to the validation data, and which examples are behind each number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..training import metrics
from ..training.loop import Run
from ..training.measures import Accuracy, usual

Array = NDArray[Any]
SHOWN = 100
"""Examples of a cell."""
SAMPLES = 50
MOST_CLASSES = 64
"""Of a matrix that can be looked at; of more only the most frequent mistakes are listed."""


@dataclass(frozen=True)
class Answers:
    """Scores and wanted classes, an example a row; a sequence has an answer for each place.

    Attributes:
        found, wanted: as ``metrics`` has them.
        labels: what the classes are called.
    """

    found: Array
    wanted: Array
    labels: Sequence[str]

    @classmethod
    def of(cls, run: Run, labels: Sequence[str]) -> Answers | None:
        """Those of the last evaluation; None where it looked at no classifier's.

        Several answers of yes or no side by side are no classes.
        """
        for measure in usual(run.trainer.model.terms):
            found = run.answers.get(measure.on)
            wanted = run.answers.get(measure.target)
            if found is None or wanted is None or found.ndim < 2:
                continue
            count = max(2, found.shape[-1])
            if isinstance(measure, Accuracy) or found.shape[-1] == 1:
                names = [*labels] if len(labels) == count else [str(i) for i in range(count)]
                return cls(found, wanted, names)
        return None

    @cached_property
    def classes(self) -> tuple[Array, Array]:
        """The classes wanted, and those found."""
        return metrics.wanted_classes(self.wanted, self.found), metrics.classes(self.found)

    @cached_property
    def confidence(self) -> Array:
        """The score of the class that was found."""
        scores = self.found.reshape(-1, self.found.shape[-1])
        if scores.shape[-1] == 1:
            return np.maximum(scores[:, 0], 1 - scores[:, 0])
        return scores.max(-1)

    def matrix(self) -> Mapping[str, Any]:
        """The confusion matrix, unless it is too large, and the most frequent mistakes."""
        counts = metrics.confusion(self.found, self.wanted)
        wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
        order = np.argsort(-wrong, axis=None, kind="stable")[:10]
        pairs = [(int(i) // len(counts), int(i) % len(counts)) for i in order]
        return {
            "labels": self.labels,
            "counts": counts.tolist() if len(counts) <= MOST_CLASSES else None,
            "right": int(np.trace(counts)),
            "all": int(counts.sum()),
            "mistakes": [[*pair, int(wrong[pair])] for pair in pairs if wrong[pair]],
        }

    def cell(self, wanted: int, guess: int) -> list[Mapping[str, Any]]:
        """The examples of one class that were taken for another, the surest first."""
        right, taken = self.classes
        rows = np.flatnonzero((right == wanted) & (taken == guess))
        rows = rows[np.argsort(-self.confidence[rows], kind="stable")][:SHOWN]
        return [self._told(int(row)) for row in rows]

    def samples(self) -> list[Mapping[str, Any]]:
        """The first examples, whatever was answered."""
        places = len(self.confidence) // len(self.found)
        return [self._told(row) for row in range(0, len(self.confidence), places)[:SAMPLES]]

    def _told(self, row: int) -> Mapping[str, Any]:
        (right, taken), places = self.classes, len(self.confidence) // len(self.found)
        return {
            "example": row // places,
            "place": row % places if places > 1 else None,
            "wanted": self.labels[right[row]],
            "guess": self.labels[taken[row]],
            "confidence": float(self.confidence[row]),
        }
