"""Fingerprints of the arrays of a model: equal for models whose arrays are equal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

Arrays = Mapping[str, Sequence[Sequence[int]]]
"""The shapes of each layer's arrays, by the layer's name, in the order of the file."""


def by_name(arrays: Arrays) -> str:
    """Of the layers' names and their shapes, in whatever order the layers are."""
    return _digest(sorted(_weighted(arrays).items()))


def by_order(arrays: Arrays) -> str:
    """Of the shapes in order, whatever the layers are called."""
    return _digest(list(_weighted(arrays).values()))


def _weighted(arrays: Arrays) -> dict[str, list[list[int]]]:
    """Without scalars, which count what a layer has seen: not every version stores them."""
    kept = {name: [list(shape) for shape in own if shape] for name, own in arrays.items()}
    return {name: shapes for name, shapes in kept.items() if shapes}


def _digest(facts: Any) -> str:
    text = json.dumps(facts, separators=(",", ":"))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
