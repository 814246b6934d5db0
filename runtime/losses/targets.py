"""What a plan with losses is fed: inputs, targets and weights, their types and how they get in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from ..errors import GraphError, UsageError
from ..frame import Array
from ..ir import Graph, Types
from ..tensor import Tensor
from .labels import put_weights
from .term import Term

Feeds: TypeAlias = Mapping[str, Callable[[Array, Array], None]]
"""By name: from memory of the plan and rows of a batch, writes the rows."""


def with_targets(types: Types, graph: Graph, terms: Sequence[Term]) -> Types:
    """The types of all values, targets and weights; these may be inputs of the graph, too.

    Raises:
        GraphError: a loss that does not fit its value, or two that need different targets.
    """
    found = dict(types)
    for term in terms:
        if term.on not in types:
            raise GraphError(f"a loss is on {term.on!r}, but no value is called that")
        try:
            target = term.loss.target(types[term.on])
            weights = term.loss.weights(types[term.on]) if term.weights else None
        except ValueError as error:
            raise GraphError(f"the loss on {term.on!r}: {error}") from None
        if target is not None:
            if term.target in types and term.target not in graph.inputs:
                raise GraphError(f"the target {term.target!r} is a value that the graph computes")
            _add(found, "target", term.target, target, term.on)
        if weights is not None:
            _add(found, "weights", term.weights, weights, term.on)
    return found


def _add(found: dict[str, Tensor], what: str, name: str, wanted: Tensor, on: str) -> None:
    """A type that several terms may share; weights may be of any type of numbers."""
    known = found.setdefault(name, wanted)
    if known.shape != wanted.shape or (what == "target" and known.dtype != wanted.dtype):
        raise GraphError(
            f"the {what} {name!r} has the shape {known.shape}{_of(known)}, "
            f"but the loss on {on!r} needs {wanted.shape}{_of(wanted)}"
        )


def _of(tensor: Tensor) -> str:
    return "" if tensor.dtype == "float" else f" of {tensor.dtype}"


def feeds(graph: Graph, types: Types, terms: Sequence[Term]) -> Feeds:
    """How everything that a batch must have is written."""
    found = dict[str, Callable[[Array, Array], None]]()
    for term in terms:
        if term.loss.target(types[term.on]) is not None:
            found[term.target] = partial(_put_target, term, types[term.on])
    computed = {value for node in graph.nodes for value in graph.values(node)}
    for term in terms:
        if term.weights and term.weights not in computed:
            found[term.weights] = partial(_put_weights, term.weights)
    return found | {name: partial(_put_input, name) for name in graph.inputs}


def _put_target(term: Term, on: Tensor, into: Array, rows: Array) -> None:
    term.loss.put(into, rows, term.target, on)


def _put_weights(name: str, into: Array, rows: Array) -> None:
    put_weights(into, rows, name)


def _put_input(name: str, into: Array, rows: Array) -> None:
    if rows.shape != into.shape:
        raise UsageError(f"input {name!r}: its shape is {rows.shape}, expected {into.shape}")
    into[...] = rows
