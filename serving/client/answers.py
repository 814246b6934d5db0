"""What ``cortex-predict`` prints: the best classes where the answer has any, else the values."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...runtime.errors import UsageError
from ..tensors import Array
from .connection import Inference

log = logging.getLogger(__name__)

HEAD = 8  # values shown of an output that has no classes


@dataclass(frozen=True, slots=True)
class Ranked:
    """A class with its score; ``label`` is empty where none is known."""

    index: int
    label: str
    score: float


def ranking(
    inference: Inference, labels: Sequence[str], top: int
) -> Sequence[Sequence[Ranked]] | None:
    """The ``top`` classes of every row, best first; None where the answer is not rows of scores.

    Raises:
        UsageError: there are not as many labels as classes.
    """
    outputs = list(inference.outputs.values())
    if len(outputs) != 1 or outputs[0].ndim != 2 or outputs[0].shape[1] < 2:
        return None
    scores = outputs[0]
    if scores.dtype.kind not in "fiu":
        return None
    if labels and len(labels) != scores.shape[1]:
        raise UsageError(f"{len(labels)} labels were given for {scores.shape[1]} classes")
    return [
        [Ranked(at, labels[at] if labels else "", float(row[at])) for at in _best(row, top)]
        for row in scores
    ]


def fitting_labels(labels: Sequence[str], output: str, inference: Inference) -> Sequence[str]:
    """The labels a server has for ``output``, where the answer is that; none if they do not fit."""
    if list(inference.outputs) != [output] or not labels:
        return ()
    classes = inference.outputs[output].shape[-1:]
    if classes == (len(labels),):
        return labels
    log.warning("the server has %d labels, output %r has shape %s", len(labels), output, classes)
    return ()


def _best(row: Array, top: int) -> list[int]:
    return np.argsort(-row.astype(np.float64), kind="stable")[:top].tolist()


def as_json(inference: Inference, ranked: Sequence[Sequence[Ranked]] | None) -> str:
    """One JSON object: model, version, each output's shape and data, the best classes if any."""
    answer: dict[str, Any] = {
        "model": inference.model,
        "version": inference.version,
        "outputs": {
            name: {"shape": list(array.shape), "data": _plain(array)}
            for name, array in inference.outputs.items()
        },
    }
    if ranked is not None:
        answer["top"] = [[_entry(each) for each in row] for row in ranked]
    return json.dumps(answer, allow_nan=False)


def _entry(ranked: Ranked) -> dict[str, Any]:
    score = ranked.score if math.isfinite(ranked.score) else None
    return {**asdict(ranked), "score": score}


def _plain(array: Array) -> Any:
    """Nested lists; what JSON has no number for is null."""
    if array.dtype.kind == "f":
        plain = array.astype(object)
        plain[~np.isfinite(array)] = None
        return plain.tolist()
    if array.dtype.kind == "O":
        text = [item.decode(errors="replace") for item in array.reshape(-1)]
        return np.array(text, object).reshape(array.shape).tolist()
    return array.tolist()


def show(inference: Inference, ranked: Sequence[Sequence[Ranked]] | None) -> None:
    """Prints the answer for people."""
    from rich.console import Console

    console = Console(highlight=False)
    if ranked is not None:
        console.print(_classes(ranked))
        return
    for name, array in inference.outputs.items():
        values = ", ".join(_short(value) for value in array.reshape(-1)[:HEAD].tolist())
        more = ", …" if array.size > HEAD else ""
        console.print(f"{name}  {list(array.shape)}  {values}{more}", markup=False)


def _classes(ranked: Sequence[Sequence[Ranked]]) -> Any:
    from rich.table import Table

    several, labelled = len(ranked) > 1, any(each.label for row in ranked for each in row)
    heads = [*["row"] * several, "class", *["label"] * labelled, "score"]
    table = Table(*heads)
    for place, row in enumerate(ranked):
        for each in row:
            cells = [*[str(place)] * several, str(each.index), *[each.label] * labelled]
            table.add_row(*cells, f"{each.score:.4f}")
    return table


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
