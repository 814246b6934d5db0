"""What training makes small: a loss of a value, and how much it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def names(terms: Sequence[Term], layers: Mapping[str, str]) -> list[str]:
    """What tables call the terms: ``mse of answer``; those alike have their number, too.

    ``layers``: the names of layers by their values.
    """
    found = [
        f"{getattr(term.loss, 'type', type(term.loss).__name__)} of {layers.get(term.on, term.on)}"
        for term in terms
    ]
    places = enumerate(found, 1)
    return [name if found.count(name) == 1 else f"{name} ({place})" for place, name in places]
