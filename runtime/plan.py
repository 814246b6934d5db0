"""A plan: a graph bound to numbers, memory and closures. What runs per step is a list of calls."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from .errors import GraphError, UsageError
from .frame import Array, Frame, Scratch
from .gradients import Flow, Gradients
from .ir import Graph, Node, infer, node_parameters
from .losses import Term
from .losses.targets import feeds, with_targets
from .memory import Arena, Buffer
from .mixed import Scale, Widened, scaled, stored
from .op import Step, Steps
from .parameters import Parameters, Weights
from .random import Clock, uniform, words
from .shard import ALONE, Shard
from .tensor import Tensor
from .values import allocate

ALL: Collection[str] = ("*",)
"""For ``keep``: every value, for verification."""


class Plan:
    """One shard's work for one set of sizes, over memory that is allocated once.

    Args:
        graph: what to compute.
        parameters: ``Parameters`` to train, ``Weights`` only to run; their dtype is the plan's.
        sizes: a number for every open size of the graph's inputs.
        training: dropout is on, and batch statistics are the batch's.
        terms: the losses; their targets become inputs of the plan.
        wrt: values, besides the parameters, whose gradients are wanted.
        keep: values to keep beside the graph's outputs; ``ALL`` keeps every one.
        frozen: names of nodes that do not learn; with ``Weights`` none does.
        grad: the gradient vector, laid out as ``parameters``; a fresh one if None.
        shard: which part of the batch this plan has.
        xp: numpy or cupy.
        seed: of the random numbers.
        scale: of the losses; given, values are stored in float16: see ``mixed``.

    Attributes:
        v: every input, output, target and kept value by name, as the array it is always in.
        g: the gradients of the values in ``wrt``; zero where no loss depends on one.
        grad: the gradient vector; None without ``terms`` or ``Parameters``.
        losses: one element a term, of this shard's rows.
        forward, backward: the steps.
        parts: (name, forward, backward) of each node and then of each term, to time them.

    Raises:
        GraphError: sizes that do not fit, or a name that is missing.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Parameters | Weights,
        sizes: Mapping[str, int],
        *,
        training: bool = False,
        terms: Sequence[Term] = (),
        wrt: Collection[str] = (),
        keep: Collection[str] = (),
        frozen: Collection[str] = (),
        grad: Array | None = None,
        shard: Shard = ALONE,
        xp: Any = np,
        seed: int = 0,
        scale: Scale | None = None,
    ) -> None:
        self.graph, self.parameters, self.xp = graph, parameters, xp
        self.dtype, self.training, self.shard = parameters.dtype, training, shard
        self.terms, self._clock, self._seed = tuple(terms), Clock(), seed
        # No method: what a plan holds must not hold the plan, or its memory would outlive it.
        self._is_view = partial(_is_view, training=training)
        nodes = {node.name for node in graph.nodes}
        self.frozen = frozenset(frozen if isinstance(parameters, Parameters) else nodes)
        self.types = with_targets(infer(graph, sizes), graph, self.terms)
        _prove(graph, self.types)
        kept = self.types if keep is ALL else {*graph.outputs.values(), *keep}
        for what, names, known in (
            ("value", [*kept, *wrt], self.types),
            ("node", self.frozen, nodes),
        ):
            if unknown := [name for name in names if name not in known]:
                raise GraphError(f"no {what} is called {unknown[0]!r}")
        self._scale = scale
        half = scale is not None
        self._stored = stored(graph, self.types, self.dtype, half, self._is_view)
        self._grads = Gradients(
            graph,
            self.types,
            self.dtype,
            self._stored,
            self.terms,
            wrt,
            self.frozen,
            self._is_view,
        )
        self._read = {*kept, *(name for node in graph.nodes for name in node.inputs)}
        self._read |= {name for term in self.terms for name in (term.on, term.target, term.weights)}
        reuse = keep is not ALL and not self.terms
        self._arrays = allocate(graph, self.types, self._stored, kept, reuse, self._is_view, xp)
        self._gradients = Arena(xp, self._grads.buffers())
        self.losses: Array = xp.zeros(len(self.terms), self.dtype)
        self.grad: Any = None
        self._dp: Mapping[str, Array] = {}
        if isinstance(parameters, Parameters) and self.terms:
            self.grad = parameters.gradient() if grad is None else grad
            self._dp = parameters.views(self.grad)
        self._scratch = Scratch(xp)
        self.forward: list[Step] = []
        self.backward: list[Step] = []
        self._bind()
        self._feeds = feeds(graph, self.types, self.terms)
        public = {*self._feeds, *kept}
        self.v = {name: self._arrays[name] for name in public}
        self.g = {name: self._gradient_of(name) for name in wrt}

    @property
    def step(self) -> int:
        """The number of the step that runs next, which random numbers depend on."""
        return self._clock.step

    @step.setter
    def step(self, number: int) -> None:
        self._clock.step = number

    def put(self, batch: Mapping[str, Any]) -> None:
        """Copies this shard's rows of a batch's arrays to where the plan reads them.

        Raises:
            UsageError: an input, a target or weights are missing or do not fit.
        """
        for name, write in self._feeds.items():
            if name not in batch:
                raise UsageError(f"there is no array called {name!r}; there are {sorted(batch)}")
            into, first = self.v[name], self.shard.first_row
            rows = batch[name]
            if len(rows) != (total := self.shard.total or len(into)):
                raise UsageError(f"{name!r} has {len(rows)} rows, expected {total}")
            write(into, rows if total == len(into) else rows[first : first + len(into)])

    def run(self) -> None:
        """Forward, then backward if there is one."""
        for step in self.forward:
            step()
        for step in self.backward:
            step()

    def walk(self) -> Iterator[tuple[str, Array]]:
        """Forward, node by node: each input and value as it comes to be.

        That is when to look at one that is not kept.
        """
        yield from ((name, self._arrays[name]) for name in self.graph.inputs)
        for node, (_, steps, _) in zip(self.graph.nodes, self.parts, strict=False):
            for step in steps:
                step()
            written = [value for value in self.graph.values(node) if value in self._read]
            yield from ((value, self._arrays[value]) for value in written)

    def segments(self) -> list[list[Step]]:
        """The steps cut where shards meet; one thread can run all shards segment by segment."""
        parts: list[list[Step]] = [[]]
        for step in [*self.forward, *self.backward]:
            if step is self.shard.meet:
                parts.append([])
            else:
                parts[-1].append(step)
        return parts

    def _bind(self) -> None:
        """Binds every node in order, and gathers the two lists of steps."""
        passes = [self._bind_node(index, node) for index, node in enumerate(self.graph.nodes)]
        passes += [self._bind_term(index, term) for index, term in enumerate(self.terms)]
        unreached = [part for name, part in self._dp.items() if name not in self._grads.reached]
        self.backward += [partial(part.fill, 0) for part in unreached]
        names = [
            *(node.name for node in self.graph.nodes),
            *(f"loss on {t.on}" for t in self.terms),
        ]
        self.parts = [(name, *steps) for name, steps in zip(names, passes, strict=True)]
        self.forward += chain.from_iterable(forward for forward, _ in passes)
        # Losses first, and those in the order in which their contributions were laid out.
        nodes, losses = passes[: len(self.graph.nodes)], passes[len(self.graph.nodes) :]
        for _, backward in [*losses, *reversed(nodes)]:
            self.backward += backward

    def _bind_node(self, index: int, node: Node) -> tuple[list[Step], list[Step]]:
        flow = self._grads.flows.get(node.name, Flow())
        if self._is_view(node):
            return [], self._after(flow)
        self._scratch.rewind()
        p, fetch = self.parameters.bind(node.params, self._scratch.take)
        values, wide = self.graph.values(node), self._widened()
        unread = tuple(i for i, value in enumerate(values) if value not in self._read)
        frame = self._frame(
            index,
            node.name,
            flow,
            x=wide.read([self._arrays[name] if name else None for name in node.inputs]),
            y=wide.written([self._arrays[name] for name in values], unread),
            dx=wide.written_back(self._gradient_arrays(node.inputs, flow.dx)),
            dy=wide.read_back(self._gradient_arrays(values, flow.dy)),
            unread=unread,
            p=p,
            dp={
                local: self._parameter_gradient(node.params[local], buffer)
                for local, buffer in flow.dp.items()
            },
        )
        forward, backward = wide.around(*map(_flat, node.op.bind(frame)))
        for local, buffer in flow.dp.items():
            if buffer:
                into = self._dp[node.params[local]]
                backward.append(partial(self.xp.add, into, frame.dp[local], into))
        backward += self._after(flow)
        if fetch:
            return [fetch, *forward], [fetch, *backward] if backward else []
        return forward, backward

    def _bind_term(self, index: int, term: Term) -> tuple[list[Step], list[Step]]:
        flow = self._grads.terms[index]
        self._scratch.rewind()
        source = next((n for n in self.graph.nodes if term.on in self.graph.values(n)), None)
        read = source.params if source and term.loss.reads_parameters else {}
        p, fetch = self.parameters.bind(read, self._scratch.take)
        wide = self._widened()
        frame = self._frame(
            len(self.graph.nodes) + index,
            f"loss {index}",
            flow,
            x=wide.read([self._arrays.get(name) for name in (term.on, term.target, term.weights)]),
            y=(self.losses[index : index + 1],),
            dx=wide.written_back(self._gradient_arrays([term.on], flow.dx)),
            p=p,
        )
        frame.weight, frame.fused = term.weight / frame.total, flow.fused
        frame.frozen = source is not None and source.name in self.frozen
        try:
            forward, backward = (_flat(steps) for steps in term.loss.bind(frame))
        except ValueError as error:
            raise GraphError(f"the loss on {term.on!r}: {error}") from None
        if self._scale and backward:
            backward.append(scaled(self.xp, frame.dx[0], self._scale))
        forward, backward = wide.around(forward, backward)
        return [*filter(None, [fetch]), *forward], [*backward, *self._after(flow)]

    def _frame(self, index: int, name: str, flow: Flow, **arrays: Any) -> Frame:
        given: dict[str, Any] = {"dy": (), "p": {}, "dp": {}, **arrays}
        return Frame(
            **given,
            xp=self.xp,
            dtype=self.dtype,
            training=self.training,
            frozen=name in self.frozen,
            grads=bool(flow.dp) or any(flow.dx),
            name=name,
            scratch_memory=self._scratch,
            draw=uniform(self._seed, index, self._clock, self.xp),
            draw_words=words(self._seed, index, self._clock, self.xp),
            shard=self.shard,
            rows=next(iter(self.types.values())).sizes[0],
        )

    def _widened(self) -> Widened:
        return Widened(self.xp, self.dtype, self._scratch.take)

    def _gradient_arrays(
        self, values: Sequence[str], buffers: Sequence[Buffer | None]
    ) -> tuple[Array | None, ...]:
        padded = [*buffers, *[None] * (len(values) - len(buffers))]
        return tuple(
            buffer and self._gradients.array(buffer, self.types[value].sizes, buffer.dtype)
            for value, buffer in zip(values, padded, strict=True)
        )

    def _gradient_of(self, value: str) -> Array:
        if value in self._grads.of:
            return self._gradient_arrays([value], [self._grads.of[value]])[0]
        return self.xp.zeros(self.types[value].sizes, self.dtype)

    def _parameter_gradient(self, name: str, beside: Buffer | None) -> Array:
        if beside is None:
            return self._dp[name]
        return self._gradients.array(beside, self._dp[name].shape, self.dtype)

    def _after(self, flow: Flow) -> list[Step]:
        """What joins the contributions of several users of a value."""

        def flat(buffer: Buffer) -> Array:
            return self._gradients.array(buffer, (-1,), buffer.dtype)

        copies = [partial(self.xp.copyto, flat(to), flat(source)) for to, source in flow.copies]
        adds = [partial(self.xp.add, flat(to), flat(b), flat(to)) for to, b in flow.adds]
        return [*copies, *adds]


def _prove(graph: Graph, types: Mapping[str, Tensor]) -> None:
    """With numbers for every size, the shapes must be those the parameters were made for."""
    for name, tensor in types.items():
        if names := [n for n in tensor.shape if not isinstance(n, int)]:
            raise GraphError(f"{name!r}: its size {names[0]!r} has no number")
    for node in graph.nodes:
        for local, param in node_parameters(node, types).items():
            made = graph.parameters[node.params[local]]
            if param.shape != made.shape:
                raise GraphError(
                    f"{node.title}: for these sizes its {local} would be {param.shape}, "
                    f"but it is {made.shape}"
                )


def _is_view(node: Node, training: bool) -> bool:
    return node.op.view or (node.op.inert and not training)


def _flat(steps: Steps) -> list[Step]:
    if steps is None:
        return []
    return [step for step in (steps if isinstance(steps, tuple) else (steps,)) if step]
