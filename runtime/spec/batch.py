"""One batch for what only looks at a network: of the spec's data, or of random numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..ir import infer
from ..losses.targets import with_targets
from ..network import BATCH
from ..tensor import Tensor
from ..training.model import Model
from .examples import datasets
from .network import model_of
from .schema import Spec

Array = Any
OPEN = 16
"""What an open size is where no data say it."""


def a_batch(spec: Spec, rows: int) -> tuple[Model, Mapping[str, Array]]:
    """The model, and a batch of as many examples, or of all that there are."""
    model = model_of(spec)
    if spec.data is None:
        return model, random_batch(model, rows, open_sizes(model), spec.seed)
    training, _ = datasets(spec, model)
    batch = next(iter(training.batches(rows, 0)))
    return model, {**batch, **_states(model, len(next(iter(batch.values()))))}


def open_sizes(model: Model) -> Mapping[str, int]:
    """What is assumed of sizes that only the data say, by name."""
    shapes = [tensor.shape for tensor in model.network.graph.inputs.values()]
    names = {size for shape in shapes for size in shape if isinstance(size, str)}
    return dict.fromkeys(sorted(names - {BATCH}), OPEN)


def random_batch(
    model: Model, rows: int, sizes: Mapping[str, int], seed: int = 0
) -> Mapping[str, Array]:
    """Inputs in ±1 and below 2, and targets with a one in each row."""
    graph, rng = model.network.graph, np.random.default_rng(seed)
    types = with_targets(infer(graph, {**sizes, BATCH: rows}), graph, model.terms)
    made = {value for node in graph.nodes for value in graph.values(node)}
    found = {name: _array(at, rng) for name, at in types.items() if name not in made}
    targets = {term.target for term in model.terms} - graph.inputs.keys() - made
    for name in targets & types.keys():
        if types[name].dtype == "float" and types[name].rank > 1:
            found[name] = np.eye(types[name].sizes[-1])[_below(types[name].sizes, rng)]
    return {**found, **_states(model, rows)}


def _below(sizes: Sequence[int], rng: np.random.Generator) -> Array:
    return rng.integers(0, sizes[-1], sizes[:-1])


def _array(tensor: Tensor, rng: np.random.Generator) -> Array:
    if tensor.dtype == "float":
        return rng.uniform(-1, 1, tensor.sizes).astype(np.float32)
    return rng.integers(0, 2, tensor.sizes).astype(tensor.dtype)


def _states(model: Model, rows: int) -> Mapping[str, Array]:
    graph = model.network.graph
    return {
        held: np.zeros((rows, *(int(size) for size in graph.inputs[held].shape[1:])), np.float32)
        for held in graph.states
    }
