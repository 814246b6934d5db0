"""Tensors as JSON has them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cortex.serving.datatypes import BF16, BYTES, DATATYPES
from cortex.serving.errors import InvalidArgument
from cortex.serving.rest.elements import array, listed
from cortex.serving.tensors import objects

TAKEN: list[tuple[str, list[int], list[Any], Any]] = [
    ("FP32", [2, 2], [1, 2.5, -3, 4], [[1, 2.5], [-3, 4]]),
    ("FP32", [2, 2], [[1, 2.5], [-3, 4]], [[1, 2.5], [-3, 4]]),
    ("FP32", [3], [math.nan, math.inf, -math.inf], [math.nan, math.inf, -math.inf]),
    ("FP32", [1], [3.4028235e38], [3.4028235e38]),
    ("FP64", [1], [1e300], [1e300]),
    ("FP32", [2, 0], [[], []], np.zeros((2, 0))),
    ("FP32", [0, 3], [], np.zeros((0, 3))),
    ("FP32", [], [7], np.float32(7)),
    ("INT8", [2], [-128, 127], [-128, 127]),
    ("UINT64", [1], [2**64 - 1], [2**64 - 1]),
    ("BOOL", [1, 2, 1], [[[True], [False]]], [[[True], [False]]]),
    ("BYTES", [2], ["a", "ü"], [b"a", "ü".encode()]),
]


@pytest.mark.parametrize(("datatype", "shape", "data", "expected"), TAKEN)
def test_what_is_taken(datatype: str, shape: list[int], data: list[Any], expected: Any) -> None:
    kind = DATATYPES[datatype]
    found = array(data, kind, shape, "x")
    assert (found.dtype, list(found.shape)) == (kind.dtype, shape)
    np.testing.assert_array_equal(found, np.array(expected, kind.dtype))


REFUSED: list[tuple[str, list[int], list[Any], str]] = [
    ("FP32", [2], [1.0], "x: shape [2] takes 2 elements, found 1"),
    ("FP32", [-1], [1.0], "x: a size of its shape [-1] is negative"),
    ("FP32", [2, 2], [[1, 2], [3]], "x: its nested lists do not have shape [2, 2]"),
    ("FP32", [2, 2], [[1, 2], 3, 4], "x: its nested lists do not have shape [2, 2]"),
    ("FP32", [2, 2], [[1, 2, 3, 4]], "x: its nested lists do not have shape [2, 2]"),
    ("FP32", [2], [1, [2]], "x: [2] is no FP32"),
    ("FP32", [1], [[1]], "x: [1] is no FP32"),
    ("FP32", [1], [None], "x: null is no FP32"),
    ("FP32", [1], [True], "x: true is no FP32"),
    ("FP32", [1], ["1"], 'x: "1" is no FP32'),
    ("FP32", [1], [{"a": 1}], 'x: {"a":1} is no FP32'),
    ("FP32", [3], [math.nan, 1, 1e39], "x: 1e+39 is no FP32"),
    ("FP64", [1], [10**400], f"x: {'1'.ljust(40, '0')} is no FP64"),
    ("INT32", [1], [1.0], "x: 1.0 is no INT32"),
    ("INT32", [1], [False], "x: false is no INT32"),
    ("INT8", [2], [5, 128], "x: 128 is no INT8"),
    ("UINT8", [2], [200, -1], "x: -1 is no UINT8"),
    ("UINT64", [1], [2**64], "x: 18446744073709551616 is no UINT64"),
    ("BOOL", [1], [1], "x: 1 is no BOOL"),
    ("BYTES", [1], [1], "x: 1 is no BYTES"),
    ("FP16", [1], [1.0], "x: FP16 can only be sent as binary data"),
    ("BF16", [1], [1.0], "x: BF16 can only be sent as binary data"),
]


@pytest.mark.parametrize(("datatype", "shape", "data", "message"), REFUSED)
def test_what_is_refused(datatype: str, shape: list[int], data: list[Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        array(data, DATATYPES[datatype], shape, "x")
    assert refused.value.message == message


def test_what_is_told() -> None:
    fp32 = np.array([[0.1, np.inf]], np.float32)
    assert listed(fp32, DATATYPES["FP32"], "y") == fp32.reshape(-1).tolist()
    assert listed(np.array([True]), DATATYPES["BOOL"], "y") == [True]
    assert listed(objects(["a", b"b"]), BYTES, "y") == ["a", "b"]


def test_what_json_has_no_place_for_is_not_told() -> None:
    with pytest.raises(InvalidArgument, match="y: an element is not UTF-8; ask for binary data"):
        listed(objects([b"\xff"]), BYTES, "y")
    for kind in (DATATYPES["FP16"], BF16):
        with pytest.raises(InvalidArgument, match=f"y: ask for {kind.name} as binary data"):
            listed(np.zeros(1, kind.dtype), kind, "y")
