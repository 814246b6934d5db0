"""A request for inference out of an HTTP body, and the answer as one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import parameters
from ..datatypes import BYTES, DATATYPES, Datatype
from ..engine.session import TensorSpec
from ..errors import InvalidArgument
from ..fitting import LONG
from ..model import Output
from ..parameters import REQUEST
from ..plane import Answer, GivenTensor
from ..shared_memory import BYTE_SIZE, OFFSET, REGION, Regions, SharedTensor, Span, check_fit
from ..tensors import LENGTH, Array, decode, encode
from . import elements
from .schema import InferRequest, InferResponse, Parameters, RequestInput, ResponseOutput

BINARY_SIZE, BINARY, ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"


@dataclass(frozen=True, slots=True)
class SentTensor:
    """One input of a request, its elements decoded: that is done away from the event loop."""

    name: str
    datatype: str
    shape: Sequence[int]
    elements: Array

    @property
    def slow(self) -> bool:
        """As ``GivenTensor``: of BYTES, text is still to be made."""
        return self.elements.dtype.hasobject and self.elements.nbytes > LONG

    def array(self, datatype: Datatype, what: str) -> Array:
        """The elements, in the tensor's shape; a view of the body if they came as binary data."""
        return self.elements


@dataclass(frozen=True, slots=True)
class InferQuestion:
    """A request for inference; ``head`` is its JSON. A ``Question`` of the plane.

    Attributes:
        model, version: from the path.
        tensors: the inputs.
        regions: the shared memory that inputs lie in and outputs are put into.
    """

    model: str
    version: str
    head: InferRequest
    tensors: Sequence[GivenTensor]
    regions: Regions

    @classmethod
    def of(
        cls, named: tuple[str, str], head: InferRequest, binary: memoryview, regions: Regions
    ) -> InferQuestion:
        """Decodes every input that is not in shared memory.

        Raises:
            InvalidArgument: an input has no elements, or several, too few or too many, or of
                another datatype; binary data is left over.
        """
        tensors: list[GivenTensor] = []
        at = 0
        for given in head.inputs:
            what = f"input {given.name!r}"
            end = at + parameters.whole(given.parameters, BINARY_SIZE, what)
            if end > len(binary):
                raise InvalidArgument(
                    f"{what}: its {BINARY_SIZE} ends at byte {end} of {len(binary)} that follow "
                    "the JSON"
                )
            tensors.append(_given(given, binary[at:end], regions, what))
            at = end
        if at < len(binary):
            raise InvalidArgument(
                f"{REQUEST}: {len(binary)} bytes follow the JSON, its inputs name {at} of them"
            )
        return cls(*named, head, tensors, regions)

    @property
    def outputs(self) -> Sequence[str]:
        """The outputs asked for; none: all that the model declares."""
        return [output.name for output in self.head.outputs]

    @property
    def priority(self) -> int:
        """1 is the highest, 0 the model's own; ``InvalidArgument``."""
        return parameters.priority(self.head.parameters)

    @property
    def timeout(self) -> float | None:
        """Seconds that the answer may take; ``InvalidArgument``."""
        return parameters.timeout(self.head.parameters)

    @property
    def classes(self) -> Mapping[str, int]:
        """The outputs wanted as their best classes, and as how many; ``InvalidArgument``."""
        return {
            output.name: count
            for output in self.head.outputs
            if (count := parameters.classes(output.parameters, _output(output.name)))
        }

    @property
    def spans(self) -> Mapping[str, Span]:
        """Where in shared memory outputs are wanted; ``InvalidArgument``."""
        return {
            output.name: span
            for output in self.head.outputs
            if (span := Span.of(output.parameters, _output(output.name)))
        }

    def inputs(self) -> Sequence[GivenTensor]:
        """The inputs.

        Raises:
            InvalidArgument: a parameter asks for what this server does not do.
            Forbidden: shared memory is off.
        """
        parameters.refuse_sequence(self.head.parameters)
        for name, span in self.spans.items():
            self.regions.check(span, _output(name))
        return self.tensors

    def check(self, outputs: Sequence[Output]) -> None:
        """As ``Question``."""
        spans = self.spans
        check_fit(outputs, spans)
        binary, every = self._binary()
        for output in outputs:
            if output.name not in spans and not binary.get(output.name, every):
                elements.check_listed(output.array, output.datatype, _output(output.name))

    def answered(self, answer: Answer) -> tuple[bytes, int | None]:
        """The body of the answer, and how long its JSON is; None where it is all of it.

        Outputs are put into shared memory where they are wanted there.

        Raises:
            InvalidArgument: they do not fit there, or JSON cannot carry them.
        """
        binary, every = self._binary()
        spans = self.spans
        outputs: list[ResponseOutput] = []
        tail: list[bytes | memoryview] = []
        for output in answer.outputs:
            if span := spans.get(output.name):
                outputs.append(self._shared(output, span))
            elif binary.get(output.name, every):
                tail.append(encode(output.array, output.datatype))
                outputs.append(_told(output, {BINARY_SIZE: len(tail[-1])}))
            else:
                what = _output(output.name)
                data = elements.listed(output.array, output.datatype, what)
                outputs.append(_told(output, None, data))
        head = InferResponse(
            model_name=answer.model, model_version=answer.version, id=self.head.id, outputs=outputs
        )
        text = head.model_dump_json(exclude_none=True).encode()
        return (b"".join([text, *tail]), len(text)) if tail else (text, None)

    def _binary(self) -> tuple[Mapping[str, bool], bool]:
        """Which outputs are wanted as binary data, and whether all others are."""
        every = _switch(self.head.parameters, ALL_BINARY, False, REQUEST)
        return {
            output.name: _switch(output.parameters, BINARY, every, _output(output.name))
            for output in self.head.outputs
        }, every

    def _shared(self, output: Output, span: Span) -> ResponseOutput:
        raw = encode(output.array, output.datatype)
        self.regions.write(span, raw, _output(output.name))
        where: Parameters = {REGION: span.region, BYTE_SIZE: len(raw)}
        return _told(output, {**where, OFFSET: span.offset} if span.offset else where)


def without_json(specs: Sequence[TensorSpec], body: memoryview) -> tuple[InferRequest, memoryview]:
    """What a body of nothing but an input stands for, as Triton has it: the JSON and the data.

    ``specs`` are the inputs of the model. The body is the elements of its one input in one row, of
    which at most one axis is open; or, of BYTES, its one element. The outputs are wanted as binary
    data too.

    Raises:
        InvalidArgument: the model takes several inputs, or one whose shape the body does not tell.
    """
    if len(specs) != 1:
        raise InvalidArgument(f"a body without JSON is one input; the model takes {len(specs)}")
    (spec,) = specs
    shape = list(spec.sizes)
    if shape and shape[0] < 0:
        shape[0] = 1
    if shape.count(-1) > (spec.datatype is not BYTES):
        raise InvalidArgument(
            f"input {spec.name!r} takes shape {spec.sizes}; a body without JSON does not tell which"
        )
    if -1 in shape:
        row = -math.prod(shape) * spec.datatype.dtype.itemsize  # of the other axes
        shape[shape.index(-1)] = len(body) // max(row, 1)
    if spec.datatype is BYTES:
        body = memoryview(len(body).to_bytes(LENGTH, "little") + body)
    given = RequestInput(
        name=spec.name,
        shape=shape,
        datatype=spec.datatype.name,
        parameters={BINARY_SIZE: len(body)},
    )
    return InferRequest(inputs=[given], parameters={ALL_BINARY: True}), body


def _given(given: RequestInput, raw: memoryview, regions: Regions, what: str) -> GivenTensor:
    """An input with its elements, from where they are."""
    datatype = DATATYPES.get(given.datatype)
    if datatype is None:
        raise InvalidArgument(f"{what}: {given.datatype[:20]!r} is no datatype")
    span = Span.of(given.parameters, what)
    places = given.data is not None, BINARY_SIZE in given.parameters, span is not None
    if sum(places) != 1:
        raise InvalidArgument(
            f"{what}: its elements are data, or binary data, or in shared memory; found "
            f"{sum(places) or 'none'} of these"
        )
    if span is not None:
        return SharedTensor(given.name, given.datatype, given.shape, span, regions)
    if given.data is None:
        array = decode(raw, datatype, given.shape, what)
    else:
        array = elements.array(given.data, datatype, given.shape, what)
    return SentTensor(given.name, given.datatype, given.shape, array)


def _told(
    output: Output, where: Parameters | None, data: list[Any] | None = None
) -> ResponseOutput:
    return ResponseOutput(
        name=output.name,
        shape=list(output.array.shape),
        datatype=output.datatype.name,
        parameters=where,
        data=data,
    )


def _switch(given: Parameters, name: str, default: bool, what: str) -> bool:
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise InvalidArgument(f"{what}: {name!r} is true or false, found {value!r}")
    return value


def _output(name: str) -> str:
    return f"output {name!r}"
