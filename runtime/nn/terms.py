"""Losses as a network's author names them: on layers, parameters, and the only target there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import GraphError
from ..losses import Term
from .net import Net


def resolve(net: Net, terms: Sequence[Term], outputs: Mapping[str, str]) -> list[Term]:
    """The terms with layers replaced by values, and a target for those that name none.

    That is the target of the only output. A term on a parameter becomes a penalty of the net.

    Raises:
        GraphError: a term that does not fit its value, or on a parameter and no penalty; or it is
            not clear which target it is.
    """
    found: list[Term] = []
    for term in terms:
        if term.on in net.layers:
            term = replace(term, on=net.layers[term.on].value)
        elif net.has_parameter(term.on):
            net.penalize(term)
            continue
        if term.on not in net.types:
            raise GraphError(f"a loss is on {term.on!r}, but no layer or value is called that")
        try:
            term.loss.target(net.types[term.on])
            term.loss.check_source(net.source(term.on))
        except ValueError as error:
            raise GraphError(f"the loss on {term.on!r}: {error}") from None
        found.append(term)
    return [_with_target(term, found, outputs) for term in found]


def _with_target(term: Term, terms: Sequence[Term], outputs: Mapping[str, str]) -> Term:
    if term.target:
        return term
    targets = {
        next((at.target for at in terms if at.on == value and at.target), f"{name}:target")
        for name, value in outputs.items()
    }
    if len(targets) != 1:
        raise GraphError(
            f"the loss on {term.on!r} names no target; they are {', '.join(sorted(targets))}"
        )
    return replace(term, target=targets.pop())
