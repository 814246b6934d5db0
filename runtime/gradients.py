"""Which gradients a plan needs, where they lie, and who writes and who adds."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import GraphError
from .ir import Graph, Node, Types
from .losses import Term
from .memory import FOREVER, Buffer


@dataclass(slots=True)
class Flow:
    """Where the gradients of one node, or of one loss term, come from and go to.

    ``adds`` are (to, from) pairs to be added after its backward pass; ``copies`` likewise, of a
    view whose gradient could not share its source's memory.
    """

    dy: tuple[Buffer | None, ...] = ()
    dx: tuple[Buffer | None, ...] = ()
    dp: dict[str, Buffer | None] = field(default_factory=dict)
    """By local name: None is the gradient vector itself, a buffer is added to it."""
    adds: list[tuple[Buffer, Buffer]] = field(default_factory=list)
    copies: list[tuple[Buffer, Buffer]] = field(default_factory=list)
    fused: bool = False


class Gradients:
    """The backward pass of a graph, laid out but not yet bound.

    ``stored`` is the dtype of each float, and of its gradient; ``dtype`` that of parameters.

    Attributes:
        of: the buffer of each value's gradient.
        flows: by node name; a node that is not there has no backward pass.
        terms: a flow per loss term.
        reached: names of the parameters that get a gradient.
    """

    def __init__(
        self,
        graph: Graph,
        types: Types,
        dtype: Any,
        stored: Mapping[str, Any],
        terms: Sequence[Term],
        wrt: Collection[str],
        frozen: Collection[str],
        is_view: Callable[[Node], bool],
    ) -> None:
        self._graph, self._types, self._dtype, self._stored = graph, types, dtype, stored
        self._wrt, self._frozen, self._is_view = wrt, frozen, is_view
        for value in [*wrt, *(term.on for term in terms)]:
            if value not in types:
                raise GraphError(f"no value is called {value!r}")
        self.needed = self._depends() & self._reaching({term.on for term in terms})
        self.of: dict[str, Buffer] = {}
        self.reached: set[str] = set()
        self._time = 0
        self.terms = [self._term(term) for term in terms]
        self.flows: Mapping[str, Flow] = {
            node.name: flow for node in reversed(graph.nodes) if (flow := self._node(node))
        }
        for value in wrt:
            if value in self.of:
                self.of[value].last = FOREVER

    def buffers(self) -> Iterable[Buffer]:
        """Every buffer the backward pass needs."""
        found = dict.fromkeys(self.of.values())
        for flow in [*self.terms, *self.flows.values()]:
            found |= dict.fromkeys(b for b in (*flow.dy, *flow.dx, *flow.dp.values()) if b)
        return found

    def learns(self, node: Node) -> list[str]:
        """Local names of the parameters that get a gradient from this node."""
        if node.name in self._frozen or node.op.detached:
            return []
        return [local for local, n in node.params.items() if self._graph.parameters[n].trainable]

    def _depends(self) -> set[str]:
        """Values that change with what is differentiated for."""
        found = set(self._wrt)
        for node in self._graph.nodes:
            if node.op.detached:
                continue
            if found.intersection(node.inputs) or self.learns(node):
                found.update(v for v in self._graph.values(node) if self._floats(v))
        return found

    def _reaching(self, ends: set[str]) -> set[str]:
        """Values that some loss changes with."""
        found = set(ends)
        for node in reversed(self._graph.nodes):
            if found.intersection(self._graph.values(node)):
                found.update(v for v in node.inputs if v and self._floats(v))
        return found

    def _floats(self, value: str) -> bool:
        return self._types[value].dtype == "float"

    def _buffer(self, elements: int, dtype: Any) -> Buffer:
        return Buffer(elements * dtype.itemsize, self._time, self._time, dtype=dtype)

    def _of_value(self, value: str) -> Buffer:
        return self._buffer(math.prod(self._types[value].sizes), self._stored[value])

    def _contribution(self, value: str, flow: Flow, memory: Buffer | None = None) -> Buffer:
        """Where a contribution to the gradient of ``value`` is written.

        The first one in its place, a later one beside it, to be added. ``memory`` is a buffer that
        may be written over.
        """
        if value not in self.of:
            self.of[value] = memory or self._of_value(value)
            return self.of[value]
        beside = memory or self._of_value(value)
        flow.adds.append((self.of[value], beside))
        return beside

    def _term(self, term: Term) -> Flow:
        producer = {v: node for node in self._graph.nodes for v in self._graph.values(node)}
        source = producer.get(term.on)
        flow = Flow()
        value = term.on
        if source and term.on not in self._wrt:
            flow.fused = term.loss.fuses(source.op, self._types[term.on])
        if source and flow.fused:
            value = source.inputs[0]
        flow.dx = (self._contribution(value, flow) if value in self.needed else None,)
        self._time += 1
        return flow

    def _node(self, node: Node) -> Flow | None:
        outputs = self._graph.values(node)
        dy = tuple(self.of.get(value) for value in outputs)
        if node.op.detached or not any(dy):
            return None
        for buffer in dy:
            if buffer:
                buffer.last = self._time
        flow = Flow(dy)
        if self._is_view(node):
            self._through_view(node, flow)
        else:
            flow.dp = {local: self._parameter(node, local) for local in self.learns(node)}
            flow.dx = self._inputs(node, flow)
        self._time += 1
        return flow

    def _through_view(self, node: Node, flow: Flow) -> None:
        """The gradient of a view is its source's, in another shape."""
        source, (dy, *_) = node.inputs[0], flow.dy
        if source not in self.needed or dy is None:
            return
        if source in self.of:
            flow.adds.append((self.of[source], dy))
        elif node.name in self._wrt:  # later contributions to the source must not show here
            self.of[source] = self._of_value(source)
            flow.copies.append((self.of[source], dy))
        else:
            self.of[source] = dy

    def _inputs(self, node: Node, flow: Flow) -> tuple[Buffer | None, ...]:
        taken = False
        found: list[Buffer | None] = []
        for i, value in enumerate(node.inputs):
            if value not in self.needed:
                found.append(None)
                continue
            over = None if taken else self._overwritten(node, i, flow.dy[0])
            taken = taken or over is not None
            found.append(self._contribution(value, flow, over))
        return tuple(found)

    def _overwritten(self, node: Node, i: int, dy: Buffer | None) -> Buffer | None:
        """The memory of dy[0], if dx[i] may be written over it."""
        if dy is None or i not in node.op.overwrites_dy or node.name in self._wrt:
            return None
        source = node.inputs[i]
        alike = self._types[source] == self._types[node.name]
        return dy if alike and self._stored[source] == dy.dtype else None

    def _parameter(self, node: Node, local: str) -> Buffer | None:
        name = node.params[local]
        if name not in self.reached:
            self.reached.add(name)
            return None
        return self._buffer(self._graph.parameters[name].size, self._dtype)
