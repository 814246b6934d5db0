"""A case with numbers: a network, inputs, targets, and plans for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cortex.runtime.parameters import Parameters, Weights
from cortex.runtime.plan import Plan
from cortex.runtime.shard import split

from .networks import Array, drawn, with_parameters
from .random_graphs import Case
from .straightforward import Evaluation

ROWS = 5


class Training:
    """A case with numbers: its network, inputs and targets, and plans for it."""

    def __init__(self, case: Case, rows: int = ROWS) -> None:
        self.case, self.rows = case, rows
        self.network = with_parameters(case.graph, 1, np.float64)
        types = Plan(case.graph, Weights(case.graph, self.network.parameters), {"N": rows}).types
        self.inputs = {
            name: drawn(types[name].sizes, i, np.float64)
            for i, name in enumerate(case.graph.inputs)
        }
        self.targets = {
            term.target: np.abs(drawn(types[term.on].sizes, 10 + i, np.float64))
            for i, term in enumerate(case.terms)
        }

    def plans(self, shards: int = 1, meet: Any = None, xp: Any = np) -> list[Plan]:
        """A plan per shard, over parameters of their own, with its rows in it."""
        parameters = Parameters(self.case.graph, self.network.parameters, np.float64, xp)
        plans: list[Plan] = []
        for shard, rows in split(self.rows, shards, meet):
            plan = Plan(
                self.case.graph,
                parameters,
                {"N": rows},
                training=self.case.training,
                terms=self.case.terms,
                wrt=self.case.wrt,
                frozen=self.case.frozen,
                shard=shard,
                xp=xp,
            )
            for name, array in {**self.inputs, **self.targets}.items():
                plan.v[name][...] = array[shard.first_row : shard.first_row + rows]
            plans.append(plan)
        return plans

    def loss(self, parameters: Mapping[str, Array], bumps: Mapping[str, Array]) -> float:
        """The straightforward loss of other parameters or moved values."""
        evaluation = Evaluation(
            self.case.graph,
            parameters,
            self.case.training,
            self.case.frozen,
            bumps,
            self.network.parameters,
        )
        evaluation.run(self.inputs)
        return evaluation.loss(self.case.terms, self.targets)


def views(plan: Plan, vector: Any) -> Mapping[str, Any]:
    assert isinstance(plan.parameters, Parameters)
    return plan.parameters.views(vector)


def flat(plan: Plan) -> Any:
    assert isinstance(plan.parameters, Parameters)
    return plan.parameters.flat


def assert_same(found: Any, wanted: Any, what: object = "", tolerance: float = 1e-10) -> None:
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    np.testing.assert_allclose(
        found, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=str(what)
    )
