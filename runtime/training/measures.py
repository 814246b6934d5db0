"""The measures that an evaluation can take, as values: what to look at, and what it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ..losses import BinaryCrossEntropy, CrossEntropy, NegativeLogLikelihood, Term
from . import metrics

Array = Any


@dataclass(frozen=True)
class Looking:
    """What every measure has.

    Attributes:
        on: the value it looks at.
        target: what that should be; usually the one a loss has.
        name: what it is called in tables.
    """

    on: str
    target: str
    name: str = field(default="", kw_only=True)

    usual: ClassVar[str]
    """Its name, unless it is given another."""
    rising = True  # unannotated: no field, and a plain attribute for the protocol

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.usual)

    def of(self, found: Array, wanted: Array) -> float:
        """The measure over all examples."""
        raise NotImplementedError


@dataclass(frozen=True)
class Accuracy(Looking):
    """The part of the examples whose class was found."""

    usual = "accuracy"

    def of(self, found: Array, wanted: Array) -> float:
        return metrics.accuracy(found, wanted)


@dataclass(frozen=True)
class BinaryAccuracy(Looking):
    """The part of the single answers that lie on the same side of ½ as they should."""

    usual = "accuracy"

    def of(self, found: Array, wanted: Array) -> float:
        return metrics.binary_accuracy(found, wanted)


@dataclass(frozen=True)
class ErrorRate(Looking):
    """The part of the examples whose class was not found; neon's misclassification."""

    usual, rising = "error rate", False

    def of(self, found: Array, wanted: Array) -> float:
        return 1 - metrics.accuracy(found, wanted)


@dataclass(frozen=True)
class TopK(Looking):
    """The part of the examples whose class is among the ``k`` with the highest scores."""

    k: int = field(default=5, kw_only=True)

    @property
    def usual(self) -> str:  # type: ignore[override]
        return f"top {self.k}"

    def of(self, found: Array, wanted: Array) -> float:
        return metrics.top_k(found, wanted, self.k)


@dataclass(frozen=True)
class PerClass(Looking):
    """A number that each class has; of ``class_``, or the mean over all, which is called macro."""

    class_: int | None = field(default=None, kw_only=True)

    of_class: ClassVar[Literal["precision", "recall", "f1"]]

    @property
    def usual(self) -> str:  # type: ignore[override]
        return self.of_class if self.class_ is None else f"{self.of_class} {self.class_}"

    def of(self, found: Array, wanted: Array) -> float:
        each = getattr(metrics.PerClass.of(metrics.confusion(found, wanted)), self.of_class)
        return float(each.mean() if self.class_ is None else each[self.class_])


@dataclass(frozen=True)
class Precision(PerClass):
    """How much of what was taken for a class belongs to it."""

    of_class = "precision"


@dataclass(frozen=True)
class Recall(PerClass):
    """How much of a class was found."""

    of_class = "recall"


@dataclass(frozen=True)
class F1(PerClass):
    """The harmonic mean of precision and recall."""

    of_class = "f1"


@dataclass(frozen=True)
class Auc(Looking):
    """The area under the ROC of one class; of yes, where there are two."""

    class_: int | None = field(default=None, kw_only=True)
    usual = "auc"

    def of(self, found: Array, wanted: Array) -> float:
        return self._roc(found, wanted).area

    def _roc(self, found: Array, wanted: Array) -> metrics.Roc:
        scores = metrics.positive_scores(found, self.class_)
        yes = 1 if self.class_ is None else self.class_
        return metrics.Roc.of(scores, metrics.wanted_classes(wanted, found) == yes)


@dataclass(frozen=True)
class EqualError(Auc):
    """The rate at which false positives and false negatives are as frequent."""

    usual, rising = "equal error", False

    def of(self, found: Array, wanted: Array) -> float:
        return self._roc(found, wanted).equal_error


@dataclass(frozen=True)
class LogLoss(Looking):
    """The mean of -log of the probability that the wanted class was given."""

    usual, rising = "log loss", False

    def of(self, found: Array, wanted: Array) -> float:
        return metrics.log_loss(found, wanted)


@dataclass(frozen=True)
class MeanSquaredError(Looking):
    """The mean of the squares of errors; targets that are NaN do not count."""

    usual, rising = "mse", False

    def of(self, found: Array, wanted: Array) -> float:
        return float(np.square(metrics.errors(found, wanted)).mean())


@dataclass(frozen=True)
class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of the squares of errors."""

    usual = "rmse"

    def of(self, found: Array, wanted: Array) -> float:
        return super().of(found, wanted) ** 0.5


@dataclass(frozen=True)
class MeanAbsoluteError(Looking):
    """The mean size of errors; targets that are NaN do not count."""

    usual, rising = "mae", False

    def of(self, found: Array, wanted: Array) -> float:
        return float(np.abs(metrics.errors(found, wanted)).mean())


@dataclass(frozen=True)
class RSquared(Looking):
    """1 - the part of the targets' variance that the answers leave."""

    usual = "r2"

    def of(self, found: Array, wanted: Array) -> float:
        return metrics.r_squared(found, wanted)


NAMED: Mapping[str, type[Looking]] = {
    "accuracy": Accuracy,
    "binary_accuracy": BinaryAccuracy,
    "error_rate": ErrorRate,
    "top_k": TopK,
    "precision": Precision,
    "recall": Recall,
    "f1": F1,
    "auc": Auc,
    "equal_error": EqualError,
    "log_loss": LogLoss,
    "mse": MeanSquaredError,
    "rmse": RootMeanSquaredError,
    "mae": MeanAbsoluteError,
    "r2": RSquared,
}
"""The measures by the names that specs use."""


def usual(terms: Sequence[Term]) -> list[Looking]:
    """The accuracy of the values that have a cross-entropy for a loss."""
    kinds: Mapping[type, type[Looking]] = {
        CrossEntropy: Accuracy,
        NegativeLogLikelihood: Accuracy,
        BinaryCrossEntropy: BinaryAccuracy,
    }
    found = [(kinds[type(at.loss)], at.on, at.target) for at in terms if type(at.loss) in kinds]
    if len(found) == 1:
        return [kind(on, target) for kind, on, target in found]
    return [kind(on, target, name=f"accuracy of {on}") for kind, on, target in found]
