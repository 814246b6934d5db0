"""What plans compute: values, gradients and state are those of the straightforward evaluation."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from cortex.runtime.errors import GraphError
from cortex.runtime.ir import Graph
from cortex.runtime.losses import CrossEntropy, Inner, MeanSquaredError, Term
from cortex.runtime.network import Network
from cortex.runtime.ops import (
    Add,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Relu,
    Sigmoid,
    Softmax,
    Transpose,
)
from cortex.runtime.parameters import Parameters, Weights
from cortex.runtime.plan import ALL, Plan
from cortex.runtime.shard import split
from cortex.runtime.team import Team
from cortex.runtime.tensor import Tensor

from .networks import Array, Chain, drawn, mlp, with_parameters
from .random_graphs import Case, random_case
from .straightforward import Evaluation
from .strict import Strict

ROWS = 5
every_case = pytest.mark.parametrize("seed", range(400))


class Training:
    """A case with numbers: its network, inputs and targets, and plans for it."""

    def __init__(self, case: Case, rows: int = ROWS) -> None:
        self.case, self.rows = case, rows
        self.network = with_parameters(case.graph, 1, np.float64)
        types = Plan(case.graph, Weights(case.graph, self.network.parameters), {"N": rows}).types
        self.inputs = {
            name: drawn(types[name].sizes, i, np.float64) for i, name in enumerate(case.graph.inputs)
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


@every_case
def test_inference_with_and_without_reuse_is_the_straightforward_evaluation(seed: int) -> None:
    graph = random_case(seed).graph
    network = with_parameters(graph, seed, np.float64)
    inputs = {"x": drawn((ROWS, 4), seed, np.float64), "z": drawn((ROWS, 2, 4), 1, np.float64)}
    wanted = Evaluation(graph, network.parameters).run(inputs)
    weights = Weights(graph, network.parameters, np.float64)
    for keep in ((), list(graph.types)[:4], ALL):
        plan = Plan(graph, weights, {"N": ROWS}, keep=keep)
        for _ in range(2):  # the second time over memory that has been used
            for name, array in inputs.items():
                plan.v[name][...] = array
            plan.run()
            expected = wanted if keep is ALL else {*graph.outputs.values(), *keep}
            for name in expected:
                assert_same(plan.v[name], wanted[name], name)
            assert_same(plan.v["x"], inputs["x"], "the input")
    for name, array in Plan(graph, weights, {"N": ROWS}).walk():
        if name in inputs:
            array[...] = inputs[name]
        assert_same(array, wanted[name], name)


@every_case
def test_a_step_computes_losses_gradients_and_state(seed: int) -> None:
    training = Training(random_case(seed))
    (plan,) = training.plans()
    before = flat(plan).copy()
    plan.grad.fill(np.nan)
    plan.run()
    first = [plan.grad.copy(), plan.losses.copy(), *(g.copy() for g in plan.g.values())]
    evaluation = Evaluation(
        plan.graph, training.network.parameters, plan.training, plan.frozen, {},
        training.network.parameters,
    )  # fmt: skip
    evaluation.run(training.inputs)
    assert_same(plan.losses.sum(), evaluation.loss(plan.terms, training.targets), "loss")
    for name, array in views(plan, flat(plan)).items():
        wanted = evaluation.state.get(name, training.network.parameters[name])
        assert_same(array, wanted, name)
    check_gradients(training, views(plan, plan.grad), plan.g)
    flat(plan)[:] = before
    plan.run()  # the same again, over memory that has been used
    again = [plan.grad, plan.losses, *plan.g.values()]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def check_gradients(
    training: Training, of_parameters: Mapping[str, Array], of_values: Mapping[str, Array]
) -> None:
    """Against central differences, some elements of each array."""
    rng = np.random.default_rng(0)
    known = training.network.parameters
    for name, gradient in {**of_parameters, **of_values}.items():
        is_value = name in of_values
        for i in rng.permutation(gradient.size)[:4]:

            def moved(
                h: float, name: str = name, i: int = int(i), is_value: bool = is_value
            ) -> float:
                shape = of_values[name].shape if is_value else known[name].shape
                bump = np.zeros(shape)
                bump.flat[i] = h
                if is_value:
                    return training.loss(known, {name: bump})
                return training.loss({**known, name: known[name] + bump}, {})

            slope, kink = slope_of(moved)
            if not kink:
                bound = 2e-6 * max(1.0, abs(slope), float(np.abs(gradient).max()))
                assert abs(gradient.flat[i] - slope) < bound, (name, i, gradient.flat[i], slope)


def slope_of(loss: Callable[[float], float], h: float = 1e-6) -> tuple[float, bool]:
    """The slope at 0, and whether the function has a kink there."""
    below, here, above = loss(-h), loss(0), loss(h)
    slope = (above - below) / (2 * h)
    return slope, abs(above - 2 * here + below) / h > 1e-2 * abs(slope) + 1e-6
