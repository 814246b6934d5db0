"""Sequence to sequence: a decoder fed with what it said before, greedily or by beams.

A network with two inputs, the source sequence and the target's so far, whose decoder begins with
the encoder's states, is trained on whole sequences (teacher forcing). To decode, the part that
depends on the target is cut off and run a step at a time, its states handed from step to step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError, UsageError
from ..ir import Graph, Node
from ..network import Network
from ..ops.recurrent import Recurrent
from ..tensor import Tensor
from ..training.model import Model

Array = NDArray[Any]


@dataclass(frozen=True)
class Sentence:
    """What was decoded: the ids without begin and end, and the sum of their log-probabilities."""

    ids: tuple[int, ...]
    score: float


class Decoder:
    """Decodes with a trained network.

    Args:
        model: its output is probabilities (N, steps, vocabulary).
        target: the input that has the target's ids so far.
        begin: the id that a target begins with.
        end: the id that it ends with.

    Raises:
        GraphError: the network is none that can be decoded a step at a time.
    """

    def __init__(self, model: Model, *, target: str, begin: int, end: int) -> None:
        self._target, self._ids = target, (begin, end)
        graph = model.network.graph
        if target not in graph.inputs:
            raise GraphError(f"no input is called {target!r}")
        held = graph.states.values()
        output = next(value for name, value in graph.outputs.items() if name not in held)
        depends = _depending(graph, target)
        if output not in depends:
            raise GraphError(f"the output does not depend on the input {target!r}")
        step, first, self._states = _cut(graph, depends, target, output)
        arrays = model.network.parameters
        self._encoder = Network(first, arrays) if first.nodes else None
        self._sources = [name for name in graph.inputs if name != target]
        self._step = Network(step, arrays)
        self._output = output

    def greedy(self, sources: Mapping[str, Array], *, longest: int = 100) -> list[Sentence]:
        """For each row the likeliest next id, again and again."""
        return self.beam(sources, width=1, longest=longest)

    def beam(
        self, sources: Mapping[str, Array], *, width: int = 4, longest: int = 100
    ) -> list[Sentence]:
        """For each row the likeliest of the ``width`` sentences that were followed.

        Sentences are compared by the sum of log-probabilities over their length.

        Raises:
            UsageError: an input is missing.
        """
        wanted = {*self._step.graph.inputs, *(self._encoder.graph.inputs if self._encoder else ())}
        needed = [name for name in self._sources if name in wanted]
        if missing := [name for name in needed if name not in sources]:
            raise UsageError(f"the input {missing[0]!r} is missing")
        rows = len(next(iter(sources.values())))
        given = {name: np.asarray(array) for name, array in sources.items()}
        context: dict[str, Array] = {}
        if self._encoder:
            context = self._encoder.run({name: given[name] for name in self._encoder.graph.inputs})
        context |= {name: given[name] for name in self._step.graph.inputs if name in given}
        return [
            self._search(
                {name: array[i : i + 1] for name, array in context.items()}, width, longest
            )
            for i in range(rows)
        ]

    def _search(self, context: Mapping[str, Array], width: int, longest: int) -> Sentence:
        begin, end = self._ids
        alive, done = [Sentence((begin,), 0.0)], list[Sentence]()
        state = self._begin(context)
        for _ in range(longest):
            logs, state = self._advance(context, alive, state)
            scores = np.array([[one.score] for one in alive]) + logs
            best = np.argsort(-scores, axis=None, kind="stable")[:width]
            beams, ids = np.unravel_index(best, scores.shape)
            found = [
                (int(beam), Sentence((*alive[beam].ids, int(word)), float(scores[beam, word])))
                for beam, word in zip(beams, ids, strict=True)
            ]
            done += [one for _, one in found if one.ids[-1] == end]
            going = [(beam, one) for beam, one in found if one.ids[-1] != end]
            if not going or len(done) >= width:
                break
            alive = [one for _, one in going]
            state = {name: array[[beam for beam, _ in going]] for name, array in state.items()}
        best_one = max(done or alive, key=lambda one: one.score / max(1, len(one.ids) - 1))
        return Sentence(tuple(word for word in best_one.ids[1:] if word != end), best_one.score)

    def _begin(self, context: Mapping[str, Array]) -> dict[str, Array]:
        """The states before the first step: the encoder's, or zeros."""
        graph = self._step.graph
        return {
            held: context[source]
            if (source := self._states[held])
            else np.zeros((1, int(graph.inputs[held].shape[1])), np.float32)
            for held in graph.states
        }

    def _advance(
        self, context: Mapping[str, Array], alive: list[Sentence], state: Mapping[str, Array]
    ) -> tuple[Array, dict[str, Array]]:
        """Log-probabilities of the next id of each sentence, and the states after it."""
        graph = self._step.graph
        tensor = graph.inputs[self._target]
        ids = np.array([[one.ids[-1]] for one in alive])
        batch: dict[str, Array] = {
            name: np.repeat(context[name], len(alive), axis=0)
            for name in graph.inputs
            if name in context
        }
        dtype = np.float32 if tensor.dtype == "float" else tensor.dtype
        found = self._step.run({**batch, **state, self._target: ids.astype(dtype)})
        tiny = np.finfo(np.float32).tiny
        logs = np.log(np.maximum(found[self._output][:, -1].astype(np.float64), tiny))
        return logs, {held: found[kept] for held, kept in graph.states.items()}


def _depending(graph: Graph, value: str) -> set[str]:
    """All values that change with one."""
    found = {value}
    for node in graph.nodes:
        if found.intersection(node.inputs):
            found.update(graph.values(node))
    return found


def _cut(
    graph: Graph, depends: set[str], target: str, output: str
) -> tuple[Graph, Graph, Mapping[str, str]]:
    """The graph of a step, the one before it, and which value each state begins with (or "")."""
    nodes: list[Node] = []
    inputs: dict[str, Tensor] = {target: Tensor(("N", 1), graph.inputs[target].dtype)}
    states: dict[str, str] = {}
    kept: dict[str, str] = {}
    context: dict[str, str] = {}
    for node in graph.nodes:
        if not depends.intersection(graph.values(node)):
            continue
        if isinstance(node.op, Recurrent):
            units = node.op.units
            node, begins = _with_states(node, graph)
            for i, (held, source) in enumerate(begins.items(), 1):
                inputs[held] = Tensor(("N", units))
                states[held], kept[held] = source, f"{node.name}:{i}"
        for value in node.inputs:
            if value and value not in depends and value not in states:
                inputs[value], context[value] = graph.types[value], value
        nodes.append(node)
    outputs = {output: output, **{f"{held}:next": value for held, value in kept.items()}}
    carried = {held: f"{held}:next" for held in kept}
    step = Graph(inputs, tuple(nodes), outputs, {}, carried)
    wanted = {*context.values(), *(value for value in states.values() if value)}
    computed = {value: value for value in wanted if value not in graph.inputs}
    return step, graph.leading_to(computed, computed), states


def _with_states(node: Node, graph: Graph) -> tuple[Node, Mapping[str, str]]:
    """A recurrent node that begins with states it is given; where each comes from at first."""
    op = node.op
    assert isinstance(op, Recurrent)
    if op.reverse:
        raise GraphError(f"{node.title}: it reads backwards, which a step at a time cannot")
    count = len(graph.values(node)) - 1
    padded = (*node.inputs, *[""] * (2 + count - len(node.inputs)))
    begins = {f"{node.name}:state-{i}": padded[2 + i] for i in range(count)}
    return replace(node, inputs=(*padded[:2], *begins)), begins
