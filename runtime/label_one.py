"""Asking a stored network about one example; it needs nothing but the base install."""

from __future__ import annotations

import math
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UsageError
from .ir import Graph
from .network import Network


@dataclass(frozen=True)
class Labelled:
    """What a network says of an example.

    Attributes:
        guess: the class it finds most probable: its name, or its number where it has none.
        confidence: its probability.
        answer: what it is, if that is known.
    """

    guess: str | int
    confidence: float
    answer: str | int | None = None

    @property
    def right(self) -> bool | None:
        """Whether the guess is the answer; None: nobody knows."""
        return None if self.answer is None else self.guess == self.answer


def label_one(
    network: Network | Path | str,
    example: Any,
    *,
    labels: Sequence[str] = (),
    answer: str | int | None = None,
    output: str = "",
    states: MutableMapping[str, Any] | None = None,
) -> Labelled:
    """What a classifier says of one example; of a sequence of answers, the last.

    Args:
        network: or the file that training saved.
        example: an array of the input's shape without the batch, or of as many elements.
        labels: the names of the classes.
        answer: what it is; a number becomes its name.
        output: whose classes are asked for, if the network has several outputs.
        states: what a stateful network carries, by the names of its inputs: it begins with what is
            there, or zeros, and leaves there what it ends with. By default each example begins
            anew.

    Raises:
        UsageError: the example does not fit, it or the answer is not finite, or the output has not
            as many classes as names.
    """
    if not isinstance(network, Network):
        network = Network.load(Path(network))
    graph = network.graph
    names = [name for name in graph.inputs if name not in graph.states]
    if len(names) != 1:
        raise UsageError(f"label_one: the network has the inputs {', '.join(names)}, not one")
    shape = graph.inputs[names[0]].shape[1:]
    sizes = tuple(size for size in shape if isinstance(size, int))
    array = np.asarray(example)
    if len(sizes) == len(shape) and array.size == math.prod(sizes):
        array = array.reshape(sizes)
    _check_finite(array, "the example")
    name = output or next(name for name in graph.outputs if name not in graph.states.values())
    given = {**_zeros(graph), **(states or {}), names[0]: array[None]}
    found = network.run(given, [name, *graph.states.values()])
    if states is not None:
        states.update({held: found[kept] for held, kept in graph.states.items()})
    scores = found[name].reshape(-1, found[name].shape[-1])[-1]
    _check_finite(scores, f"output {name!r}")
    if labels and len(labels) != scores.size:
        raise UsageError(f"label_one: {len(labels)} names for {scores.size} classes")
    if isinstance(answer, int) and not 0 <= answer < scores.size:
        raise UsageError(f"label_one: answer {answer} is not from 0 to {scores.size - 1}")
    best = int(scores.argmax())
    named = labels[answer] if labels and isinstance(answer, int) else answer
    return Labelled(labels[best] if labels else best, float(scores[best]), named)


def _check_finite(array: Any, what: str) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UsageError(f"label_one: {what} has a value that is not finite")


def _zeros(graph: Graph) -> dict[str, Any]:
    """States of one row, as they are before anything was read."""
    shapes = {held: graph.inputs[held].shape[1:] for held in graph.states}
    return {held: np.zeros((1, *map(int, shape)), np.float32) for held, shape in shapes.items()}
