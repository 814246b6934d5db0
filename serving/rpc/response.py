"""ModelInferResponse as bytes; tensors are written once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from ..pb import open_inference_grpc_pb2 as pb
from ..plane import Answer
from ..shared_memory import BYTE_SIZE, OFF, OFFSET, REGION, Regions, Span
from ..tensors import encode
from .wire import delimited

Output = pb.ModelInferResponse.InferOutputTensor
ID = pb.ModelInferResponse.ID_FIELD_NUMBER
RAW_OUTPUTS = pb.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER

NOWHERE: Mapping[str, Span] = {}


def write_response(
    answer: Answer,
    request_id: str,
    spans: Mapping[str, Span] = NOWHERE,
    regions: Regions = OFF,
) -> bytes:
    """The message, its fields in any order; outputs that ``spans`` names are put there instead.

    Raises:
        InvalidArgument: an output does not fit its span.
        Forbidden: shared memory is off.
    """
    parts: list[bytes | memoryview] = [_of(answer.model, answer.version)]
    if request_id:
        parts += delimited(ID, request_id.encode())
    for output in answer.outputs:
        raw = encode(output.array, output.datatype)
        span = spans.get(output.name)
        if span is not None:
            regions.write(span, raw, f"output {output.name!r}")
            span = Span(span.region, span.offset, len(raw))
            raw = b""  # it is sent all the same: clients count which of them is an output's
        parts.append(_described(output.name, output.datatype.name, output.array.shape, span))
        parts += delimited(RAW_OUTPUTS, raw)
    return b"".join(parts)


@lru_cache(1024)
def _of(model: str, version: str) -> bytes:
    return pb.ModelInferResponse(model_name=model, model_version=version).SerializeToString()


@lru_cache(4096)
def _described(name: str, datatype: str, shape: tuple[int, ...], span: Span | None) -> bytes:
    """All of an output but its elements, as it stands in a response. The same come again."""
    output = Output(name=name, datatype=datatype, shape=shape)
    if span is not None:
        output.parameters[REGION].string_param = span.region
        output.parameters[BYTE_SIZE].int64_param = span.byte_size
        if span.offset:
            output.parameters[OFFSET].int64_param = span.offset
    return pb.ModelInferResponse(outputs=[output]).SerializeToString()
