"""Every datatype, there and back, raw and typed; and everything that does not fit."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cortex.runtime.errors import Unsupported
from cortex.serving import tensors
from cortex.serving.datatypes import BYTES, DATATYPES, Datatype, of_onnx
from cortex.serving.errors import InvalidArgument
from cortex.serving.pb import open_inference_grpc_pb2 as pb
from cortex.serving.rpc import contents

WHAT = "input 'x'"
VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False, True, True],
    "UINT8": [0, 1, 254, 255],
    "UINT16": [0, 1, 2, 2**16 - 1],
    "UINT32": [0, 1, 2, 2**32 - 1],
    "UINT64": [0, 1, 2, 2**64 - 1],
    "INT8": [-128, -1, 0, 127],
    "INT16": [-(2**15), -1, 0, 2**15 - 1],
    "INT32": [-(2**31), -1, 0, 2**31 - 1],
    "INT64": [-(2**63), -1, 0, 2**63 - 1],
    "FP16": [-1.5, 0.0, 65504.0, 2.0**-24],
    "FP32": [-1.5, 0.0, 2.0**100, 2.0**-149],
    "FP64": [-1.5, 0.0, 2.0**1000, 5e-324],
    "BF16": [0x3F80, 0, 0xFF80, 0x7FC0],  # 1, 0, -inf and a NaN, as bits
    "BYTES": [b"", b"a\0b\0", "é".encode(), b"\xff" * 300],
}
TYPED = [name for name, datatype in DATATYPES.items() if datatype.field]


def array_of(name: str, shape: Sequence[int] = (2, 2)) -> Any:
    """The values of a datatype."""
    return tensors.objects(VALUES[name]).astype(DATATYPES[name].dtype).reshape(shape)


def typed(field: str, values: Sequence[Any]) -> memoryview:
    """An InferTensorContents."""
    return memoryview(pb.InferTensorContents(**{field: values}).SerializeToString())


def same(found: Any, wanted: Any) -> bool:
    """Whether two arrays agree in everything."""
    return (
        found.dtype == wanted.dtype
        and found.shape == wanted.shape
        and bool((found == wanted).all())
    )


@pytest.mark.parametrize("name", DATATYPES)
def test_raw_bytes_there_and_back(name: str) -> None:
    datatype, array = DATATYPES[name], array_of(name)
    raw = tensors.encode(array, datatype)
    assert same(tensors.decode(memoryview(raw), datatype, array.shape, WHAT), array)


@pytest.mark.parametrize("name", TYPED)
def test_typed_contents(name: str) -> None:
    datatype = DATATYPES[name]
    found = contents.array(typed(datatype.field, VALUES[name]), datatype, (2, 2), WHAT)
    assert same(found, array_of(name))


@pytest.mark.parametrize("name", DATATYPES)
def test_no_elements(name: str) -> None:
    datatype = DATATYPES[name]
    raw = tensors.encode(np.zeros((0, 3), datatype.dtype), datatype)
    assert tensors.decode(memoryview(raw), datatype, (0, 3), WHAT).shape == (0, 3)
    if datatype.field:
        assert contents.array(memoryview(b""), datatype, (0, 3), WHAT).shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "bytes_of_one"), [("FP32", "<f"), ("INT16", "<h"), ("FP16", "<e")]
)
def test_raw_bytes_are_little_endian(name: str, bytes_of_one: str) -> None:
    raw = tensors.encode(np.array([1], DATATYPES[name].dtype), DATATYPES[name])
    assert bytes(raw) == struct.pack(bytes_of_one, 1)


def test_bytes_elements_have_their_length_before_them() -> None:
    assert tensors.encode(tensors.objects([b"ab", "é"]), BYTES) == (
        b"\2\0\0\0ab" + b"\2\0\0\0" + "é".encode()
    )


def test_a_slice_of_rows_is_sent_without_a_copy() -> None:
    array = np.arange(12, dtype=np.float32).reshape(4, 3)[1:3]
    assert np.shares_memory(np.asarray(tensors.encode(array, DATATYPES["FP32"])), array)


def test_an_array_that_is_not_contiguous_is_sent_in_c_order() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert bytes(tensors.encode(array, DATATYPES["FP32"])) == array.tobytes()


def test_floats_that_come_unpacked_are_read() -> None:
    raw = b"".join(b"\x35" + struct.pack("<f", value) for value in (1, 2))
    found = contents.array(memoryview(raw), DATATYPES["FP32"], (2,), WHAT)
    assert found.tolist() == [1, 2]


def test_true_as_a_longer_number_is_read() -> None:
    found = contents.array(memoryview(b"\x0a\x03\x81\x01\x00"), DATATYPES["BOOL"], (2,), WHAT)
    assert found.tolist() == [True, False]


RAW = {
    "too short": (
        ("FP32", b"\0" * 12, (1, 4)),
        "input 'x': FP32 of shape [1, 4] takes 16 bytes, found 12",
    ),
    "too long": (
        ("INT64", b"\0" * 16, (1,)),
        "input 'x': INT64 of shape [1] takes 8 bytes, found 16",
    ),
    "negative": (
        ("FP32", b"", (-1, 4)),
        "input 'x': a size of its shape [-1, 4] is negative",
    ),
    "overflow": (
        ("FP32", b"\0" * 4, (2**62, 2**62)),
        f"input 'x': FP32 of shape [{2**62}, {2**62}] takes {2**126} bytes, found 4",
    ),
    "no such array": (
        ("FP32", b"", (0, 2**62)),
        f"input 'x': no tensor has shape [0, {2**62}]",
    ),
    "bytes cut in an element": (
        ("BYTES", b"\5\0\0\0abc", (1,)),
        "input 'x': its last BYTES element is cut short",
    ),
    "bytes cut in a length": (
        ("BYTES", b"\0\0\0\0\5\0", (2,)),
        "input 'x': its last BYTES element is cut short",
    ),
    "too few bytes elements": (
        ("BYTES", b"\0\0\0\0", (2,)),
        "input 'x': shape [2] takes 2 elements, found 1",
    ),
}


@pytest.mark.parametrize(("sent", "message"), RAW.values(), ids=RAW)
def test_raw_bytes_that_do_not_fit(sent: tuple[str, bytes, tuple[int, ...]], message: str) -> None:
    name, raw, shape = sent
    with pytest.raises(InvalidArgument) as error:
        tensors.decode(memoryview(raw), DATATYPES[name], shape, WHAT)
    assert str(error.value) == message


CONTENTS = {
    "too few": (
        ("FP32", typed("fp32_contents", [1, 2, 3]), (1, 4)),
        "input 'x': shape [1, 4] takes 4 elements, found 3",
    ),
    "none": (
        ("INT32", typed("int_contents", []), (1,)),
        "input 'x': shape [1] takes 1 elements, found 0",
    ),
    "another field": (
        ("FP32", typed("int_contents", [1]), (1,)),
        "input 'x': FP32 goes into fp32_contents, found int_contents",
    ),
    "two fields": (
        (
            "FP32",
            memoryview(bytes(typed("fp32_contents", [1])) + bytes(typed("fp64_contents", [1]))),
            (1,),
        ),
        "input 'x': FP32 goes into fp32_contents, found fp32_contents, fp64_contents",
    ),
    "too large": (("INT8", typed("int_contents", [1, 300]), (2,)), "input 'x': 300 is no INT8"),
    "FP16": (
        ("FP16", typed("fp32_contents", [1]), (1,)),
        "input 'x': FP16 can only be sent in raw_input_contents",
    ),
    "BF16": (
        ("BF16", typed("fp32_contents", [1]), (1,)),
        "input 'x': BF16 can only be sent in raw_input_contents",
    ),
    "damaged": (
        ("INT32", memoryview(b"\x12\x02\xff\xff"), (1,)),
        "input 'x': its contents are no InferTensorContents",
    ),
    "floats cut short": (
        ("FP32", memoryview(b"\x32\x03\0\0\0"), (1,)),
        "input 'x': its contents are no InferTensorContents",
    ),
}


@pytest.mark.parametrize(("sent", "message"), CONTENTS.values(), ids=CONTENTS)
def test_typed_contents_that_do_not_fit(
    sent: tuple[str, memoryview, tuple[int, ...]], message: str
) -> None:
    name, raw, shape = sent
    with pytest.raises(InvalidArgument) as error:
        contents.array(raw, DATATYPES[name], shape, WHAT)
    assert str(error.value) == message


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"input 'x': an element is not UTF-8: b'\\xff'"):
        tensors.text(tensors.objects([b"a", b"\xff"]), WHAT)


@pytest.mark.parametrize("datatype", DATATYPES.values(), ids=DATATYPES)
def test_the_datatype_of_what_onnxruntime_declares(datatype: Datatype) -> None:
    assert of_onnx(datatype.onnx) is datatype


def test_what_the_protocol_cannot_carry_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"sequence\(tensor\(float\)\) is no datatype of the"):
        of_onnx("sequence(tensor(float))")


def test_elements_beyond_the_shape_are_not_read() -> None:
    raw = memoryview(bytes(12) + b"\xff\xff\xff\xff")  # the fourth is cut short
    with pytest.raises(InvalidArgument, match=r"shape \[2\] takes 2 elements, found 3"):
        tensors.decode(raw, BYTES, (2,), WHAT)
