"""The datatypes of the Open Inference Protocol: how each is called, held and sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..runtime.errors import Unsupported


@dataclass(frozen=True, slots=True)
class Datatype:
    """One datatype.

    ``dtype`` is what numpy holds its elements in: for BF16, which numpy has not, their 16 bits; for
    BYTES objects. ``onnx`` is onnxruntime's name of it. ``field`` is the field of
    ``InferTensorContents`` that may carry it instead of raw bytes; empty if none may.
    """

    name: str
    dtype: np.dtype[Any]
    onnx: str
    field: str = ""


DATATYPES = {
    name: Datatype(name, np.dtype(dtype), f"tensor({onnx})", field)
    for name, dtype, onnx, field in (
        ("BOOL", "?", "bool", "bool_contents"),
        ("UINT8", "u1", "uint8", "uint_contents"),
        ("UINT16", "<u2", "uint16", "uint_contents"),
        ("UINT32", "<u4", "uint32", "uint_contents"),
        ("UINT64", "<u8", "uint64", "uint64_contents"),
        ("INT8", "i1", "int8", "int_contents"),
        ("INT16", "<i2", "int16", "int_contents"),
        ("INT32", "<i4", "int32", "int_contents"),
        ("INT64", "<i8", "int64", "int64_contents"),
        ("FP16", "<f2", "float16", ""),
        ("FP32", "<f4", "float", "fp32_contents"),
        ("FP64", "<f8", "double", "fp64_contents"),
        ("BF16", "<u2", "bfloat16", ""),
        ("BYTES", "O", "string", "bytes_contents"),
    )
}
BYTES = DATATYPES["BYTES"]
BF16 = DATATYPES["BF16"]
_BY_ONNX = {datatype.onnx: datatype for datatype in DATATYPES.values()}


def of_onnx(name: str) -> Datatype:
    """The datatype that onnxruntime calls ``name``, such as ``tensor(float)``.

    Raises:
        Unsupported: the protocol has no such datatype.
    """
    datatype = _BY_ONNX.get(name)
    if datatype is None:
        raise Unsupported(f"{name} is no datatype of the Open Inference Protocol")
    return datatype


def of_element(kind: int) -> Datatype:
    """The datatype of an element type of ONNX; raises as ``of_onnx``."""
    from onnx import TensorProto

    return of_onnx(f"tensor({TensorProto.DataType.Name(kind).lower()})")
