"""Outputs told as their best classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortex.serving import classification
from cortex.serving.classification import classified
from cortex.serving.datatypes import DATATYPES
from cortex.serving.errors import InvalidArgument
from cortex.serving.model import Output

LABELS = {"y": ("cat", "dog")}

TOLD: dict[str, tuple[str, Any, int, Any]] = {
    "rows": ("FP32", [[0.5, 2, 1], [3, -1, 0]], 2, [["2:1", "1:2"], ["3:0", "0:2"]]),
    "all there are": ("FP64", [[1, 2]], 9, [["2:1", "1:0"]]),
    "one axis": ("INT32", [5, 7, 6], 1, ["7:1"]),
    "equal values": ("UINT8", [[3, 4, 4, 4]], 2, [["4:1", "4:2"]]),
    "more axes": ("INT64", [[[1, 2], [4, 3]]], 2, [["4:2", "3:3"]]),
    "truths": ("BOOL", [[False, True]], 1, [["1:1"]]),
    "no rows": ("FP32", np.empty((0, 3)), 2, np.empty((0, 2))),
    "no classes": ("FP32", np.empty((2, 0)), 2, np.empty((2, 0))),
    "no axis": ("FP32", np.float32(2), 1, ["2:0"]),
}


@pytest.mark.parametrize(("datatype", "values", "count", "expected"), TOLD.values(), ids=TOLD)
def test_the_highest_values_are_told(datatype: str, values: Any, count: int, expected: Any) -> None:
    kind = DATATYPES[datatype]
    output = Output("y", kind, np.array(values, kind.dtype))
    (found,) = classified([output], {"y": count}, {})
    assert found.datatype.name == "BYTES"
    told = [line.replace(".000000", "") for line in found.array.reshape(-1)]
    assert np.array(told).reshape(found.array.shape).tolist() == np.array(expected).tolist()


def test_bf16_is_told_by_value_and_classes_by_label() -> None:
    bits = Output("y", DATATYPES["BF16"], np.array([[0x3F80, 0xC000, 0x4000]], np.uint16))
    other = Output("z", DATATYPES["FP32"], np.ones((1, 3), np.float32))
    found = classified([bits, other], {"y": 3}, LABELS)
    assert found[0].array.tolist() == [["2.000000:2", "1.000000:0:cat", "-2.000000:1:dog"]]
    assert found[1] is other


@pytest.mark.parametrize(
    ("datatype", "count", "message"),
    [
        ("FP32", -1, "output 'y': its classification is -1; at least 1 is needed"),
        ("BYTES", 1, "output 'y': strings have no order; it cannot be classified"),
        ("FP32", 3, "output 'y': 6 classes are asked for, 5 at most are told"),
    ],
)
def test_what_has_no_classes_is_refused(
    monkeypatch: pytest.MonkeyPatch, datatype: str, count: int, message: str
) -> None:
    monkeypatch.setattr(classification, "MOST", 5)
    output = Output("y", DATATYPES[datatype], np.zeros((2, 3), DATATYPES[datatype].dtype))
    with pytest.raises(InvalidArgument) as error:
        classified([output], {"y": count}, {})
    assert str(error.value) == message
