"""A batch cut into shards gives what the whole gives, and the same bits every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cortex.runtime.ir import Graph
from cortex.runtime.losses import CrossEntropy, Term
from cortex.runtime.parameters import Parameters, Weights
from cortex.runtime.plan import Plan
from cortex.runtime.shard import split
from cortex.runtime.team import Team

from .networks import Array, deep, drawn, with_parameters
from .random_graphs import random_case
from .training import Training, assert_same, flat


def run_threads(plans: Sequence[Plan], team: Team) -> None:
    team.run(lambda index: plans[index].run())


def run_lockstep(plans: Sequence[Plan], team: Team) -> None:
    """All shards in one thread, from one meeting to the next."""
    for parts in zip(*(plan.segments() for plan in plans), strict=True):
        for steps in parts:
            for step in steps:
                step()


def results(plans: Sequence[Plan]) -> dict[str, Array]:
    """What shards compute together."""
    found: dict[str, Array] = {
        "losses": np.sum([plan.losses for plan in plans], axis=0),
        "gradient": np.sum([plan.grad for plan in plans], axis=0),
        "parameters": flat(plans[0]).copy(),
    }
    found |= {f"value {v}": np.concatenate([p.v[v] for p in plans]) for v in plans[0].v}
    return found | {f"slope {v}": np.concatenate([p.g[v] for p in plans]) for v in plans[0].g}


@pytest.mark.parametrize("shards", [2, 3])
@pytest.mark.parametrize("seed", range(60))
def test_shards_agree_with_the_whole_and_lockstep_with_threads(seed: int, shards: int) -> None:
    training, team = Training(random_case(seed), rows=7), Team.of(shards)
    (whole,) = training.plans()
    whole.run()
    threads, lockstep = (training.plans(shards, team.meet) for _ in range(2))
    run_threads(threads, team)
    run_lockstep(lockstep, team)
    for name, value in results([whole]).items():
        assert_same(results(threads)[name], value, name, tolerance=1e-8)
    again = results(lockstep)
    for name, value in results(threads).items():
        assert np.array_equal(again[name], value), name


def steps_of(graph: Graph, shards: int, rows: Sequence[int], dtype: Any) -> list[Array]:
    """Parameters after each of some steps of gradient descent, on batches of so many rows."""
    network, team = with_parameters(graph, 3), Team.of(shards)
    parameters = Parameters(graph, network.parameters, dtype)
    found: list[Array] = []
    for step, n in enumerate(rows):
        plans = [
            Plan(
                graph,
                parameters,
                {"N": here},
                training=True,
                terms=[Term(CrossEntropy(), "probabilities")],
                shard=shard,
                seed=5,
            )
            for shard, here in split(n, shards, team.meet)
        ]
        x = drawn((n, 12), step)
        target = np.eye(4)[np.arange(n) % 4]
        for plan in plans:
            here = slice(plan.shard.first_row, plan.shard.first_row + len(plan.v["x"]))
            plan.v["x"][...], plan.v["target"][...] = x[here], target[here]
            plan.step = step
        run_threads(plans, team)
        gradient = np.sum([plan.grad for plan in plans], axis=0)
        parameters.flat[: parameters.trainable] -= 0.1 * gradient
        found.append(parameters.flat.copy())
    return found


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_the_same_number_of_shards_gives_the_same_bits(shards: int) -> None:
    rows = [16, 16, 7]
    first, again = (steps_of(deep(), shards, rows, np.float32) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    whole = steps_of(deep(), 1, rows, np.float64)
    assert_same(steps_of(deep(), shards, rows, np.float64)[-1], whole[-1], tolerance=1e-12)


def test_every_step_draws_other_numbers() -> None:
    graph = deep()
    plan = Plan(graph, Weights(graph, with_parameters(graph).parameters), {"N": 9}, training=True)
    plan.v["x"][...] = drawn((9, 12))
    outputs: list[Array] = []
    for step in (0, 1, 0):
        plan.step = step
        plan.run()
        outputs.append(plan.v["probabilities"].copy())
    assert not np.array_equal(outputs[0], outputs[1])
    assert np.array_equal(outputs[0], outputs[2])
