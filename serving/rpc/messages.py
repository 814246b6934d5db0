"""ModelInferRequest as bytes; tensors are read in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from google.protobuf.message import DecodeError

from .. import parameters
from ..datatypes import BYTES, Datatype
from ..errors import InvalidArgument
from ..fitting import LONG, GivenTensor
from ..model import Output
from ..pb import open_inference_grpc_pb2 as pb
from ..plane import Answer
from ..shared_memory import OFF, Regions, SharedTensor, Span, check_fit
from ..tensors import Array, decode
from . import contents
from .parsing import plain
from .response import write_response
from .wire import Malformed, tag, take_out

Input = pb.ModelInferRequest.InferInputTensor
INPUTS = tag(pb.ModelInferRequest.INPUTS_FIELD_NUMBER)
RAW_INPUTS = tag(pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER)
CONTENTS = tag(Input.CONTENTS_FIELD_NUMBER)

SHARED = "shared memory"
SHORT = 1024  # bytes of a head, to be kept once read


@dataclass(frozen=True, slots=True)
class SentTensor:
    """One input of a request; its elements are still bytes, raw or an InferTensorContents."""

    name: str
    datatype: str
    shape: Sequence[int]
    raw: memoryview | None
    typed: memoryview

    @property
    def slow(self) -> bool:
        """As ``GivenTensor``."""
        if self.raw is not None:
            return self.datatype == BYTES.name and self.raw.nbytes > LONG
        return len(self.typed) > LONG and self.datatype not in contents.VIEWED

    def array(self, datatype: Datatype, what: str) -> Array:
        """The elements, of ``datatype``, in the tensor's shape; a view of the message if possible.

        Raises:
            InvalidArgument: there are too many or too few, or they are not of this datatype.
        """
        if self.raw is not None:
            return decode(self.raw, datatype, self.shape, what)
        return contents.array(self.typed, datatype, self.shape, what)


@dataclass(frozen=True, slots=True)
class Described:
    """One input without its raw elements.

    ``typed`` is its InferTensorContents, ``span`` where in shared memory its elements lie.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    typed: memoryview
    span: Span | None


class Head:
    """All of a ModelInferRequest but its raw elements.

    Attributes:
        message: all of it but the inputs, too.
        tensors: each input without its elements, and its InferTensorContents.

    Raises:
        Malformed: not a ModelInferRequest.
    """

    def __init__(self, message: bytes | memoryview) -> None:
        rest, inputs = take_out(memoryview(message), INPUTS)
        try:
            self.message = pb.ModelInferRequest.FromString(b"".join(rest))
            self.tensors = [_tensor(view) for view in inputs]
        except DecodeError:
            raise Malformed("the message is no ModelInferRequest") from None
        self.id: str = self.message.id
        self.model: str = self.message.model_name
        self.version: str = self.message.model_version
        self.outputs = [output.name for output in self.message.outputs]
        self.asked = plain(self.message.parameters)
        self.marked = {
            output.name: plain(output.parameters)
            for output in self.message.outputs
            if output.parameters
        }

    @cached_property
    def inputs(self) -> Sequence[Described]:
        """What is said of each input; ``InvalidArgument``."""
        return [
            Described(at.name, at.datatype, tuple(at.shape), typed, _span(at))
            for at, typed in self.tensors
        ]

    @cached_property
    def unshared(self) -> int:
        """How many inputs do not lie in shared memory."""
        return [at.span for at in self.inputs].count(None)

    @cached_property
    def priority(self) -> int:
        """1 is the highest, 0 the model's own; ``InvalidArgument``."""
        return parameters.priority(self.asked)

    @cached_property
    def timeout(self) -> float | None:
        """Seconds that the answer may take; ``InvalidArgument``."""
        return parameters.timeout(self.asked)

    @cached_property
    def classes(self) -> Mapping[str, int]:
        """The outputs wanted as their best classes, and as how many; ``InvalidArgument``."""
        return {
            name: count
            for name, asked in self.marked.items()
            if (count := parameters.classes(asked, _output(name)))
        }

    @cached_property
    def spans(self) -> Mapping[str, Span]:
        """Where in shared memory outputs are wanted; ``InvalidArgument``."""
        return {
            name: span
            for name, asked in self.marked.items()
            if (span := Span.of(asked, _output(name)))
        }


_known = lru_cache(1024)(Head)
"""A client's requests are alike in all but their raw elements: that is read once."""


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A ModelInferRequest, its tensors where they came.

    Attributes:
        head: all of it but the raw elements.
        raw: the raw elements.
        regions: the shared memory that tensors may lie in.
    """

    head: Head
    raw: Sequence[memoryview]
    regions: Regions

    @classmethod
    def read(cls, message: bytes, regions: Regions = OFF) -> InferRequest:
        """Reads a message.

        Raises:
            Malformed: not a ModelInferRequest.
        """
        pieces, raw = take_out(memoryview(message), RAW_INPUTS)
        if not raw:  # its elements lie in it
            return cls(Head(message), raw, regions)
        rest = b"".join(pieces)
        return cls(_known(rest) if len(rest) <= SHORT else Head(rest), raw, regions)

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.head.model

    @property
    def version(self) -> str:
        """The version of the model; empty: the server chooses."""
        return self.head.version

    @property
    def outputs(self) -> Sequence[str]:
        """The outputs asked for; none: all that the model declares."""
        return self.head.outputs

    @property
    def priority(self) -> int:
        """1 is the highest, 0 the model's own; ``InvalidArgument``."""
        return self.head.priority

    @property
    def timeout(self) -> float | None:
        """Seconds that the answer may take; ``InvalidArgument``."""
        return self.head.timeout

    @property
    def classes(self) -> Mapping[str, int]:
        """The outputs wanted as their best classes, and as how many; ``InvalidArgument``."""
        return self.head.classes

    def inputs(self) -> Sequence[GivenTensor]:
        """The inputs, each with its elements.

        Raises:
            InvalidArgument: raw elements for some inputs only, raw and typed ones together, or a
                parameter that asks for what this server does not do.
            Forbidden: shared memory is off.
        """
        head = self.head
        parameters.refuse_sequence(head.asked)
        for name, span in head.spans.items():
            self.regions.check(span, _output(name))
        if self.raw and len(self.raw) != head.unshared:
            raise InvalidArgument(
                f"the request has {head.unshared} inputs and {len(self.raw)} raw contents"
            )
        raw = iter(self.raw)
        return [self._given(at, next(raw, None) if at.span is None else None) for at in head.inputs]

    def _given(self, at: Described, raw: memoryview | None) -> GivenTensor:
        if at.typed and (raw is not None or at.span):
            where = SHARED if at.span else "raw_input_contents"
            raise InvalidArgument(
                f"input {at.name!r}: its elements come twice, in contents and in {where}; "
                "send one of them"
            )
        if at.span:
            return SharedTensor(at.name, at.datatype, at.shape, at.span, self.regions)
        return SentTensor(at.name, at.datatype, at.shape, raw, at.typed)

    def check(self, outputs: Sequence[Output]) -> None:
        """As ``Question``."""
        check_fit(outputs, self.head.spans)

    def slow(self, answer: Answer) -> bool:
        """Whether the event loop would notice ``answered``."""
        return any(output.slow for output in answer.outputs)

    def answered(self, answer: Answer) -> bytes:
        """The ModelInferResponse; outputs that are wanted there are put into shared memory.

        Raises:
            InvalidArgument: they do not fit there.
        """
        return write_response(answer, self.head.id, self.head.spans, self.regions)


def _output(name: str) -> str:
    return f"output {name!r}"


def _span(tensor: Input) -> Span | None:
    return Span.of(plain(tensor.parameters), f"input {tensor.name!r}")


def _tensor(view: memoryview) -> tuple[Input, memoryview]:
    rest, pieces = take_out(view, CONTENTS)
    # A message that is sent in pieces is their concatenation.
    typed = pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))
    return Input.FromString(b"".join(rest)), typed
