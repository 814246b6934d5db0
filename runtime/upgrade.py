"""Stored graphs of earlier formats, brought to the present one step by step.

    0   no number. At first ``[shape, dtype]`` for an input and ``[value, kind, axes]`` for a layer;
        later objects with these names. "l2_normalize", which bounds the square of the norm
    1   the number; "unit_normalization" in its place, which bounds the norm

Who changes what stored graphs say adds a row, raises ``FORMAT``, adds the step that makes the new
form of the one before, and keeps a file that the code before has written for the tests.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from .errors import GraphError

FORMAT = 1
"""Of the graphs that are stored now."""


def upgraded(text: str, number: int) -> str:
    """The JSON of a graph of format ``number`` as one of the present format.

    Raises:
        GraphError: there is no such format, or the text is not of it.
    """
    if number not in STEPS:
        raise GraphError(f"no graph is stored in format {number}")
    try:
        stored = json.loads(text)
        for step in range(number, FORMAT):
            stored = {**STEPS[step](stored), "format": step + 1}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise GraphError(
            f"not the JSON of a graph of format {number}: {type(error).__name__}: {error}"
        ) from None
    return json.dumps(stored)


def _from_0(stored: Any) -> dict[str, Any]:
    return {
        **stored,
        "inputs": {n: _named(at, "shape", "dtype") for n, at in stored["inputs"].items()},
        "nodes": [{**node, "op": _unit(node["op"])} for node in stored["nodes"]],
        "layers": {n: _named(at, "value", "kind", "axes") for n, at in stored["layers"].items()},
    }


def _named(at: Any, *names: str) -> Any:
    """A list of parts as an object with these names."""
    return dict(zip(names, at, strict=True)) if isinstance(at, list) else at


def _unit(op: Mapping[str, Any]) -> Mapping[str, Any]:
    if op["kind"] != "l2_normalize":
        return op
    return {**op, "kind": "unit_normalization", "epsilon": math.sqrt(op["epsilon"])}


STEPS: Mapping[int, Callable[[Any], dict[str, Any]]] = {0: _from_0}
"""For each earlier format what makes the next one of it."""
assert STEPS.keys() == set(range(FORMAT))
