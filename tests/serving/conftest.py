"""One server for all tests that only ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from cortex.serving.datatypes import DATATYPES
from cortex.serving.server import Server

from .repositories import FLOAT, dense, identity, single
from .running import running

KINDS = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BF16": TensorProto.BFLOAT16,
    "BYTES": TensorProto.STRING,
}
assert KINDS.keys() == DATATYPES.keys()


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of every trait; ``dense`` has two versions, ``broken`` does not pass its check."""
    root = tmp_path_factory.mktemp("models")
    dense(root)
    dense(root, version_policy="all")
    dense(root, "broken", wrong="scores")
    for name, kind in KINDS.items():
        identity(root, f"same-{name.lower()}", kind)
    identity(root, "fixed", FLOAT, (2, 3))
    add = helper.make_node("Add", ["a", "b"], ["sum"])
    pair = [("a", FLOAT, ("N", "T")), ("b", FLOAT, ("N", "T"))]
    single(root, "two", pair, [("sum", FLOAT, ("N", "T"))], [add])
    gather = helper.make_node("Gather", ["table", "i"], ["row"])
    table = {"table": np.arange(10, dtype=np.float32).reshape(5, 2)}
    index, row = ("i", TensorProto.INT64, ("N",)), ("row", FLOAT, ("N", 2))
    single(root, "table", [index], [row], [gather], table)
    identity(root, "picture", FLOAT, ("N", 4, 6, 3))
    identity(root, "picture-first", TensorProto.UINT8, ("N", 1, 4, 6))
    return root


@pytest.fixture(scope="session")
def server(repository: Path) -> Iterator[Server]:
    """Serves ``repository``."""
    with running(repository) as server:
        yield server
