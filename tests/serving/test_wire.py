"""Reading messages without copies, against the generated parser on any messages."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from cortex.serving.datatypes import DATATYPES
from cortex.serving.errors import InvalidArgument
from cortex.serving.model import Output
from cortex.serving.pb import open_inference_grpc_pb2 as pb
from cortex.serving.plane import Answer
from cortex.serving.rpc.messages import InferRequest
from cortex.serving.rpc.response import write_response
from cortex.serving.rpc.wire import Malformed, take_out

names = st.text(max_size=5)
numbers = st.lists(st.floats(width=32, allow_nan=False), max_size=5)
contents = st.builds(
    pb.InferTensorContents,
    fp32_contents=numbers,
    bool_contents=st.lists(st.booleans(), max_size=3),
    int_contents=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
    bytes_contents=st.lists(st.binary(max_size=4), max_size=3),
)
parameters = st.dictionaries(
    names, st.builds(pb.InferParameter, int64_param=st.integers(-5, 5)), max_size=2
)
inputs = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=names,
    datatype=names,
    shape=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
    parameters=parameters,
    contents=st.none() | contents,
)
requests = st.builds(
    pb.ModelInferRequest,
    model_name=names,
    model_version=names,
    id=names,
    parameters=parameters,
    inputs=st.lists(inputs, max_size=3),
    outputs=st.lists(
        st.builds(pb.ModelInferRequest.InferRequestedOutputTensor, name=names), max_size=2
    ),
    raw_input_contents=st.lists(st.binary(max_size=200), max_size=3),
)


def agrees(read: InferRequest, parsed: pb.ModelInferRequest) -> None:
    """Asserts that both readers found the same."""
    assert [bytes(raw) for raw in read.raw] == list(parsed.raw_input_contents)
    assert len(read.head.tensors) == len(parsed.inputs)
    for (tensor, typed), same in zip(read.head.tensors, parsed.inputs, strict=True):
        assert pb.InferTensorContents.FromString(bytes(typed)) == same.contents
        rest = pb.ModelInferRequest.InferInputTensor.FromString(same.SerializeToString())
        rest.ClearField("contents")
        assert tensor == rest
    head = pb.ModelInferRequest.FromString(parsed.SerializeToString())
    head.ClearField("inputs")
    head.ClearField("raw_input_contents")
    assert read.head.message == head


@given(requests)
def test_a_request_is_read_as_the_generated_parser_reads_it(message: pb.ModelInferRequest) -> None:
    agrees(InferRequest.read(message.SerializeToString()), message)


@given(requests, st.data())
def test_a_damaged_request_is_refused_or_read_as_the_generated_parser_reads_it(
    message: pb.ModelInferRequest, data: st.DataObject
) -> None:
    raw = bytearray(message.SerializeToString() or b"\0")
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        read = InferRequest.read(damaged)
        for _, typed in read.head.tensors:
            pb.InferTensorContents.FromString(bytes(typed))  # these are parsed when they are used
    except (Malformed, DecodeError):
        return
    agrees(read, pb.ModelInferRequest.FromString(damaged))


@given(st.binary(max_size=60))
def test_any_bytes_are_split_or_refused(raw: bytes) -> None:
    try:
        rest, taken = take_out(memoryview(raw), 58)
    except Malformed:
        return
    assert sum(map(len, (*rest, *taken))) <= len(raw)


def test_contents_that_come_in_pieces_are_joined() -> None:
    kind = pb.ModelInferRequest.InferInputTensor
    pieces = [
        kind(contents=pb.InferTensorContents(fp32_contents=[value])).SerializeToString()
        for value in (1.0, 2.0)
    ]
    tensor = kind(name="x", datatype="FP32", shape=[2]).SerializeToString() + b"".join(pieces)
    message = b"\x2a" + bytes([len(tensor)]) + tensor
    (sent,) = InferRequest.read(message).inputs()
    assert sent.array(DATATYPES["FP32"], "input 'x'").tolist() == [1.0, 2.0]


def test_a_raw_tensor_is_a_view_of_the_message() -> None:
    array = np.arange(6, dtype=np.float32)
    message = pb.ModelInferRequest(raw_input_contents=[array.tobytes()])
    message.inputs.add(name="x", datatype="FP32", shape=[2, 3])
    raw = message.SerializeToString()
    (sent,) = InferRequest.read(raw).inputs()
    found = sent.array(DATATYPES["FP32"], "input 'x'")
    assert np.shares_memory(found, np.frombuffer(raw, np.uint8))
    assert found.tolist() == array.reshape(2, 3).tolist()


def test_packed_floats_are_a_view_of_the_message() -> None:
    message = pb.ModelInferRequest()
    tensor = message.inputs.add(name="x", datatype="FP32", shape=[3])
    tensor.contents.fp32_contents.extend([1, 2, 3])
    raw = message.SerializeToString()
    (sent,) = InferRequest.read(raw).inputs()
    found = sent.array(DATATYPES["FP32"], "input 'x'")
    assert np.shares_memory(found, np.frombuffer(raw, np.uint8))
    assert found.tolist() == [1, 2, 3]


def test_a_response_is_what_the_generated_parser_expects() -> None:
    big = np.arange(300, dtype=np.float32).reshape(3, 100)
    answer = Answer(
        "m",
        "2",
        [
            Output("y", DATATYPES["FP32"], big),
            Output("e", DATATYPES["INT8"], np.zeros((0, 2), np.int8)),
        ],
    )
    response = pb.ModelInferResponse.FromString(write_response(answer, "id 7"))
    assert (response.model_name, response.model_version, response.id) == ("m", "2", "id 7")
    assert [(out.name, out.datatype, list(out.shape)) for out in response.outputs] == [
        ("y", "FP32", [3, 100]),
        ("e", "INT8", [0, 2]),
    ]
    assert list(response.raw_output_contents) == [big.tobytes(), b""]


def request(typed: bool, raws: int) -> InferRequest:
    """A request for two inputs."""
    message = pb.ModelInferRequest(raw_input_contents=[b"\0\0\0\0"] * raws)
    for name in ("a", "b"):
        tensor = message.inputs.add(name=name, datatype="FP32", shape=[1])
        if typed:
            tensor.contents.fp32_contents.append(1)
    return InferRequest.read(message.SerializeToString())


def test_raw_and_typed_contents_together_are_refused() -> None:
    with pytest.raises(
        InvalidArgument, match=r"input 'a': its elements come twice, in contents and"
    ):
        request(typed=True, raws=2).inputs()


def test_raw_contents_for_some_inputs_only_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"the request has 2 inputs and 1 raw contents"):
        request(typed=False, raws=1).inputs()
