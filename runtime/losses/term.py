"""What training makes small: a loss of a value, and how much it counts."""

from __future__ import annotations

from dataclasses import dataclass

from .loss import Loss


@dataclass(frozen=True, slots=True)
class Term:
    """A loss ``on`` a value, against the plan's input called ``target``, times ``weight``.

    ``weights`` names an input of the plan, or a value of the graph, that says how much each row
    or position counts; a mask is one of zeros and ones. Empty: all count alike.
    """

    loss: Loss
    on: str
    target: str = "target"
    weight: float = 1.0
    weights: str = ""
