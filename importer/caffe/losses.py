"""Caffe's losses: what remains of them in a test, and what they are in a training here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LossFacts:
    """A type of loss.

    Attributes:
        activation: the type of the layer whose output is compared, which the loss has in itself.
        loss: what a cortex-train spec calls it; "" if it has none.
        factor: what one element of the mean counts; 0: as many elements as an example has.
    """

    activation: str = ""
    loss: str = ""
    factor: float = 1.0


LOSSES: Mapping[str, LossFacts] = {
    "SoftmaxWithLoss": LossFacts("Softmax", "cross_entropy"),
    "MultinomialLogisticLoss": LossFacts("", "cross_entropy"),
    "SigmoidCrossEntropyLoss": LossFacts("Sigmoid", "binary_cross_entropy", 0),
    "EuclideanLoss": LossFacts("", "mse", 0),
    "HingeLoss": LossFacts(),
    "InfogainLoss": LossFacts(),
    "ContrastiveLoss": LossFacts(),
}
"""Each type of loss. Those without a name there compare in a way that no loss here does."""

LOOKS_ON = ("Accuracy", "Silence", "HDF5Output")
"""Types that compute nothing another layer needs."""


def term(kind: str, on: str, target: str, weight: float, size: int) -> dict[str, Any] | None:
    """A loss as a cortex-train spec has it, on a layer of so many elements; None if it has none.

    Caffe adds up the squares of an example and halves them, and adds up its cross-entropies, where
    the losses here are means.
    """
    facts = LOSSES[kind]
    if not facts.loss:
        return None
    if facts.factor == 0:
        weight *= size / 2 if facts.loss == "mse" else size
    found = {"loss": facts.loss, "on": on, "target": target}
    return found if weight == 1 else {**found, "weight": weight}
