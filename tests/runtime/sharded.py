"""Runs a network's training step in one shard or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cortex.runtime.losses import Inner, Term
from cortex.runtime.network import Network
from cortex.runtime.parameters import Parameters
from cortex.runtime.plan import Plan
from cortex.runtime.shard import split
from cortex.runtime.team import Team


def gradients(network: Network, given: Mapping[str, Any], shards: int) -> dict[str, Any]:
    """Outputs, losses, gradients and moved state of one training step in float64."""
    graph = network.graph
    rows = len(next(iter(given.values())))
    parameters = Parameters(graph, network.parameters, np.float64)
    terms = [Term(Inner(), v, f"t {v}") for v in graph.outputs if graph.types[v].dtype == "float"]
    wrt = [name for name, tensor in graph.inputs.items() if tensor.dtype == "float"]
    team = Team.of(shards)
    parts = split(rows, shards, team.meet)
    sizes = {n: 5 for t in graph.inputs.values() for n in t.shape if isinstance(n, str)}
    plans = [
        Plan(graph, parameters, {**sizes, "N": n}, training=True, terms=terms, wrt=wrt, shard=shard)
        for shard, n in parts
    ]
    rng = np.random.default_rng(2)
    targets = {t.target: rng.normal(size=(rows, *plans[0].v[t.target].shape[1:])) for t in terms}
    for plan, (shard, n) in zip(plans, parts, strict=True):
        for name, array in {**given, **targets}.items():
            plan.v[name][...] = array[shard.first_row : shard.first_row + n]
    team.run(lambda i: plans[i].run())
    found = {f"value {v}": np.concatenate([p.v[v] for p in plans]) for v in graph.outputs}
    found |= {f"slope {v}": np.concatenate([p.g[v] for p in plans]) for v in plans[0].g}
    found["loss"] = np.sum([plan.losses for plan in plans], axis=0)
    found["state"] = parameters.flat
    if plans[0].grad is not None:
        found["gradient"] = np.sum([plan.grad for plan in plans], axis=0)
    return found
