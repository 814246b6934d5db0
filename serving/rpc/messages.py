"""ModelInferRequest and ModelInferResponse as bytes; tensors are read in place and written once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from ..datatypes import Datatype
from ..errors import InvalidArgument
from ..pb import open_inference_grpc_pb2 as pb
from ..plane import Answer
from ..tensors import Array, decode, encode
from . import contents
from .wire import Malformed, delimited, tag, take_out

Input = pb.ModelInferRequest.InferInputTensor
Output = pb.ModelInferResponse.InferOutputTensor
INPUTS = tag(pb.ModelInferRequest.INPUTS_FIELD_NUMBER)
RAW_INPUTS = tag(pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER)
CONTENTS = tag(Input.CONTENTS_FIELD_NUMBER)
RAW_OUTPUTS = pb.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER

UNSUPPORTED = frozenset({"classification", "sequence_id", "shared_memory_region"})
"""Parameters of Triton's extensions that would change the answer, were they served here."""


@dataclass(frozen=True, slots=True)
class SentTensor:
    """One input of a request; its elements are still bytes, raw or an InferTensorContents."""

    name: str
    datatype: str
    shape: Sequence[int]
    raw: memoryview | None
    typed: memoryview

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
    """A ModelInferRequest: ``head`` is all of it but the inputs, whose elements stand apart."""

    head: pb.ModelInferRequest
    tensors: Sequence[tuple[Input, memoryview]]
    raw: Sequence[memoryview]

    @classmethod
    def read(cls, message: bytes) -> InferRequest:
        """Reads a message; its tensors remain where they are.

        Raises:
            Malformed: not a ModelInferRequest.
        """
        rest, large = take_out(memoryview(message), INPUTS, RAW_INPUTS)
        try:
            head = pb.ModelInferRequest.FromString(rest)
            return cls(head, [_tensor(view) for view in large[INPUTS]], large[RAW_INPUTS])
        except DecodeError:
            raise Malformed("the message is no ModelInferRequest") from None

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

    def inputs(self) -> Sequence[SentTensor]:
        """The inputs, each with its elements.

        Raises:
            InvalidArgument: raw elements for some inputs only, raw and typed ones together, or a
                parameter that asks for what this server does not do.
        """
        self._check_parameters()
        if not self.raw:
            return [_sent(tensor, None, typed) for tensor, typed in self.tensors]
        for tensor, typed in self.tensors:
            if typed:
                raise InvalidArgument(
                    f"input {tensor.name!r}: its elements come twice, in contents and in "
                    "raw_input_contents; send one of them"
                )
        if len(self.raw) != len(self.tensors):
            raise InvalidArgument(
                f"the request has {len(self.tensors)} inputs and {len(self.raw)} raw contents"
            )
        pairs = zip(self.tensors, self.raw, strict=True)
        return [_sent(tensor, raw, typed) for (tensor, typed), raw in pairs]

    def _check_parameters(self) -> None:
        """What would change the answer must not be ignored in silence."""
        places = [("the request", self.head)]
        places += [(f"input {tensor.name!r}", tensor) for tensor, _ in self.tensors]
        places += [(f"output {output.name!r}", output) for output in self.head.outputs]
        for what, message in places:
            if message.parameters and (asked := UNSUPPORTED.intersection(message.parameters)):
                raise InvalidArgument(f"{what}: the parameter {min(asked)!r} is not supported")


def write_response(answer: Answer, request_id: str) -> bytes:
    """A ModelInferResponse; each output is copied once, into the message."""
    outputs = [
        Output(name=output.name, datatype=output.datatype.name, shape=output.array.shape)
        for output in answer.outputs
    ]
    head = pb.ModelInferResponse(
        model_name=answer.model, model_version=answer.version, id=request_id, outputs=outputs
    )
    parts: list[bytes | memoryview] = [head.SerializeToString()]
    for output in answer.outputs:
        parts += delimited(RAW_OUTPUTS, encode(output.array, output.datatype))
    return b"".join(parts)


def _tensor(view: memoryview) -> tuple[Input, memoryview]:
    rest, large = take_out(view, CONTENTS)
    pieces = large[CONTENTS]
    # A message that is sent in pieces is their concatenation.
    typed = pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))
    return Input.FromString(rest), typed


def _sent(tensor: Input, raw: memoryview | None, typed: memoryview) -> SentTensor:
    return SentTensor(tensor.name, tensor.datatype, tuple(tensor.shape), raw, typed)
