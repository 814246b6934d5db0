"""The model that a spec describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import nn
from ..errors import GraphError, UsageError
from ..ir import Graph
from ..losses import Term
from ..losses.penalties import penalized
from ..network import Network
from ..optim import Optimizer
from ..optim.update import Treatment
from ..training.model import Model
from ..training.treatments import treated
from .schema import Base, LossTerm, Spec, Way

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
    model = _with_losses(model, spec.losses)
    ways = {key: _treatment(way) for key, way in spec.parameters.items()}
    return _learning(_learning(model, "optimizers", spec.optimizers), "parameters", ways)


def _treatment(way: Way) -> Treatment:
    return Treatment(None, way.rate_factor, way.l1, way.l2, way.max_norm, way.max_value)


def _learning(model: Model, key: str, ways: Mapping[str, Treatment | Optimizer]) -> Model:
    try:
        return treated(model, ways)
    except UsageError as error:
        raise GraphError(f"{key}: {error}") from None


def _new(layers: Sequence[Any], seed: int) -> Model:
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
        shapes = base.resize_input
        for name, shape in (shapes if isinstance(shapes, Mapping) else {"": shapes}).items():
            model = nn.resize_input(model, shape, name) if shape else model
        if base.freeze:
            model = nn.freeze(model, "" if base.freeze is True else base.freeze)
        if base.layers:
            model = nn.extend(model, base.layers, after=base.after, seed=seed)
        return model
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


def _with_losses(model: Model, losses: Sequence[LossTerm]) -> Model:
    """The model with the losses of the spec, and the usual ones on outputs that it has none for."""
    graph = model.network.graph
    values = {**graph.outputs, **{name: layer.value for name, layer in graph.layers.items()}}
    sources = {node.name: node.op for node in graph.nodes}
    usual = next((term.target for term in model.terms), "target")
    target = {term.on: term.target for term in model.terms}
    found: list[Term] = []
    judged = set[str]()  # what is told what it should be
    treatments = dict(model.treatments)
    for place, at in enumerate(losses):
        if at.on not in values:
            way = treatments.get(at.on, Treatment())
            treatments[at.on] = _penalized(graph, way, at, f"losses.{place}.on")
            continue
        on = values[at.on]
        found.append(Term(at.loss, on, at.target or target.get(on, usual), at.weight, at.weights))
        try:
            if at.loss.target(graph.types[on]):
                judged.add(on)
            at.loss.check_source(sources.get(on))
        except ValueError as error:
            raise GraphError(f"losses.{place}.loss: {error}") from None
    kept = (term for term in model.terms if term.on not in judged)
    return replace(model, terms=[*kept, *found], treatments=treatments)


def _penalized(graph: Graph, way: Treatment, at: LossTerm, where: str) -> Treatment:
    """The treatment of a parameter with a loss on it."""
    spec = graph.parameters.get(at.on)
    if spec is None or not spec.trainable:
        raise GraphError(f"{where}: no layer or parameter that learns is called {at.on!r}")
    if at.target or at.weights:
        raise GraphError(f"{where}: {at.on!r} is a parameter, which has no target and no weights")
    try:
        return penalized(way, Term(at.loss, at.on, weight=at.weight))
    except GraphError as error:
        raise GraphError(f"{where}: {error}") from None
