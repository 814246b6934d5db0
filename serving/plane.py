"""What the protocols call: they decode a question, ask here, and encode the answer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Protocol

from ..runtime.repository import ModelConfig
from .batching.queue import Follow
from .cache import Cache
from .classification import classified
from .engine.session import TensorSpec
from .engine.tuning import Tuning
from .errors import Code, InvalidArgument, Overloaded, Unavailable, told
from .fitting import GivenTensor
from .logs import note
from .metrics import Metrics
from .model import Model, Output
from .models import Models
from .repository.state import ModelState
from .settings import Settings
from .shared_memory import OFF, Regions
from .statistics import Statistics

if TYPE_CHECKING:
    from .tracing import Headers, Tracer

NAME = "cortex"
PLATFORM = "onnxruntime_onnx"
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
)
SHARED_MEMORY = "system_shared_memory"


class Question(Protocol):
    """A request for inference, in whatever protocol; its tensors are decoded when asked for."""

    @property
    def model(self) -> str:
        """The name of a model."""
        ...

    @property
    def version(self) -> str:
        """A version; empty: the newest that is ready."""
        ...

    @property
    def outputs(self) -> Sequence[str]:
        """Outputs or layers; none: every declared output."""
        ...

    @property
    def classes(self) -> Mapping[str, int]:
        """The outputs wanted as their best classes, and as how many of them."""
        ...

    @property
    def priority(self) -> int:
        """1 is the highest, 0 the model's own; ``InvalidArgument``."""
        ...

    @property
    def timeout(self) -> float | None:
        """Seconds that the answer may take; None: the model's own; ``InvalidArgument``."""
        ...

    def inputs(self) -> Sequence[GivenTensor]:
        """The inputs; ``InvalidArgument`` where the message contradicts itself."""
        ...

    def check(self, outputs: Sequence[Output]) -> None:
        """Raises ``InvalidArgument`` where the outputs cannot be given as they are wanted."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question."""

    model: str
    version: str
    outputs: Sequence[Output]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a model takes and gives; ``versions`` are those that can be asked."""

    name: str
    versions: Sequence[str]
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    platform: str = PLATFORM


@dataclass(frozen=True, slots=True)
class Served:
    """How a version is served; ``batched``: requests share its runs."""

    name: str
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    config: ModelConfig
    tuning: Tuning
    provider: str
    batched: bool


class Plane:
    """The server behind its protocols. ``ready`` is set while it accepts requests."""

    def __init__(
        self,
        models: Models,
        metrics: Metrics,
        version: str,
        cache: Cache | None = None,
        regions: Regions = OFF,
        tracer: Tracer | None = None,
    ) -> None:
        self.version = version
        self.ready = False
        self._models = models
        self._metrics = metrics
        self._cache = cache
        self.regions = regions
        self._tracer = tracer
        self._most_requests = self._most_tensors = sys.maxsize
        self._closing = False
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def limit(self, settings: Settings) -> None:
        """Sets how many requests at once, and tensors each, are accepted from now on."""
        self._most_requests, self._most_tensors = settings.max_requests, settings.max_tensors

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether a model can be asked; ``NotFound`` where there is none."""
        return self._models.is_ready(name, version)

    async def metadata(self, name: str, version: str = "", layers: bool = False) -> Metadata:
        """What a model takes and gives; ``layers``: those that can be asked for stand behind.

        Raises:
            RequestError: there is no such model, or it cannot be asked.
        """
        model = await self._models.get(name, version)
        outputs = [*model.outputs, *model.layers()] if layers else model.outputs
        return Metadata(name, self._models.ready_versions(name), model.inputs, outputs)

    async def serving(self, name: str, version: str = "") -> Served:
        """How a model is served; raises as ``metadata``."""
        model = await self._models.get(name, version)
        return Served(
            model.name,
            model.inputs,
            model.outputs,
            model.config,
            model.tuning,
            model.provider,
            model.batched,
        )

    @property
    def extensions(self) -> Sequence[str]:
        """The extensions of the protocol that are served here, as Triton calls them."""
        return (*EXTENSIONS, SHARED_MEMORY) if self.regions.on else EXTENSIONS

    def statistics(self, name: str = "", version: str = "") -> Sequence[Statistics]:
        """What is counted of each version, of all models or of one; ``NotFound``."""
        if name:
            self._models.is_ready(name, version)
        return [
            each
            for each in self._metrics.models()
            if name in ("", each.name) and version in ("", each.version)
        ]

    def index(self) -> Sequence[ModelState]:
        """The state of every version in the repositories."""
        return self._models.index()

    async def load(self, name: str, config: str | None = None) -> None:
        """Has a model loaded; ``config`` is JSON that stands for the settings that lie with it.

        Raises:
            RequestError: it may not, there is no such model, or it does not load.
        """
        note(model=name)
        await self._models.load(name, config)

    async def unload(self, name: str) -> None:
        """Ends a model when what it has accepted is answered; raises as ``load``."""
        note(model=name)
        await self._models.unload(name)

    async def drain(self, seconds: float) -> None:
        """Refuses new questions, and gives those accepted so many seconds to be answered."""
        self.ready = False
        self._closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    async def infer(
        self, question: Question, deadline: float | None = None, headers: Headers = tuple
    ) -> Answer:
        """Answers a question; ``deadline`` is on the clock of ``time.monotonic``.

        ``headers`` gives what the client sent along, names in lower case; only traces ask for it.

        Raises:
            RequestError: it cannot be answered; there are no other errors.
        """
        began, model, code = perf_counter(), None, Code.OK
        trace = self._tracer and self._tracer.begin(headers)
        self._active += 1
        self._idle.clear()
        try:
            if self._closing:
                raise Unavailable("the server is shutting down")
            if self._active > self._most_requests:
                raise Overloaded(f"{self._most_requests} requests are under way; try again later")
            model = await self._models.get(question.model, question.version)
            model.users += 1
            outputs = await self._outputs(model, question, deadline, trace and trace.ran)
            if classes := question.classes:
                outputs = await asyncio.to_thread(classified, outputs, classes, model.labels)
            if any(output.slow for output in outputs):
                await asyncio.to_thread(question.check, outputs)
            else:
                question.check(outputs)
            return Answer(model.name, model.version, outputs)
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        except Exception as error:
            failure = told(error)
            code = failure.code
            raise failure from error
        finally:
            self._ended(model, code, perf_counter() - began)
            if trace:
                trace.end(code, model)

    async def _outputs(
        self, model: Model, question: Question, deadline: float | None, follow: Follow | None
    ) -> Sequence[Output]:
        given, wanted = question.inputs(), question.outputs
        if max(len(given), len(wanted)) > self._most_tensors:
            raise InvalidArgument(
                f"the request has {len(given)} inputs and asks for {len(wanted)} outputs; "
                f"{self._most_tensors} of each are the most (--max-tensors)"
            )
        aside = any(tensor.slow for tensor in given)
        inputs = await asyncio.to_thread(model.fitting, given) if aside else model.fitting(given)
        note(model=model.name, version=model.version, rows=_rows(given))
        deadline = _sooner(deadline, question.timeout or model.timeout)
        priority = question.priority
        if self._cache is None or not model.config.response_cache:
            return await model.infer(inputs, wanted, deadline, follow, priority)
        return await self._cache.answer(
            model, inputs, wanted, lambda: model.infer(inputs, wanted, deadline, follow, priority)
        )

    def _ended(self, model: Model | None, code: Code, seconds: float) -> None:
        self._active -= 1
        if not self._active:
            self._idle.set()
        if model is None:
            self._metrics.unknown(code)
        else:
            model.users -= 1
            model.statistics.answered(code, seconds)


def _sooner(deadline: float | None, seconds: float | None) -> float | None:
    """The deadline, or so many seconds from now if that is sooner."""
    if seconds is None:
        return deadline
    end = monotonic() + seconds
    return end if deadline is None else min(deadline, end)


def _rows(given: Sequence[GivenTensor]) -> int:
    return given[0].shape[0] if given and given[0].shape else 1
