"""Plans of random graphs compute what the straightforward evaluation does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from cortex.runtime.parameters import Weights
from cortex.runtime.plan import ALL, Plan

from .networks import Array, drawn, with_parameters
from .random_graphs import random_case
from .straightforward import Evaluation, slope_of
from .training import ROWS, Training, assert_same, flat, views

every_case = pytest.mark.parametrize("seed", range(400))


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
