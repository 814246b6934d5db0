"""What a spec wants measured, and on which output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import GraphError
from ..training.evaluation import Measure
from ..training.measures import usual
from ..training.model import Model
from .schema import Spec


def measures(spec: Spec, model: Model) -> Sequence[Measure]:
    """Those of the spec, or the usual ones for the network's losses.

    One that does not say what it is on looks at the first output that has a loss.

    Raises:
        GraphError: no such layer.
    """
    terms = tuple(model.terms)
    if not spec.measures:
        return usual(terms)
    layers, ends = model.network.graph.layers, model.network.graph.outputs.values()
    targets = {term.on: term.target for term in reversed(terms)}
    first = next((term for term in terms if term.on in ends), terms[0])
    found: list[Measure] = []
    for place, measure in enumerate(spec.measures):
        asked: Any = measure  # its class variables are what the protocol asks for
        if asked.on and asked.on not in layers:
            raise GraphError(f"measures.{place}.on: no layer is called {asked.on!r}")
        on = layers[asked.on].value if asked.on else first.on
        target = asked.target or targets.get(on, first.target)
        found.append(replace(asked, on=on, target=target))
    return found
