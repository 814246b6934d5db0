"""Pooling of regions by hand: where windows lie, which is largest, and what lies outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortex.runtime import nn
from cortex.runtime.network import Network

PICTURE = np.arange(20.0).reshape(1, 4, 5, 1)
"""Four rows of five, which rise to the right and down."""


def pooled(region: Any, size: Any, scale: float) -> Any:
    network: Network = nn.sequential(
        [
            nn.input(height=4, width=5, channels=1, name="x"),
            nn.input(shape=(1, 4), name="regions"),
            nn.roi_pooling(size, scale=scale, inputs=("x", "regions"), name="y"),
        ]
    ).network
    given = {"x": PICTURE, "regions": np.array([[region]], np.float32)}
    return network.run(given)["y"][0, 0, :, :, 0].tolist()


CASES: list[tuple[Any, Any, float, Any]] = [
    ([0, 0, 4, 3], (1, 1), 1.0, [[19]]),
    ([0, 0, 3, 3], (2, 2), 1.0, [[6, 8], [16, 18]]),
    ([1, 1, 1, 1], (2, 2), 1.0, [[6, 6], [6, 6]]),  # one element serves every window
    ([0, 0, 4, 0], (1, 2), 1.0, [[2, 4]]),  # the middle belongs to both
    ([0, 0, 64, 48], (1, 1), 1 / 16, [[19]]),
    ([8, 0, 8, 0], (1, 1), 1 / 16, [[1]]),  # a half is rounded away from zero
    ([-3, -3, 0, 0], (2, 2), 1.0, [[0, 0], [0, 0]]),  # of which only the last is in the picture
    ([9, 9, 12, 12], (1, 1), 1.0, [[0]]),
    ([3, 2, 1, 1], (1, 1), 1.0, [[13]]),  # one that ends before it begins is an element
]


@pytest.mark.parametrize(("region", "size", "scale", "wanted"), CASES)
def test_a_region(region: Any, size: Any, scale: float, wanted: Any) -> None:
    assert pooled(region, size, scale) == wanted
