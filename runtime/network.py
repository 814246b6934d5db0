"""A graph with its parameters: what is imported, run, stored and exported."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import weights
from .errors import GraphError, UnreadableFile, UsageError
from .files import replacing
from .ir import Graph, Layer, infer
from .parameters import Weights, matching
from .plan import Plan
from .shard import split
from .team import Team, worth_sharing
from .tensor import STRING, Tensor

Array = NDArray[Any]

GRAPH = "cortex.graph"
"""The key of a weights file's metadata under which the graph stands, as JSON."""
BATCH = "N"
PLANS_KEPT = 4


@dataclass(frozen=True)
class Network:
    """A graph and an array for each of its parameters, in memory or mapped from a file.

    Raises:
        GraphError: an array that is missing or has another shape than the graph needs.
    """

    graph: Graph
    parameters: Mapping[str, Array]
    _runners: OrderedDict[Any, Runner] = field(
        default_factory=lambda: OrderedDict[Any, "Runner"](), init=False, repr=False, compare=False
    )
    _turn: threading.Lock = field(
        default_factory=threading.Lock, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for name, spec in self.graph.parameters.items():
            matching(name, spec, self.parameters)

    def run(
        self,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] | None = None,
        dtype: Any = None,
    ) -> dict[str, Array]:
        """Computes the outputs, or whatever ``outputs`` names: outputs, layers, or values.

        A layer comes in the layout its source file has. Floats are computed in ``dtype``, float32
        unless given.

        Raises:
            UsageError: an input that is missing, unknown, of the wrong shape or of the wrong kind,
            an unknown output, or a dtype that is none of floats.
        """
        arrays = {name: np.asarray(array) for name, array in inputs.items()}
        sizes = sizes_of(self.graph.inputs, arrays)
        for name, tensor in self.graph.inputs.items():
            _check_kind(name, arrays[name], tensor.dtype)
        wanted = {name: self._source(name) for name in outputs or self.graph.outputs}
        floats = np.dtype(dtype or np.float32)
        if floats.kind != "f":
            raise UsageError(f"dtype {floats}: use a type of floats")
        key = (tuple(sorted(sizes.items())), tuple(wanted), floats)
        with self._turn:  # a plan's memory is its own: one run at a time
            if key not in self._runners:
                self._runners[key] = Runner(self, wanted, sizes, key[-1])
            self._runners.move_to_end(key)
            while len(self._runners) > PLANS_KEPT:
                self._runners.popitem(last=False)
            return self._runners[key].run(arrays)

    def save(self, path: Path | str) -> None:
        """Writes the network as one safetensors file with the graph in its header.

        An older file is replaced as a whole: it may be the one that the arrays are mapped from.

        Raises:
            UnwritableFile: the disk will not have it; an older file is untouched.
        """
        with replacing(Path(path)) as stage:
            self.write(stage, digest=True)

    def write(self, path: Path, *, digest: bool = False) -> None:
        """``save`` into a file that nobody has yet; without ``digest`` something else keeps one.

        Raises:
            OSError: the disk will not have it; a part may be there.
        """
        arrays = {name: self.parameters[name] for name in self.graph.parameters}
        weights.write(path, arrays, {GRAPH: self.graph.to_json()}, digest=digest)

    @classmethod
    def load(cls, path: Path | str) -> Network:
        """Opens what ``save`` wrote; the arrays stay in the file and are mapped.

        Raises:
            UnreadableFile: not such a file, or not as it was written.
        """
        file = weights.WeightsFile.open(Path(path))
        if GRAPH not in file.metadata:
            raise UnreadableFile(f"{path}: its header holds no graph; it was not written by Cortex")
        try:
            found = cls(Graph.from_json(file.metadata[GRAPH]), file.arrays())
        except GraphError as error:
            raise UnreadableFile(f"{path}: {error}") from None
        file.verify()
        return found

    def _source(self, name: str) -> Layer:
        if name in self.graph.outputs:
            return Layer(self.graph.outputs[name])
        if name in self.graph.layers:
            return self.graph.layers[name]
        if name in self.graph.types:
            return Layer(name)
        known = ", ".join(dict.fromkeys([*self.graph.outputs, *self.graph.layers]))
        raise UsageError(
            f"output {name!r}: the network has no output or layer of that name; it has {known}"
        )


def sizes_of(declared: Mapping[str, Tensor], arrays: Mapping[str, Array]) -> dict[str, int]:
    """The numbers that the arrays give to the open sizes of the inputs.

    Raises:
        UsageError: an input that is missing, unknown, or whose shape does not fit.
    """
    if declared.keys() != arrays.keys():
        raise UsageError(f"the inputs are {sorted(declared)}, given were {sorted(arrays)}")
    sizes: dict[str, int] = {}
    for name, tensor in declared.items():
        shape = arrays[name].shape
        fits = len(shape) == tensor.rank and all(
            n == (sizes.setdefault(size, n) if isinstance(size, str) else size)
            for n, size in zip(shape, tensor.shape, strict=True)
        )
        if not fits:
            raise UsageError(f"input {name!r}: its shape is {shape}, expected {tensor.shape}")
        if 0 in shape:
            raise UsageError(f"input {name!r}: its shape is {shape}: it holds nothing")
    return sizes


def _check_kind(name: str, array: Array, dtype: str) -> None:
    if dtype == STRING:
        if array.dtype.kind != "U" and not all(isinstance(one, str) for one in array.flat):
            raise UsageError(f"input {name!r}: its elements are {array.dtype}, expected strings")
        return
    if array.dtype.kind not in "biuf":
        raise UsageError(f"input {name!r}: its elements are {array.dtype}, expected numbers")
    if dtype in ("float", array.dtype.name):
        return
    with np.errstate(invalid="ignore"):
        kept = array.astype(dtype) == array
    if not kept.all():
        raise UsageError(f"input {name!r}: not all of its elements are of type {dtype}")


class Runner:
    """Plans for one set of sizes and outputs, one a shard, and the threads that run them."""

    def __init__(
        self, network: Network, wanted: Mapping[str, Layer], sizes: Mapping[str, int], dtype: Any
    ) -> None:
        values = {layer.value for layer in wanted.values()}
        graph = network.graph.leading_to(values, {value: value for value in values})
        self._wanted, self._inputs = wanted, list(graph.inputs)
        read = Weights(graph, network.parameters, dtype)
        apart = all(tensor.shape[:1] == (BATCH,) for tensor in graph.types.values())
        most = (os.cpu_count() or 1) if apart and worth_sharing(graph, sizes) else 1
        parts = split(sizes[BATCH] if apart else 1, most)
        self._team = Team.of(len(parts)) if len(parts) > 1 else None
        self._plans = [
            Plan(graph, read, {**sizes, BATCH: rows} if apart else sizes, shard=shard)
            for shard, rows in parts
        ]
        self._rows = (
            [slice(s.first_row, s.first_row + n) for s, n in parts] if self._team else [...]
        )
        types = infer(graph, sizes)
        self._results = {
            value: (types[value].sizes, self._plans[0].v[value].dtype) for value in values
        }

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Runs all shards; the arrays returned are the caller's."""
        values = {name: np.empty(*spec) for name, spec in self._results.items()}

        def work(index: int) -> None:
            plan, rows = self._plans[index], self._rows[index]
            for name in self._inputs:
                plan.v[name][...] = inputs[name][rows]
            plan.run()
            for name, value in values.items():
                value[rows] = plan.v[name]

        if self._team:
            self._team.run(work)
        else:
            work(0)
        return {
            name: values[layer.value].transpose(layer.axes) if layer.axes else values[layer.value]
            for name, layer in self._wanted.items()
        }
