"""What values pass through a network: ranges and histograms of outputs, weights and gradients."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import click
import numpy as np

from ..ir import Node
from ..network import sizes_of
from ..parameters import Parameters
from ..plan import Plan
from ..training.distribution import QUANTILES, Distribution
from ..training.model import Model
from ..training.states import States
from .batch import a_batch
from .examples import datasets
from .schema import Spec

Array = Any
BATCHES = 8
SAMPLE = 4096
"""Elements of an array and batch that the quantiles and the buckets are of."""
BUCKETS = 20
ENDS: Mapping[str, Sequence[float]] = {
    "sigmoid": (0, 1),
    "hard_sigmoid": (0, 1),
    "tanh": (-1, 1),
    "softsign": (-1, 1),
    "hard_tanh": (-1, 1),
}
"""Of the range of an activation's values, by its operation."""
NEAR = 0.01
"""How near to an end a value has no slope to speak of."""
HEAD = (
    "layer", "what", "min", "1%", "25%", "50%", "75%", "99%", "max", "mean", "deviation", "zero",
    "saturated", "not finite", "not float16",
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """The values of one array over some batches.

    Attributes:
        layer: whose.
        what: ``output``, a parameter of it, or the gradient of one of these.
        can_saturate: whether its values have a range that ends.
    """

    layer: str
    what: str
    values: Distribution
    can_saturate: bool = False

    @property
    def cells(self) -> Sequence[str]:
        """What stands in the table's columns."""
        at = self.values
        low, *middle, high = at.quantiles
        numbers = (at.low, low, *middle, high, at.high, at.mean, at.deviation)
        saturated = _share(at.saturated, at) if self.can_saturate else ""
        shares = (_share(at.zeros, at), saturated, _share(at.count - at.finite, at))
        return (
            self.layer,
            self.what,
            *(f"{n + 0.0:.3g}" for n in numbers),
            *shares,
            _share(at.lost, at),
        )

    def as_json(self) -> Mapping[str, Any]:
        """The same for programs, with a histogram."""
        at = self.values
        counts, edges = np.histogram(at.sample if at.sample.size else np.zeros(1), BUCKETS)
        return {
            "layer": self.layer,
            "what": self.what,
            "count": at.count,
            "min": at.low,
            "max": at.high,
            "mean": at.mean,
            "deviation": at.deviation,
            "quantiles": dict(zip(map(str, QUANTILES), at.quantiles, strict=True)),
            "zero": at.zeros,
            "saturated": at.saturated if self.can_saturate else None,
            "not_finite": at.count - at.finite,
            "not_float16": at.lost,
            "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
        }


def histograms(model: Model, batches: Sequence[Mapping[str, Array]]) -> Sequence[Seen]:
    """The values of every layer, as training would have them at its first steps; none is learnt.

    A layer's output and its parameters, each followed by its gradient.
    """
    graph = model.network.graph
    parameters = Parameters(graph, model.network.parameters, np.float32)
    states, found = States(graph, parameters.dtype, np), dict[tuple[str, str], Seen]()
    for number, batch in enumerate(batches):
        plan = _plan(model, parameters, states.join(batch))
        plan.step = number
        with np.errstate(all="ignore"):  # what is not finite is counted
            plan.run()
        states.keep([plan])
        for one in _seen(plan, weights=number == 0):
            before = found.get((one.layer, one.what))
            values = before.values + one.values if before else one.values
            found[one.layer, one.what] = Seen(one.layer, one.what, values, one.can_saturate)
    return list(found.values())


def show_json(spec: Spec) -> None:
    """Prints a list of objects, one for each array."""
    click.echo(json.dumps([one.as_json() for one in histograms(*_batches(spec))], indent=1))


def show(spec: Spec) -> None:
    """Prints a line for each array."""
    model, batches = _batches(spec)
    found = histograms(model, batches)
    lines = [HEAD, *(one.cells for one in found)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        words = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(words).rstrip())
    rows = len(next(iter(batches[0].values())))
    many = f"{len(batches)} batches" if len(batches) > 1 else "1 batch"
    click.echo(f"{many} of {rows} examples, before anything is learnt from them")


def _batches(spec: Spec) -> tuple[Model, Sequence[Mapping[str, Array]]]:
    """The model, and the first batches of its data that are whole."""
    model, first = a_batch(spec, spec.batch_size)
    if spec.data is None:
        return model, [first]
    training, _ = datasets(spec, model)
    made = islice(training.batches(spec.batch_size, 0), BATCHES)
    rows = len(next(iter(first.values())))
    return model, [each for each in made if len(next(iter(each.values()))) == rows]


def _plan(model: Model, parameters: Parameters, batch: Mapping[str, Array]) -> Plan:
    graph = model.network.graph
    values = list(dict.fromkeys(layer.value for layer in graph.layers.values()))
    plan = Plan(
        graph,
        parameters,
        sizes_of(graph.inputs, {name: batch[name] for name in graph.inputs}),
        training=True,
        terms=model.terms,
        keep=values,
        wrt=[value for value in values if graph.types[value].dtype == "float"],
        frozen=model.frozen,
    )
    plan.put(batch)
    return plan


def _seen(plan: Plan, weights: bool) -> Iterator[Seen]:
    """What a plan holds after a step, layer by layer; the parameters only if asked for."""
    graph, parameters = plan.graph, plan.parameters
    assert isinstance(parameters, Parameters)
    makers = {value: node for node in graph.nodes for value in graph.values(node)}
    gradients, own = parameters.views(plan.grad), dict[str, dict[str, str]]()
    for node in graph.nodes:
        for local, full in node.params.items():
            if not any(full in names.values() for names in own.values()):
                own.setdefault(node.layer or node.name, {})[full] = local
    for name, layer in graph.layers.items():
        if graph.types[layer.value].dtype == "float":
            ends = _ends(makers.get(layer.value))
            values = Distribution.of(plan.v[layer.value], ends, _near(ends), SAMPLE)
            yield Seen(name, "output", values, bool(ends))
            yield Seen(name, "gradient", Distribution.of(plan.g[layer.value], most=SAMPLE))
        for full, local in own.get(name, {}).items():
            if weights:
                yield Seen(name, local, Distribution.of(parameters.of[full], most=SAMPLE))
            if full in gradients:
                slopes = Distribution.of(gradients[full], most=SAMPLE)
                yield Seen(name, f"{local} gradient", slopes)


def _ends(node: Node | None) -> Sequence[float]:
    """Of the range of what a node makes; nothing where there is none."""
    if node is None:
        return ()
    most = getattr(node.op, "max_value", None)
    if node.op.kind == "relu" and most is not None:
        return (most,)
    return ENDS.get(node.op.kind, ())


def _near(ends: Sequence[float]) -> float:
    return NEAR * (max(ends) - min(0, *ends)) if ends else 0.0


def _share(part: int, at: Distribution) -> str:
    """A part of the elements, so that some are never none."""
    return f"{max(100 * part / at.count, 0.1):.1f}%" if part else ""
