"""Bodies of HTTP requests: codings, their parts, and the messages in them."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from cortex.serving.errors import InvalidArgument, RequestError, TooLarge
from cortex.serving.rest.body import MOST_VALUES, apart, parsed, plain
from cortex.serving.rest.coding import UnknownCoding, deflated, preferred
from cortex.serving.rest.schema import IndexRequest, InferRequest

LARGEST = 1000
TEXT = b"a" * LARGEST
PACKED = gzip.compress(TEXT, mtime=0)  # what names a test must not change with the time
LONGER = gzip.compress(TEXT + b"a", mtime=0)


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (PACKED, "gzip"),
        (PACKED, " GZIP "),
        (zlib.compress(TEXT), "deflate"),
        (deflated(TEXT, "gzip"), "gzip"),
        (deflated(TEXT, "deflate"), "deflate"),
    ],
)
def test_a_coding_is_undone(body: bytes, coding: str) -> None:
    assert plain(body, coding, LARGEST) == TEXT


@pytest.mark.parametrize(
    ("body", "coding", "kind", "message"),
    [
        (LONGER, "gzip", TooLarge, "larger than 1000 bytes once inflated"),
        (PACKED[:-9], "gzip", InvalidArgument, "the body is no gzip: it is cut short"),
        (PACKED * 2, "gzip", InvalidArgument, "the body is no gzip: something follows its end"),
        (b"", "gzip", InvalidArgument, "the body is no gzip: it is cut short"),
        (TEXT, "deflate", InvalidArgument, "the body is no deflate: Error -3 "),
        (PACKED, "deflate", InvalidArgument, "the body is no deflate: Error -3 "),
        (TEXT, "br", UnknownCoding, "content encoding 'br': give one of gzip, deflate"),
        (TEXT, "gzip, gzip", UnknownCoding, "content encoding 'gzip, gzip': give one of"),
    ],
)
def test_what_is_no_such_coding(
    body: bytes, coding: str, kind: type[RequestError], message: str
) -> None:
    with pytest.raises(kind) as refused:
        plain(body, coding, LARGEST)
    assert message in refused.value.message


def test_a_bomb_goes_no_further_than_the_limit() -> None:
    bomb = gzip.compress(bytes(64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            plain(bomb, "gzip", LARGEST)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("", ""),
        ("identity", ""),
        ("br", ""),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("gzip;q=0.5, deflate", "deflate"),
        ("GZIP; q=0", ""),
        ("gzip;q=x", ""),
        ("gzip;q=nan", ""),
    ],
)
def test_the_coding_a_client_likes_best(accept: str, coding: str) -> None:
    assert preferred(accept) == coding


def test_a_body_is_json_and_binary_data() -> None:
    body = b'{"a":1}\x01\x02'
    assert [bytes(part) for part in apart(body, None)] == [body, b""]
    assert [bytes(part) for part in apart(body, "7")] == [b'{"a":1}', b"\x01\x02"]
    assert [bytes(part) for part in apart(body, "0")] == [b"", body]
    for length in ("10", "-1", "x", "", "9" * 5000):
        with pytest.raises(InvalidArgument, match="inference-header-content-length is"):
            apart(body, length)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "the request is no JSON: EOF while parsing an object at line 1 column 1"),
        (b"\xff", "the request is no JSON: expected value at line 1 column 1"),
        (b"[" * 300 + b"]" * 300, "the request is no JSON: recursion limit exceeded"),
        (b"[1]", "the request: Input should be a valid dictionary or instance of InferRequest"),
        (b"{}", "the request: inputs: Field required"),
        (b'{"inputs": [{}]}', "the request: inputs.0.name: Field required"),
        (
            b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [true]}]}',
            "the request: inputs.0.shape.0: Input should be a valid integer",
        ),
        (
            b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": 1}]}',
            "the request: inputs.0.data: Input should be a valid list",
        ),
        (b'{"inputs": [], "id": 7}', "the request: id: Input should be a valid string"),
    ],
)
def test_what_is_no_request(text: bytes, message: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parsed(InferRequest, memoryview(text))
    assert refused.value.message.startswith(message)


def test_an_empty_text_is_an_empty_message() -> None:
    assert parsed(IndexRequest, memoryview(b"")) == IndexRequest()


def test_json_of_very_many_values_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(TooLarge, match="send the tensors as binary data"):
        parsed(InferRequest, memoryview(b"[" + b"0," * MOST_VALUES + b"0]"))
