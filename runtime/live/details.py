"""What the page shows of a training as it was after an epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..device import to_numpy
from ..nn.summary import table
from ..training.loop import Epoch, Run
from .answers import Answers
from .pictures import Examples, kernels
from .projection import principal

Array = NDArray[Any]


@dataclass(frozen=True)
class Learnt:
    """Examples of the last batches as they were learnt from.

    Attributes:
        images: [n, height, width, channels].
        labels: what each should have been taken for.
    """

    images: Array
    labels: Sequence[str]


@dataclass(frozen=True)
class Details:
    """One state of the network and all that was measured; nothing in it changes any more.

    Attributes:
        about: the rest, for JSON.
        answers: to the validation data, of a classifier.
        kernels: weights that can be looked at, by name.
        examples: the pictures of the validation data.
        learnt: pictures of the training data, augmented.
        embedded: what a layer makes of the first examples.
    """

    about: Mapping[str, Any] = field(default_factory=dict[str, Any])
    answers: Answers | None = None
    kernels: Mapping[str, Array] = field(default_factory=dict[str, Array])
    examples: Examples | None = None
    learnt: Learnt | None = None
    embedded: Array | None = None

    def told(self) -> Mapping[str, Any]:
        """All that the page asks for at once."""
        return {
            **self.about,
            "matrix": self.answers and self.answers.matrix(),
            "samples": self.answers.samples() if self.answers else [],
            "pictures": self.examples is not None,
            "learnt": self.learnt.labels if self.learnt else [],
            "kernels": [[name, *array.shape] for name, array in self.kernels.items()],
        }

    @cached_property
    def projection(self) -> Mapping[str, Any]:
        """The plane of the embedding, and the class wanted of each point."""
        if self.embedded is None:
            return {"points": []}
        points = principal(self.embedded).round(4).tolist()
        classes: list[int] = []
        if self.answers and len(self.answers.confidence) == len(self.answers.found):
            classes = self.answers.classes[0][: len(points)].tolist()
        labels = self.answers.labels if self.answers else []
        return {"points": points, "classes": classes, "labels": labels}


def history(epochs: Sequence[Epoch]) -> Mapping[str, Any]:
    """The epochs as columns, a None where something was not measured."""
    names = dict.fromkeys(name for epoch in epochs for name in epoch.metrics)
    terms = dict.fromkeys(name for epoch in epochs for name in epoch.terms)
    return {
        "epoch": [epoch.number for epoch in epochs],
        "loss": [epoch.loss for epoch in epochs],
        "rate": [epoch.rate for epoch in epochs],
        "metrics": {name: [epoch.metrics.get(name) for epoch in epochs] for name in names},
        "terms": {name: [epoch.terms.get(name) for epoch in epochs] for name in terms},
        "best": max((epoch.number for epoch in epochs if epoch.best), default=None),
    }


def layers(run: Run) -> list[Mapping[str, Any]]:
    """The layers in the order in which they run, with numbers about each of their parameters."""
    graph, now = run.trainer.network.graph, run.trainer.network.parameters
    own: dict[str, dict[str, str]] = {}
    seen = set[str]()
    for node in graph.nodes:
        for local, name in node.params.items():
            if name not in seen:
                own.setdefault(node.layer or node.name, {})[name] = local
                seen.add(name)
    gradients = run.trainer.gradients
    return [
        {
            "name": row.name,
            "kind": row.kind,
            "output": row.cells[3],
            "frozen": row.frozen and bool(row.parameters),
            "parameters": [
                {"name": local, **_numbers(now[name], gradients.get(name))}
                for name, local in own.get(row.name, {}).items()
            ],
        }
        for row in table(run.trainer.model).rows
    ]


def kept_kernels(run: Run) -> Mapping[str, Array]:
    """Copies of the weights that are shown as pictures."""
    network = run.trainer.network
    found = kernels(network.graph, network.parameters)
    return {name: np.array(to_numpy(array)) for name, array in found.items()}


def _numbers(array: Any, gradient: Any) -> Mapping[str, Any]:
    found = {
        "shape": "×".join(map(str, array.shape)) or "1",
        "mean": float(array.mean()),
        "deviation": float(array.std()),
        "largest": float(abs(array).max()),
    }
    if gradient is not None:
        found["gradient"] = float((gradient * gradient).mean()) ** 0.5
    return found


def plain(value: Any) -> Any:
    """The same for JSON, which knows no number that is not finite."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
