"""ModelInferRequest as bytes; tensors are read in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

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
NOTHING: Mapping[str, object] = {}
SHORT = 256  # bytes of an input, to be kept once read


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
class InferRequest:
    """A ModelInferRequest, its tensors where they came.

    Attributes:
        head: all of it but the inputs.
        tensors: each input without its elements, and its InferTensorContents.
        raw: the raw elements.
        regions: the shared memory that tensors may lie in.
        asked: the parameters.
        marked: those of each output that has any.
    """

    head: pb.ModelInferRequest
    tensors: Sequence[tuple[Input, memoryview]]
    raw: Sequence[memoryview]
    regions: Regions
    asked: Mapping[str, object]
    marked: Mapping[str, Mapping[str, object]]

    @classmethod
    def read(cls, message: bytes, regions: Regions = OFF) -> InferRequest:
        """Reads a message.

        Raises:
            Malformed: not a ModelInferRequest.
        """
        rest, large = take_out(memoryview(message), INPUTS, RAW_INPUTS)
        try:
            head = pb.ModelInferRequest.FromString(rest)
            kept = bool(large[RAW_INPUTS])  # else they bring their elements, and are never alike
            tensors = [
                _known(bytes(view)) if kept and len(view) <= SHORT else _tensor(view)
                for view in large[INPUTS]
            ]
        except DecodeError:
            raise Malformed("the message is no ModelInferRequest") from None
        asked = plain(head.parameters) if head.parameters else NOTHING
        marked = {
            output.name: plain(output.parameters) for output in head.outputs if output.parameters
        }
        return cls(head, tensors, large[RAW_INPUTS], regions, asked, marked)

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.head.model_name

    @property
    def version(self) -> str:
        """The version of the model; empty: the server chooses."""
        return self.head.model_version

    @property
    def outputs(self) -> Sequence[str]:
        """The outputs asked for; none: all that the model declares."""
        return [output.name for output in self.head.outputs]

    @property
    def priority(self) -> int:
        """1 is the highest, 0 the model's own; ``InvalidArgument``."""
        return parameters.priority(self.asked) if self.asked else 0

    @property
    def timeout(self) -> float | None:
        """Seconds that the answer may take; ``InvalidArgument``."""
        return parameters.timeout(self.asked) if self.asked else None

    @property
    def classes(self) -> Mapping[str, int]:
        """The outputs wanted as their best classes, and as how many; ``InvalidArgument``."""
        return {
            name: count
            for name, asked in self.marked.items()
            if (count := parameters.classes(asked, _output(name)))
        }

    @property
    def spans(self) -> Mapping[str, Span]:
        """Where in shared memory outputs are wanted; ``InvalidArgument``."""
        return {
            name: span
            for name, asked in self.marked.items()
            if (span := Span.of(asked, _output(name)))
        }

    def inputs(self) -> Sequence[GivenTensor]:
        """The inputs, each with its elements.

        Raises:
            InvalidArgument: raw elements for some inputs only, raw and typed ones together, or a
                parameter that asks for what this server does not do.
            Forbidden: shared memory is off.
        """
        parameters.refuse_sequence(self.asked)
        for name, span in self.spans.items():
            self.regions.check(span, _output(name))
        shared = [_span(tensor) if tensor.parameters else None for tensor, _ in self.tensors]
        if self.raw and len(self.raw) != shared.count(None):
            raise InvalidArgument(
                f"the request has {shared.count(None)} inputs and {len(self.raw)} raw contents"
            )
        raw = iter(self.raw)
        return [
            self._given(tensor, typed, next(raw, None) if span is None else span)
            for (tensor, typed), span in zip(self.tensors, shared, strict=True)
        ]

    def _given(
        self, tensor: Input, typed: memoryview, elements: memoryview | Span | None
    ) -> GivenTensor:
        if typed and elements is not None:
            where = SHARED if isinstance(elements, Span) else "raw_input_contents"
            raise InvalidArgument(
                f"input {tensor.name!r}: its elements come twice, in contents and in {where}; "
                "send one of them"
            )
        shape = tuple(tensor.shape)
        if isinstance(elements, Span):
            return SharedTensor(tensor.name, tensor.datatype, shape, elements, self.regions)
        return SentTensor(tensor.name, tensor.datatype, shape, elements, typed)

    def check(self, outputs: Sequence[Output]) -> None:
        """As ``Question``."""
        if self.marked:
            check_fit(outputs, self.spans)

    def slow(self, answer: Answer) -> bool:
        """Whether the event loop would notice ``answered``: strings are encoded one by one.

        Not where there are spans: regions are the event loop's.
        """
        long = (at for at in answer.outputs if at.datatype is BYTES and at.array.nbytes > LONG)
        return any(long) and not self.spans

    def answered(self, answer: Answer) -> bytes:
        """The ModelInferResponse; outputs that are wanted there are put into shared memory.

        Raises:
            InvalidArgument: they do not fit there.
        """
        return write_response(answer, self.head.id, self.spans, self.regions)


def _output(name: str) -> str:
    return f"output {name!r}"


def _span(tensor: Input) -> Span | None:
    return Span.of(plain(tensor.parameters), f"input {tensor.name!r}")


@lru_cache(4096)
def _known(message: bytes) -> tuple[Input, memoryview]:
    """As ``_tensor``; a client's inputs without raw elements are the same again and again."""
    return _tensor(memoryview(message))


def _tensor(view: memoryview) -> tuple[Input, memoryview]:
    rest, large = take_out(view, CONTENTS)
    pieces = large[CONTENTS]
    # A message that is sent in pieces is their concatenation.
    typed = pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))
    return Input.FromString(rest), typed
