"""The model that a spec describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .. import nn
from ..errors import GraphError, UsageError
from ..losses import Term
from ..network import Network
from ..training.model import Model
from ..training.treatments import treated
from .schema import Base, LossTerm, Spec

WEIGHTS = "weights.safetensors"


def model_of(spec: Spec) -> Model:
    """The network with its losses, and what learns in which way.

    Raises:
        GraphError: a layer or a loss that does not fit; the message has its path.
        UsageError: a network that is to be loaded is not there.
    """
    if isinstance(spec.network, Base):
        model = _continued(spec.network, spec.seed)
    else:
        model = _new(spec.network, spec.seed)
    model = replace(model, terms=[*_terms(model, spec.losses)])
    try:
        return treated(model, spec.optimizers)
    except UsageError as error:
        raise GraphError(f"optimizers: {error}") from None


def _new(layers: Sequence[nn.LayerSpec], seed: int) -> Model:
    try:
        return nn.sequential(layers, seed=seed)
    except GraphError as error:
        place, _ = nn.longest_prefix(layers)
        raise GraphError(f"network.{place}: {error}") from None


def _continued(base: Base, seed: int) -> Model:
    try:
        model = nn.from_network(Network.load(_file(base.load)))
        if base.drop_from:
            model = nn.drop_from(model, base.drop_from)
        if base.freeze:
            model = nn.freeze(model, base.freeze)
        return nn.extend(model, base.layers, seed=seed) if base.layers else model
    except GraphError as error:
        raise GraphError(f"network: {error}") from None


def _file(path: Path) -> Path:
    """The weights in a model's folder: those of its newest version."""
    if path.is_dir():
        numbers = [int(at.name) for at in path.iterdir() if at.name.isdigit()]
        path = path / str(max(numbers)) / WEIGHTS if numbers else path / WEIGHTS
    if not path.exists():
        raise UsageError(f"network.load: {path}: no such file")
    return path


def _terms(model: Model, losses: Sequence[LossTerm]) -> Sequence[Term]:
    """Those of the spec, and the usual ones on outputs that it has none for."""
    graph = model.network.graph
    values = {name: layer.value for name, layer in graph.layers.items()}
    usual = next((term.target for term in model.terms), "target")
    target = {term.on: term.target for term in model.terms}
    found: list[Term] = []
    for place, at in enumerate(losses):
        if at.on not in values:
            raise GraphError(f"losses.{place}.on: no layer is called {at.on!r}")
        on = values[at.on]
        found.append(Term(at.loss, on, at.target or target.get(on, usual), at.weight, at.weights))
    named = {term.on for term in found}
    return [*(term for term in model.terms if term.on not in named), *found]
