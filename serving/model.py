"""One version of one model: opened, proved, and answering."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.digests import verify
from ..runtime.export import layers, read, select
from ..runtime.repository import REPORT, ModelConfig, ModelVersion
from .batching.batcher import Batcher
from .batching.queue import Follow, Limits
from .datatypes import BYTES, Datatype, of_element
from .decoding import Decoding
from .engine.engines import Engines
from .engine.external import located
from .engine.layers import LayerPrograms
from .engine.replay import Proof, replay
from .engine.session import Engine, Program, Run, TensorSpec
from .engine.tuning import Subject, Tuning, tuned
from .errors import InvalidArgument, listed
from .fitting import LONG, Fitting
from .statistics import Statistics
from .tensors import Array

if TYPE_CHECKING:
    from onnx import ModelProto

log = logging.getLogger(__name__)

PAUSE = 0.005  # seconds


@dataclass(frozen=True, slots=True)
class Output:
    """A named array of an answer."""

    name: str
    datatype: Datatype
    array: Array

    @property
    def slow(self) -> bool:
        """Whether the event loop would notice how long it takes to encode: strings one by one."""
        return self.datatype is BYTES and self.array.nbytes > LONG


@dataclass(frozen=True)
class OpenModel:
    """A model whose sessions are open and reproduce its check; nothing of it runs yet.

    ``weights`` is the folder that those of ``graph`` lie in.
    ``config`` says what was measured where it left that open. ``fallback``: why it does not run on
    the provider it should run on; empty if it does.
    """

    version: ModelVersion
    config: ModelConfig
    graph: ModelProto
    weights: Path
    layers: frozenset[str]
    engine: Engine
    program: Program
    tuning: Tuning
    fallback: str
    proof: Proof | None = None

    @classmethod
    def open(cls, version: ModelVersion, engines: Engines | None = None) -> OpenModel:
        """Opens a version, replays its check on every device, and measures how to run it best.

        Takes seconds, and belongs on a thread.

        Raises:
            CortexError: it cannot be read or run, does not reproduce its check, or would not run on
                the provider that is required.
        """
        engines = engines or Engines()
        config, check = version.config(), version.check()
        graph = read(version.model)
        weights = located(graph, version.path)
        verify(version.path / REPORT)
        source = version.model if weights == version.path else graph
        engine = engines.engine(config)
        subject = Subject(
            version.model,
            config,
            engine.choice.names[0],
            len(engine.choice.instances()),
            check and check.inputs,
            lambda threads: engine.on(threads).open(source, weights),
        )
        tuning, program = tuned(subject, engines.tunings)
        fallback = engines.fallback(engine.choice, program.provider)
        if fallback:
            log.warning("%s: %s", version.path, fallback)
        _count_labels(version, config, program.outputs[0])
        opened = cls(
            version,
            config.model_copy(update={"max_batch": tuning.max_batch, "runners": tuning.runners}),
            graph,
            weights,
            frozenset(layers(graph)),
            engine.on(tuning.threads),
            program,
            tuning,
            fallback,
        )
        log.info("%s: on %s, %s", version.path, program.provider, tuning)
        if check is None:
            log.warning("%s: it came without a check; nothing proves its answers", version.path)
            return opened
        proofs = [
            replay(check, instance, opened.select, tuning.max_batch)
            for instance in program.instances
        ]
        return replace(opened, proof=max(proofs, key=lambda proof: proof.largest))

    def select(self, names: Sequence[str]) -> Program:
        """Opens a program that answers with the named layers or outputs.

        Raises:
            KeyError: the graph names no such layer.
        """
        return self.engine.open(select(self.graph, names), self.weights)


class Model:
    """A model that answers. Use it as ``async with Model(opened, statistics) as model``."""

    def __init__(self, opened: OpenModel, statistics: Statistics) -> None:
        config = opened.config
        limits = Limits(
            max_batch=opened.tuning.max_batch,
            delay=config.queue_delay_ms / 1000,
            max_queue=config.max_queue,
            runners=opened.tuning.runners,
            priority=config.default_priority,
        )
        self.name = opened.version.name
        self.version = str(opened.version.version)
        self.statistics = statistics
        self.users = 0  # requests that have it and are not answered
        self._opened = opened
        self._outputs = {spec.name: spec for spec in opened.program.outputs}
        self._usual = Asked.of(opened.program, self._outputs)
        self._decoding = Decoding.create(opened.program.inputs, config)
        self.fitting = Fitting(self.inputs, self._decoding.readers if self._decoding else ())
        self._layers = LayerPrograms(opened.select)
        self._batcher = Batcher(limits, statistics)
        statistics.waiting = lambda: self._batcher.waiting
        statistics.fallback = bool(opened.fallback)

    async def __aenter__(self) -> Model:
        await self._batcher.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._batcher.__aexit__(*error)
        if self._decoding:
            self._decoding.close()

    async def unused(self) -> None:
        """Waits until no request has it. To be told would cost every request; to look is cheap."""
        while self.users:
            await asyncio.sleep(PAUSE)

    def stop(self) -> None:
        """Ends the runs under way, whose answers nobody waits for any more."""
        self._opened.engine.stop()

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """What it takes, as clients see it."""
        return self._decoding.inputs if self._decoding else self._opened.program.inputs

    @property
    def outputs(self) -> Sequence[TensorSpec]:
        """What it answers with unless asked for something else."""
        return self._opened.program.outputs

    def layers(self) -> Sequence[TensorSpec]:
        """What it can be asked for besides, in order of execution."""
        return [
            TensorSpec(name, of_element(layer.dtype), layer.shape)
            for name, layer in layers(self._opened.graph).items()
            if name not in self._outputs
        ]

    @property
    def config(self) -> ModelConfig:
        """How it is served: what its config leaves open is filled in."""
        return self._opened.config

    @property
    def tuning(self) -> Tuning:
        """How it is run."""
        return self._opened.tuning

    @property
    def provider(self) -> str:
        """Where it runs: ``cpu``, ``cuda`` or ``tensorrt``."""
        return self._opened.program.provider

    @property
    def labels(self) -> Mapping[str, Sequence[str]]:
        """What the classes of an output are called; told of the first alone."""
        return {self.outputs[0].name: self.config.labels}

    @property
    def batched(self) -> bool:
        """Whether requests share runs."""
        return self._usual.batched

    @property
    def timeout(self) -> float | None:
        """Seconds that a request may take which names no limit."""
        found = self.config.timeout_ms
        return None if found is None else found / 1000

    async def infer(
        self,
        inputs: Mapping[str, Array],
        wanted: Sequence[str],
        deadline: float | None,
        follow: Follow | None = None,
        priority: int = 0,
    ) -> list[Output]:
        """Computes the ``wanted`` outputs or layers, all declared outputs if there are none.

        ``inputs`` holds an array that fits for every input. ``deadline`` is on the clock of
        ``time.monotonic``. ``follow`` is told when it ran. ``priority``: 1 is the highest, 0 the
        model's own.

        Raises:
            InvalidArgument: an output that is neither declared nor a layer, or is asked for twice.
            RequestError: it was not computed.
        """
        asked = await self._asked(tuple(wanted)) if wanted else self._usual
        if self._decoding:
            inputs = await self._decoding.arrays(inputs)
        arrays = [inputs[name] for name in asked.inputs]
        found = await self._batcher.infer(
            asked.run,
            arrays,
            alone=not asked.batched or not len(arrays[0]),
            priority=priority,
            deadline=deadline,
            follow=follow,
        )
        return [Output(*told, array) for told, array in zip(asked.outputs, found, strict=True)]

    async def _asked(self, names: tuple[str, ...]) -> Asked:
        """What computes ``names``."""
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
            return Asked.of(self._opened.program, {name: self._outputs[name] for name in names})
        ordered = tuple(sorted(names))
        program = await self._layers.get(ordered)
        served = dict(zip(ordered, program.outputs, strict=True))
        return Asked.of(program, {name: served[name] for name in names})


def _count_labels(version: ModelVersion, config: ModelConfig, output: TensorSpec) -> None:
    """Warns of labels that are too few or too many for the classes they name."""
    classes = output.shape[-1] if output.shape else None
    if config.labels and isinstance(classes, int) and len(config.labels) != classes:
        log.warning(
            "%s: config.json has %d labels, output %r has %d classes",
            version.path, len(config.labels), output.name, classes,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request runs: on which inputs, whether with others', and what comes of it."""

    run: Run
    inputs: Sequence[str]
    batched: bool
    outputs: Sequence[tuple[str, Datatype]]

    @classmethod
    def of(cls, program: Program, outputs: Mapping[str, TensorSpec]) -> Asked:
        """``outputs``: what the program calls that which the client knows by another name."""
        run = Run(program, tuple(spec.name for spec in outputs.values()))
        return cls(
            run,
            [spec.name for spec in program.inputs],
            program.batched(run.outputs),
            [(name, spec.datatype) for name, spec in outputs.items()],
        )
