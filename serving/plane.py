"""What the protocols call: they decode a question, ask here, and encode the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from .datatypes import BYTES, DATATYPES, Datatype
from .engine.session import TensorSpec
from .errors import Code, InvalidArgument, Unavailable, listed, told
from .metrics import Metrics
from .model import Model, Output
from .models import Models
from .tensors import Array, text

NAME = "cortex"
PLATFORM = "onnxruntime_onnx"


class GivenTensor(Protocol):
    """An input as a client sent it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def datatype(self) -> str:
        """The name of its datatype, as the client wrote it."""
        ...

    @property
    def shape(self) -> Sequence[int]:
        """Its shape, as the client wrote it."""
        ...

    def array(self, datatype: Datatype, what: str) -> Array:
        """Its elements; ``InvalidArgument`` where they do not fit its shape."""
        ...


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

    def inputs(self) -> Sequence[GivenTensor]:
        """The inputs; ``InvalidArgument`` where the message contradicts itself."""
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


class Plane:
    """The server behind its protocols. ``ready`` is set while it accepts requests."""

    def __init__(self, models: Models, metrics: Metrics, version: str) -> None:
        self.version = version
        self.ready = False
        self._models = models
        self._metrics = metrics
        self._closing = False
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether a model can be asked; ``NotFound`` where there is none."""
        return self._models.is_ready(name, version)

    def metadata(self, name: str, version: str = "") -> Metadata:
        """What a model takes and gives; ``NotFound``, ``Unavailable`` where it cannot be told."""
        model = self._models.get(name, version)
        return Metadata(name, self._models.ready_versions(name), model.inputs, model.outputs)

    async def drain(self, seconds: float) -> None:
        """Refuses new questions, and gives those accepted so many seconds to be answered."""
        self.ready = False
        self._closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    async def infer(self, question: Question, deadline: float | None = None) -> Answer:
        """Answers a question; ``deadline`` is on the clock of ``time.monotonic``.

        Raises:
            RequestError: it cannot be answered; there are no other errors.
        """
        began, model, code = perf_counter(), None, Code.OK
        self._active += 1
        self._idle.clear()
        try:
            if self._closing:
                raise Unavailable("the server is shutting down")
            model = self._models.get(question.model, question.version)
            inputs = fitting(model.inputs, question.inputs())
            outputs = await model.infer(inputs, question.outputs, deadline)
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

    def _ended(self, model: Model | None, code: Code, seconds: float) -> None:
        self._active -= 1
        if not self._active:
            self._idle.set()
        if model is None:
            self._metrics.unknown(code)
        else:
            model.metrics.answered(code, seconds)


def fitting(specs: Sequence[TensorSpec], given: Sequence[GivenTensor]) -> Mapping[str, Array]:
    """The given arrays by name, if they are what ``specs`` ask for.

    Raises:
        InvalidArgument: one is missing, unknown, given twice, or has another datatype, shape or
            number of elements.
    """
    tensors = {tensor.name: tensor for tensor in given}
    names = [spec.name for spec in specs]
    for tensor in given:
        if tensor.name not in names:
            raise InvalidArgument(
                f"input {tensor.name!r}: the model has no such input; it takes {listed(names)}"
            )
    if len(tensors) < len(given):
        twice = next(n for n in names if sum(tensor.name == n for tensor in given) > 1)
        raise InvalidArgument(f"input {twice!r} is given more than once")
    sizes: dict[str, tuple[int, str]] = {}
    arrays: dict[str, Array] = {}
    for spec in specs:
        if spec.name not in tensors:
            raise InvalidArgument(
                f"input {spec.name!r} is missing; the model takes {listed(names)}"
            )
        arrays[spec.name] = _array(spec, tensors[spec.name], sizes)
    return arrays


def _array(spec: TensorSpec, tensor: GivenTensor, sizes: dict[str, tuple[int, str]]) -> Array:
    what = f"input {spec.name!r}"
    if tensor.datatype != spec.datatype.name:
        known = "" if tensor.datatype in DATATYPES else ", which is no datatype"
        raise InvalidArgument(
            f"{what}: the model takes {spec.datatype.name}, found {tensor.datatype!r}{known}"
        )
    _check_shape(spec, tensor.shape, sizes)
    array = tensor.array(spec.datatype, what)
    return text(array, what) if spec.datatype is BYTES else array


def _check_shape(spec: TensorSpec, shape: Sequence[int], sizes: dict[str, tuple[int, str]]) -> None:
    """``sizes`` remembers what the named axes were found to be, and where."""
    fits = len(shape) == len(spec.shape) and all(
        found == size if isinstance(size, int) else found >= 0
        for found, size in zip(shape, spec.shape, strict=False)
    )
    if not fits:
        raise InvalidArgument(
            f"input {spec.name!r}: the model takes shape {spec.sizes}, found {list(shape)}"
        )
    for found, size in zip(shape, spec.shape, strict=True):
        if isinstance(size, str):
            known, where = sizes.setdefault(size, (found, spec.name))
            if known != found:
                raise InvalidArgument(
                    f"input {spec.name!r}: axis {size!r} is {found} but {known} in {where!r}"
                )
