"""Random numbers by row and step, and the masks of dropout that are made of them."""

from __future__ import annotations

import numpy as np
import pytest

from cortex.runtime.ir import Graph, Node
from cortex.runtime.ops import Dropout
from cortex.runtime.parameters import Weights
from cortex.runtime.plan import Plan
from cortex.runtime.random import BLOCK, WORDS, Clock, uniform, words
from cortex.runtime.tensor import Tensor

SOURCES = {"numbers": uniform, "words": words}


@pytest.mark.parametrize("width", [1, 7, WORDS, 5 * BLOCK + 3])
@pytest.mark.parametrize("source", SOURCES)
def test_rows_are_the_same_however_they_are_cut(source: str, width: int) -> None:
    draw, clock = SOURCES[source], Clock(3)
    whole = draw(5, 2, clock)((6, width), 0)().copy()
    parts = [draw(5, 2, clock)((n, width), row)().copy() for row, n in ((0, 1), (1, 3), (4, 2))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("source", SOURCES)
def test_seed_node_and_step_change_them(source: str) -> None:
    found = {
        SOURCES[source](seed, node, Clock(step))((2, 40), 0)().tobytes()
        for seed, node, step in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    }
    assert len(found) == 4


def test_words_are_all_alike() -> None:
    drawn = words(0, 0, Clock())((64, 4096), 0)()
    assert drawn.dtype == np.uint16
    counts = np.bincount(drawn.ravel() >> 8, minlength=256)
    assert abs(counts / counts.mean() - 1).max() < 0.15
    assert abs(np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel())[0, 1]) < 0.01


@pytest.mark.parametrize("rate", [0.0, 1e-6, 0.1, 0.5, 0.9, 1.0])
def test_dropout_drops_as_many_as_it_says(rate: float) -> None:
    node = Node("y", Dropout(rate), ("x",))
    graph = Graph({"x": Tensor(("N", 1000))}, (node,), {"y": "y"})
    plan = Plan(graph, Weights(graph, {}), {"N": 100}, training=True)
    plan.v["x"][...] = 1
    plan.run()
    y = plan.v["y"]
    assert (y == 0).mean() == pytest.approx(rate, abs=5e-3)
    if rate < 1:
        assert y.max() == pytest.approx(1 / (1 - rate))
