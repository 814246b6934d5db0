"""Proving an import: what two engines compute, layer by layer, against what the source computed.

NumPy in float64 says whether the file was read right, onnxruntime in float32 whether what will be
served computes the same. The two run one after the other, so that only one of them holds the
network at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..runtime.check import Array, Check, Difference, Expected, Recorded, Statistics
from ..runtime.errors import Unsupported
from ..runtime.ir import Graph, infer
from ..runtime.network import Network, sizes_of
from ..runtime.parameters import Weights
from ..runtime.plan import Plan
from ..runtime.report import Compared, FirstDifference, LayerReport, ValueStatistics, finite
from ..runtime.sessions import Ask, sessions
from .reference import Reference

NUMPY, ONNXRUNTIME = "numpy float64", "onnxruntime"
WHOLE = 1 << 62
LARGEST_VALUE = 1 << 29  # elements, of eight bytes where the check is exact


class Item(NamedTuple):
    """A value to compare: an output of the network, or a layer of its source file.

    ``call`` is 2 for an output in the call that takes up the states of the first.
    """

    name: str
    is_output: bool = False
    call: int = 1

    @property
    def title(self) -> str:
        """How a report names it."""
        return self.name if self.call == 1 else f"{self.name} (second call)"


class Verification:
    """Every layer and output of a network, held against what it should be.

    Where the reference has a value, both engines are held against it; elsewhere, and without a
    reference, one engine against the other. ``precision`` is what onnxruntime computes in.
    """

    def __init__(
        self,
        network: Network,
        reference: Reference | None,
        tolerance: float,
        precision: str = "float32",
    ) -> None:
        self._graph, self._network, self._tolerance = network.graph, network, tolerance
        self._reference, self._precision = reference, precision
        self._order = {Item(name): i for i, name in enumerate(network.graph.layers)}
        self._calls = (1, 2) if reference and reference.second else (1,)
        for call in self._calls:
            for name in network.graph.outputs:
                self._order[Item(name, True, call)] = len(self._order)
        self._expected = _expected(network, reference)
        self._outside = set(self._expected)
        self._worst: dict[Item, Difference] = {}
        self._records: dict[Item, Recorded] = {}
        self._first: tuple[int, FirstDifference] | None = None

    def run(self, model: Path, inputs: Mapping[str, Array]) -> None:
        """Runs both engines; ``model`` is the network as it was exported.

        Raises:
            UsageError: inputs that do not fit the network.
            Unsupported: a value too large to be computed.
            MissingExtra: onnxruntime is not installed.
        """
        _check_sizes(self._graph, sizes_of(self._graph.inputs, inputs))
        session_of = sessions(model)
        for item, value in self._numpy(inputs):
            if item not in self._expected:
                self._expected[item] = Recorded.of(_single(value), WHOLE)
            if item.call == 1:
                self._records[item] = _record(self._expected[item], value)
            self._compare(item, NUMPY, value)
        for item, value in self._onnxruntime(session_of, inputs):
            self._compare(item, f"{ONNXRUNTIME} {self._precision}", value)

    @property
    def first_difference(self) -> FirstDifference | None:
        """The first value, in order of execution, that differs."""
        return self._first[1] if self._first else None

    def warnings(self) -> Iterator[str]:
        """Why the reference does not prove the whole network, if it does not."""
        if self._reference is None:
            return
        for name in self._reference.layers:
            if name not in self._graph.layers:
                yield f"the reference has a layer {name!r}, the model has none of that name"
        for name in self._graph.outputs.keys() - set(self._graph.states.values()):
            if Item(name, True) not in self._outside and Item(name) not in self._outside:
                yield f"the reference says nothing of the output {name!r}"

    def layers(self) -> Iterator[LayerReport]:
        """The report on each layer."""
        counts: dict[str, dict[str, int]] = {}
        for node in self._graph.nodes:
            layer = node.layer
            while layer not in self._graph.layers and "/" in layer:  # one inside a wrapper
                layer = layer.rpartition("/")[0]
            for name in node.params.values():
                counts.setdefault(layer, {})[name] = self._graph.parameters[name].size
        for name, layer in self._graph.layers.items():
            facts = self._compared(Item(name), layer.value, layer.axes)
            facts |= {"class": layer.kind, "parameters": sum(counts.get(name, {}).values())}
            yield LayerReport(**facts)

    def outputs(self) -> Iterator[Compared]:
        """The report on each output."""
        for call in self._calls:
            for name, value in self._graph.outputs.items():
                yield Compared(**self._compared(Item(name, True, call), value, ()))

    def check(self, inputs: Mapping[str, Array], evidence: str) -> Check:
        """What travels with the model, for others to replay."""
        return Check(
            inputs,
            {item.name: record for item, record in self._records.items() if item.is_output},
            {item.name: record for item, record in self._records.items() if not item.is_output},
            self._tolerance,
            evidence,
        )

    def _compare(self, item: Item, engine: str, value: Array) -> None:
        expected = self._expected[item]
        found = expected.difference(value)
        if item not in self._worst or found.relative > self._worst[item].relative:
            self._worst[item] = found
        earlier = self._first is None or self._order[item] < self._first[0]
        if earlier and not found.within(self._tolerance):
            difference = FirstDifference(
                layer=item.title,
                engine=engine,
                found=told(Statistics.of(value)),
                expected=told(expected if isinstance(expected, Statistics) else _of(expected)),
            )
            self._first = self._order[item], difference

    def _compared(self, item: Item, value: str, axes: tuple[int, ...]) -> dict[str, Any]:
        shape, worst = self._graph.types[value].shape, self._worst[item]
        return {
            "name": item.title,
            "output_shape": tuple(shape[axis] for axis in axes) if axes else shape,
            "max_abs": finite(worst.max_abs),
            "scale": worst.scale,
            "ok": worst.within(self._tolerance),
            "outside": item in self._outside,
        }

    def _numpy(self, inputs: Mapping[str, Array]) -> Iterator[tuple[Item, Array]]:
        """Every value as the plan comes to it: none has to be kept."""
        graph = self._graph
        weights = Weights(graph, self._network.parameters, np.float64)
        read = {name for node in graph.nodes for name in node.inputs}
        unread = {layer.value for layer in graph.layers.values()} - read  # else not computed at all
        plan = Plan(graph, weights, sizes_of(graph.inputs, inputs), keep=unread)
        for name, array in inputs.items():
            plan.v[name][...] = array
        for call in self._calls:
            wanted = self._wanted(call)
            for value, array in plan.walk():
                for item, axes in wanted.get(value, ()):
                    yield item, array.transpose(axes) if axes else array
            for given, kept in graph.states.items():
                plan.v[given][...] = plan.v[graph.outputs[kept]]
            for name in inputs.keys() - graph.states.keys():  # its memory may have been used again
                plan.v[name][...] = inputs[name]

    def _wanted(self, call: int) -> Mapping[str, list[tuple[Item, tuple[int, ...]]]]:
        """The items that each value is; of a second call the outputs alone."""
        wanted: dict[str, list[tuple[Item, tuple[int, ...]]]] = {}
        for name, layer in self._graph.layers.items() if call == 1 else ():
            wanted.setdefault(layer.value, []).append((Item(name), layer.axes))
        for name, value in self._graph.outputs.items():
            wanted.setdefault(value, []).append((Item(name, True, call), ()))
        return wanted

    def _onnxruntime(
        self, session_of: Ask, inputs: Mapping[str, Array]
    ) -> Iterator[tuple[Item, Array]]:
        names = list(self._graph.outputs)
        for call in self._calls:
            found = dict(zip(names, session_of(names, inputs), strict=True))
            for name, value in found.items():
                yield Item(name, True, call), value
            states = {given: found[kept] for given, kept in self._graph.states.items()}
            if call == 1:
                layers = list(self._graph.layers)
                for name, value in zip(layers, session_of(layers, inputs), strict=True):
                    yield Item(name), value
            inputs = {**inputs, **states}


def _check_sizes(graph: Graph, sizes: Mapping[str, int]) -> None:
    """A file can ask for any size in a few letters: to be known before memory is taken."""
    for name, tensor in infer(graph, sizes).items():
        if math.prod(tensor.sizes) > LARGEST_VALUE:
            shape = " × ".join(f"{n:,}" for n in tensor.sizes)
            raise Unsupported(f"the value {name!r} would have {shape} elements: too many to check")


def _expected(network: Network, reference: Reference | None) -> dict[Item, Expected]:
    if reference is None:
        return {}
    known: dict[Item, Expected] = {
        Item(name): value
        for name, value in reference.layers.items()
        if name in network.graph.layers
    }
    for call, values in ((1, reference.outputs), (2, reference.second)):
        for name, value in zip(network.graph.outputs, values, strict=False):
            known[Item(name, True, call)] = value
    return known


def _record(expected: Expected, value: Array) -> Recorded:
    """What to keep: the expected elements if there are any, else ours, which agree with theirs."""
    if isinstance(expected, Recorded):
        return Recorded.of(expected.values.reshape(expected.shape))
    return Recorded.of(_single(value))


def _single(value: Array) -> Array:
    """A copy, of numbers in single precision, and of strings as they are."""
    return value.copy() if value.dtype == object else value.astype(np.float32)


def _of(expected: Recorded) -> Statistics:
    return Statistics.of(expected.values.reshape(expected.shape))


def told(statistics: Statistics) -> ValueStatistics:
    """The value as a report has it."""
    return ValueStatistics(
        shape=statistics.shape,
        mean=finite(statistics.mean),
        std=finite(statistics.std),
        min=finite(statistics.min),
        max=finite(statistics.max),
    )
