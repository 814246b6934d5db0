"""Where a layer puts the examples: its values in the plane that shows most of their spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir import Graph

Array = NDArray[Any]


def principal(values: Array) -> Array:
    """The two principal components [n, 2] of rows, float64, scaled to lie within ±1.

    They are the eigenvectors of the rows' products with each other (Pearson 1901), which are fewer
    than the columns. Each axis points to where its largest value is.
    """
    rows = values.reshape(len(values), -1).astype(np.float64)
    rows -= rows.mean(0)
    products = rows @ rows.T
    if not np.isfinite(products).all():
        return np.zeros((len(rows), 2))
    spread, directions = np.linalg.eigh(products)
    found = np.zeros((len(rows), 2))
    for axis in range(min(2, len(rows))):
        along = directions[:, -1 - axis] * np.sqrt(max(0.0, spread[-1 - axis]))
        found[:, axis] = along * np.sign(along[np.abs(along).argmax()])
    return found / max(np.abs(found).max(), 1e-300)


def embedding(graph: Graph, answer: str) -> str | None:
    """What the last layer with weights reads on the way to an answer; None: an input."""
    producers = {value: node for node in graph.nodes for value in graph.values(node)}
    value = answer
    while node := producers.get(value):
        value = node.inputs[0] if node.inputs else ""
        if node.params:
            return value if value in producers else None
    return None
