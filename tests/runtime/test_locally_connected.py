"""Convolution with a kernel a position, against its definition."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from cortex.runtime.ir import Graph, Node
from cortex.runtime.kernels import blocks
from cortex.runtime.network import Network
from cortex.runtime.ops import LocallyConnected
from cortex.runtime.tensor import Tensor

from .networks import drawn


def graph_of(op: LocallyConnected, *shape: int | str) -> Graph:
    x = Tensor(("N", *shape))
    node = Node("y", op, ("x",), {name: name for name in op.params(x)})
    return Graph({"x": x}, (node,), {"y": "y"})


@pytest.mark.parametrize("block", [1, 200, blocks.BLOCK])
@pytest.mark.parametrize(
    ("size", "kernel", "strides", "pads"),
    [
        ((7, 3), (3,), (), [(0, 0)]),
        ((7, 3), (2,), (3,), [(1, 2)]),
        ((5, 6, 2), (2, 3), (), [(0, 0), (0, 0)]),
        ((5, 6, 2), (3, 2), (2, 1), [(1, 1), (0, 3)]),
        ((3, 3, 4, 2), (2, 1, 2), (1, 2, 2), [(0, 1), (0, 0), (1, 0)]),
    ],
)
def test_every_position_has_its_own_kernel(
    size: Any, kernel: Any, strides: Any, pads: Any, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    x, rank = drawn((4, *size), 1, np.float64), len(kernel)
    op = LocallyConnected(3, kernel, strides, tuple(pads))
    padded = np.pad(x, [(0, 0), *pads, (0, 0)])
    steps = strides or (1,) * rank
    count = [(n - k) // s + 1 for n, k, s in zip(padded.shape[1:-1], kernel, steps, strict=True)]
    weights = drawn((int(np.prod(count)), int(np.prod(kernel)) * size[-1], 3), 2, np.float64)
    bias, wanted = drawn((*count, 3), 3, np.float64), np.zeros((4, *count, 3))
    for position, t in enumerate(np.ndindex(*count)):
        cut = (slice(i * s, i * s + k) for i, s, k in zip(t, steps, kernel, strict=True))
        window = padded[(slice(None), *cut)].reshape(4, -1)
        wanted[(slice(None), *t)] = window @ weights[position] + bias[t]
    network = Network(graph_of(op, *size), {"kernel": weights, "bias": bias})
    np.testing.assert_allclose(network.run({"x": x}, dtype=np.float64)["y"], wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("op", "shape", "message"),
    [
        (LocallyConnected(2, (3, 3)), (6, 2), "needs 2 spatial axes, but the input has 1"),
        (LocallyConnected(2, (7,)), (6, 2), "a window of 7 does not fit an axis of 6"),
        (LocallyConnected(2, (2,)), ("T", 2), "the sizes ('T',) must be numbers"),
    ],
)
def test_what_does_not_fit_is_refused(
    op: LocallyConnected, shape: tuple[int | str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        op.infer(Tensor(("N", *shape)))
