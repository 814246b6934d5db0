"""How good answers are, computed with NumPy from what was found and what was wanted.

``found`` are scores or probabilities, a row an example, the last axis the classes; one column is
the probability of yes. ``wanted`` are the same of ones and zeros, or the classes' numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

Array = NDArray[Any]


def classes(scores: Array) -> Array:
    """The class of each example, by its highest score; of a single score, whether it is over ½."""
    if scores.shape[-1] == 1:
        return (scores[..., 0] > 0.5).astype(np.int64).reshape(-1)
    return scores.argmax(-1).reshape(-1)


def wanted_classes(wanted: Array, found: Array) -> Array:
    """The class that each example of ``found`` should have.

    Raises:
        UsageError: ``wanted`` has neither the shape of ``found`` nor a number for each example, or
            the number of no class.
    """
    if wanted.shape == found.shape:
        return classes(wanted)
    if wanted.size == found.size // found.shape[-1]:
        numbers, count = wanted.reshape(-1).astype(np.int64), max(2, found.shape[-1])
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < count:
            raise UsageError(
                f"the targets are classes {numbers.min()} to {numbers.max()}, "
                f"but there are {count}: 0 to {count - 1}"
            )
        return numbers
    raise UsageError(f"the answers have the shape {found.shape}, the targets {wanted.shape}")


def confusion(found: Array, wanted: Array) -> Array:
    """How often each class (row) was taken for each class (column); two for a single score."""
    count = max(2, found.shape[-1])
    pairs = wanted_classes(wanted, found) * count + classes(found)
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


@dataclass(frozen=True, slots=True)
class PerClass:
    """Of each class: how much of what was taken for it is it, how much of it was found, and F1.

    A class that was never found, or is not there, has 0 for what would be 0/0, as scikit-learn.
    """

    precision: Array
    recall: Array
    f1: Array
    support: Array

    @classmethod
    def of(cls, matrix: Array) -> PerClass:
        """From a confusion matrix."""
        right, there = np.diag(matrix), matrix.sum(1)
        taken = matrix.sum(0)
        return cls(
            _ratio(right, taken), _ratio(right, there), _ratio(2 * right, taken + there), there
        )


def _ratio(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)


def accuracy(found: Array, wanted: Array) -> float:
    """The part of the examples whose class was found."""
    return float(np.mean(classes(found) == wanted_classes(wanted, found)))


def binary_accuracy(found: Array, wanted: Array) -> float:
    """The part of the single answers that lie on the same side of ½ as they should.

    Raises:
        UsageError: they have not as many elements.
    """
    _check_sizes(found, wanted)
    return float(np.mean((found.reshape(-1) > 0.5) == (wanted.reshape(-1) > 0.5)))


def top_k(found: Array, wanted: Array, k: int = 5) -> float:
    """The part of the examples whose class is among the ``k`` with the highest scores.

    Of equal scores that of the higher class counts first, as in scikit-learn.
    """
    scores, right = found.reshape(-1, found.shape[-1]), wanted_classes(wanted, found)
    best = np.argsort(scores, axis=-1, kind="stable")[:, ::-1][:, :k]
    return float(np.mean((best == right[:, None]).any(1)))


def log_loss(found: Array, wanted: Array) -> float:
    """The mean of -log of the probability that the wanted class was given.

    No probability counts as less than the smallest step from 1 that its type of floats can take.
    """
    scores = found.reshape(-1, found.shape[-1])
    scores = scores.astype(np.result_type(scores, np.float32))
    if scores.shape[-1] == 1:
        scores = np.concatenate([1 - scores, scores], axis=-1)
    given = np.take_along_axis(scores, wanted_classes(wanted, found)[:, None], 1)
    tiny = np.finfo(scores.dtype).eps
    return -float(np.mean(np.log(np.clip(given, tiny, 1 - tiny), dtype=np.float64)))


@dataclass(frozen=True, slots=True)
class Roc:
    """The receiver operating characteristic: a point for each threshold, from none to all.

    Attributes:
        false_positive, true_positive: rates of those examples whose score is not below.
        thresholds: the scores, the first infinite.
    """

    false_positive: Array
    true_positive: Array
    thresholds: Array

    @classmethod
    def of(cls, scores: Array, positive: Array) -> Roc:
        """Of a score and a truth, 0 or 1, for each example.

        Raises:
            UsageError: not both truths are there.
        """
        truth = positive.reshape(-1) > 0.5
        values = scores.reshape(-1).astype(np.float64)
        yes = int(truth.sum())
        if not 0 < yes < truth.size:
            raise UsageError("an ROC needs examples of both kinds")
        order = np.argsort(-values, kind="stable")
        last = np.append(np.flatnonzero(np.diff(values[order])), truth.size - 1)
        hits = np.cumsum(truth[order])[last]
        misses = last + 1 - hits
        return cls(
            np.append(0.0, misses / (truth.size - yes)),
            np.append(0.0, hits / yes),
            np.append(np.inf, values[order][last]),
        )

    @property
    def area(self) -> float:
        """Under the curve: how often a yes has a higher score than a no."""
        return float(np.trapezoid(self.true_positive, self.false_positive))

    @property
    def equal_error(self) -> float:
        """The rate at which as many of the nos are taken for yes as of the yeses for no.

        Between two points of the curve it is that of the line that joins them.
        """
        gap = self.false_positive - (1 - self.true_positive)  # rises from -1 to 1
        at = int(np.searchsorted(gap, 0.0))
        if gap[at] == 0:
            return float(self.false_positive[at])
        part = -gap[at - 1] / (gap[at] - gap[at - 1])
        before, after = self.false_positive[at - 1 : at + 1]
        return float(before + part * (after - before))


def positive_scores(found: Array, class_: int | None = None) -> Array:
    """The scores of one class; None: of yes, which one column or the second of two has.

    Raises:
        UsageError: there are more classes than two, and none is named.
    """
    if class_ is None and found.shape[-1] > 2:
        raise UsageError(f"name one of the {found.shape[-1]} classes")
    column = class_ if class_ is not None else found.shape[-1] - 1
    return found[..., column].reshape(-1)


def errors(found: Array, wanted: Array) -> Array:
    """What was found minus what was wanted, in float64, NaN targets left out.

    Raises:
        UsageError: they have not as many elements.
    """
    _check_sizes(found, wanted)
    gone = np.subtract(found.reshape(-1), wanted.reshape(-1), dtype=np.float64)
    return gone[~np.isnan(wanted.reshape(-1).astype(np.float64))]


def r_squared(found: Array, wanted: Array) -> float:
    """1 - the part of the targets' variance that the answers leave; each column counts alike.

    Raises:
        UsageError: they have not as many elements.
    """
    _check_sizes(found, wanted)
    wide = wanted.reshape(len(wanted), -1).astype(np.float64)
    left = np.square(found.reshape(wide.shape).astype(np.float64) - wide).sum(0)
    there = np.square(wide - wide.mean(0)).sum(0)
    known = there > 0
    parts = np.where(known, 1 - left / np.where(known, there, 1), np.where(left > 0, 0.0, 1.0))
    return float(parts.mean())


def _check_sizes(found: Array, wanted: Array) -> None:
    if found.size != wanted.size:
        raise UsageError(f"the answers have the shape {found.shape}, the targets {wanted.shape}")


def table(found: Array, wanted: Array, names: Sequence[str] = ()) -> str:
    """Precision, recall and F1 of each class, and their means, as text."""
    matrix = confusion(found, wanted)
    by = PerClass.of(matrix)
    named = names or [str(i) for i in range(len(matrix))]
    width = max(8, *(len(name) for name in named))
    lines = [f"{'class':<{width}}  precision  recall      f1   count"]
    for name, *row in zip(named, by.precision, by.recall, by.f1, by.support, strict=True):
        lines.append(_line(name, width, *row))
    means = (float(at.mean()) for at in (by.precision, by.recall, by.f1))
    lines.append(_line("mean", width, *means, matrix.sum()))
    return "\n".join(lines)


def _line(name: str, width: int, *row: Any) -> str:
    precision, recall, f1, count = row
    return f"{name:<{width}}  {precision:9.4f}  {recall:6.4f}  {f1:6.4f}  {int(count):6,}"
