"""One version of one model: opened, proved, and answering."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..runtime.repository import ModelConfig, ModelVersion
from .batching.batcher import Batcher, Limits
from .datatypes import Datatype
from .engine.layers import LayerPrograms
from .engine.replay import replay
from .engine.session import Engine, Program, Run, TensorSpec
from .errors import InvalidArgument, listed
from .metrics import ModelMetrics
from .tensors import Array

if TYPE_CHECKING:
    from onnx import ModelProto

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Output:
    """A named array of an answer."""

    name: str
    datatype: Datatype
    array: Array


@dataclass(frozen=True)
class OpenModel:
    """A model whose session is open and reproduces its check; nothing of it runs yet."""

    version: ModelVersion
    config: ModelConfig
    graph: ModelProto
    layers: frozenset[str]
    engine: Engine
    program: Program

    @classmethod
    def open(cls, version: ModelVersion) -> OpenModel:
        """Opens a version and replays its check; takes seconds, and belongs on a thread.

        Raises:
            CortexError: it cannot be read or run, or does not reproduce its check.
        """
        from ..runtime.export import layers, read

        config = version.config()
        graph = read(version.model)
        engine = Engine.create(config.providers, config.runners)
        program = engine.open(version.model, version.path)
        opened = cls(version, config, graph, frozenset(layers(graph)), engine, program)
        check = version.check()
        if check is None:
            log.warning("%s: it came without a check; nothing proves its answers", version.path)
        else:
            replay(check, program, opened.select)
        return opened

    def select(self, names: Sequence[str]) -> Program:
        """Opens a program that answers with the named layers or outputs.

        Raises:
            KeyError: the graph names no such layer.
        """
        from ..runtime.export import select

        return self.engine.open(select(self.graph, names), self.version.path)


class Model:
    """A model that answers. Use it as ``async with Model(opened, metrics) as model``."""

    def __init__(self, opened: OpenModel, metrics: ModelMetrics) -> None:
        config = opened.config
        limits = Limits(
            max_batch=config.max_batch,
            delay=config.queue_delay_ms / 1000,
            max_queue=config.max_queue,
            runners=opened.engine.runners,
        )
        self.name = opened.version.name
        self.version = str(opened.version.version)
        self.metrics = metrics
        self._opened = opened
        self._outputs = {spec.name: spec for spec in opened.program.outputs}
        self._layers = LayerPrograms(opened.select)
        self._batcher = Batcher(limits, metrics)
        metrics.watch_queue(lambda: self._batcher.waiting)

    async def __aenter__(self) -> Model:
        await self._batcher.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._batcher.__aexit__(*error)

    def stop(self) -> None:
        """Ends the runs under way, whose answers nobody waits for any more."""
        self._opened.engine.stop()

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """What it takes."""
        return self._opened.program.inputs

    @property
    def outputs(self) -> Sequence[TensorSpec]:
        """What it answers with unless asked for something else."""
        return self._opened.program.outputs

    async def infer(
        self, inputs: Mapping[str, Array], wanted: Sequence[str], deadline: float | None
    ) -> list[Output]:
        """Computes the ``wanted`` outputs or layers, all declared outputs if there are none.

        ``inputs`` holds an array that fits for every input. ``deadline`` is on the clock of
        ``time.monotonic``.

        Raises:
            InvalidArgument: an output that is neither declared nor a layer, or is asked for twice.
            RequestError: it was not computed.
        """
        names = tuple(wanted) or tuple(self._outputs)
        program, served = await self._program(names)
        arrays = [inputs[spec.name] for spec in program.inputs]
        run = Run(program, tuple(served[name].name for name in names))
        alone = not program.batched(run.outputs) or not len(arrays[0])
        found = await self._batcher.infer(run, arrays, alone=alone, deadline=deadline)
        return [
            Output(name, served[name].datatype, array)
            for name, array in zip(names, found, strict=True)
        ]

    async def _program(self, names: tuple[str, ...]) -> tuple[Program, Mapping[str, TensorSpec]]:
        """A program that computes ``names``, and what it calls them."""
        for name in names:
            if name not in self._outputs and name not in self._opened.layers:
                known = dict.fromkeys([*self._outputs, *sorted(self._opened.layers)])
                raise InvalidArgument(
                    f"output {name!r}: model {self.name!r} has no output or layer of this name; it "
                    f"has {listed(list(known))}"
                )
            if names.count(name) > 1:
                raise InvalidArgument(f"output {name!r} is asked for {names.count(name)} times")
        if all(name in self._outputs for name in names):
            return self._opened.program, self._outputs
        ordered = tuple(sorted(names))
        program = await self._layers.get(ordered)
        return program, dict(zip(ordered, program.outputs, strict=True))
