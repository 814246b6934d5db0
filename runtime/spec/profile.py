"""Where a step's time goes: each layer's, and how near it comes to what the machine can do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from ..ir import Graph, Types, node_parameters
from ..network import sizes_of
from ..op import Step
from ..parameters import Parameters
from ..plan import Plan
from ..team import Team
from ..training.model import Model
from .batch import a_batch
from .schema import Spec

Array = Any
REPEATS = 10
GEMM = 1024
"""The side of the square matrices whose product shows what the machine can do."""


@dataclass(frozen=True)
class Timed:
    """A node, or a loss.

    Attributes:
        forward, backward: seconds, the least of some runs.
        operations: multiplications and additions of a step, of products of matrices; 0 for others.
    """

    name: str
    kind: str
    forward: float
    backward: float
    operations: int

    @property
    def seconds(self) -> float:
        """Of both."""
        return self.forward + self.backward

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.operations / self.seconds if self.seconds else 0.0


def profile(
    model: Model, batch: Mapping[str, Array], dtype: Any = np.float32, repeats: int = REPEATS
) -> Sequence[Timed]:
    """Times a step's parts on one thread, in the order in which they run forward."""
    graph = model.network.graph
    parameters = Parameters(graph, model.network.parameters, dtype)
    sizes = sizes_of(graph.inputs, {name: batch[name] for name in graph.inputs})
    plan = Plan(graph, parameters, sizes, training=True, terms=model.terms, frozen=model.frozen)
    plan.put(batch)
    least: dict[tuple[str, int], float] = {}

    def work(_: int) -> None:
        for _repeat in range(repeats):
            for way, parts in enumerate((plan.parts, [*reversed(plan.parts)])):
                for name, *steps in parts:
                    found = _seconds(steps[way])
                    least[name, way] = min(found, least.get((name, way), math.inf))

    Team.of(1).run(work)
    kinds = {node.name: node.op.kind for node in graph.nodes}
    work_of = _operations(graph, plan.types)
    return [
        Timed(name, kinds.get(name, "loss"), least[name, 0], least[name, 1], work_of.get(name, 0))
        for name, *_ in plan.parts
    ]


def peak(dtype: Any = np.float32) -> float:
    """Operations a second of a product of large matrices on one thread."""
    a, b, c = (np.ones((GEMM, GEMM), dtype) for _ in range(3))
    least = [math.inf]

    def work(_: int) -> None:
        for _repeat in range(REPEATS):
            least[0] = min(least[0], _seconds([lambda: np.matmul(a, b, out=c)]))

    Team.of(1).run(work)
    return 2 * GEMM**3 / least[0]


def show(spec: Spec) -> None:
    """Prints each layer's time, GFLOP/s and share of the peak."""
    model, batch = a_batch(spec, spec.batch_size)
    dtype = np.dtype(spec.dtype)
    most, found = peak(dtype), profile(model, batch, dtype)
    width = max(len(each.name) for each in found)
    click.echo(f"{'':{width}}  forward ms  backward ms  share  GFLOP/s  of peak")
    whole = sum(each.seconds for each in found)
    for each in found:
        speed = f"{each.rate / 1e9:7.1f}  {each.rate / most:7.0%}" if each.operations else ""
        click.echo(
            f"{each.name:{width}}  {each.forward * 1e3:10.3f}  {each.backward * 1e3:11.3f}  "
            f"{each.seconds / whole:5.0%}  {speed}".rstrip()
        )
    rows = len(next(iter(batch.values())))
    click.echo(
        f"{rows} examples in {whole * 1e3:.2f} ms on one thread, without the update; "
        f"the peak is {most / 1e9:.1f} GFLOP/s"
    )


def _seconds(steps: Sequence[Step] | Sequence[Callable[[], Any]]) -> float:
    began = time.perf_counter()
    for step in steps:
        step()
    return time.perf_counter() - began


def _operations(graph: Graph, types: Types) -> Mapping[str, int]:
    """Of each node whose weights meet every position: 2 a weight, position and pass."""
    found: dict[str, int] = {}
    for node in graph.nodes:
        kernels = [
            param.size
            for local, param in node_parameters(node, types).items()
            if local.endswith("kernel")
        ]
        if not kernels:
            continue
        # A recurrent layer's steps are its input's, whether it gives all of them or the last.
        steps = node.inputs[0] if len(kernels) > 1 else node.name
        positions = math.prod(types[steps].sizes[:-1])
        # Forward, and backward for the weights and for the input, unless that is the network's.
        passes = 2 if node.inputs[0] in graph.inputs else 3
        found[node.name] = 2 * passes * positions * sum(kernels)
    return found
