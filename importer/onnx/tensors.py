"""The arrays of an ONNX file: what they say of their size is checked before memory is taken."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ...runtime.errors import UnreadableFile, Unsupported
from ...runtime.files import regular
from ..deferred import Deferred

Array = NDArray[Any]

TYPED: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.INT32: "int32_data",
    TensorProto.INT64: "int64_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.BOOL: "int32_data",
    TensorProto.INT8: "int32_data",
    TensorProto.UINT8: "int32_data",
    TensorProto.INT16: "int32_data",
    TensorProto.UINT16: "int32_data",
    TensorProto.FLOAT16: "int32_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
}
"""The types that are read, and the field that holds their elements where that is no raw bytes."""
MOST_AXES = 32


def deferred(tensor: TensorProto, path: Path) -> Deferred:
    """An array, which stays where it is; ``path`` is the model's file.

    Raises:
        UnreadableFile: it lies about its size, or lies outside of the model's folder.
        Unsupported: its elements are of a type that is not read.
    """
    what = f"{path}: the array {tensor.name!r}"
    if tensor.data_type not in TYPED:
        name = _type_name(tensor.data_type)
        raise Unsupported(f"{what}: its elements are {name}, which is not supported")
    dtype, shape = helper.tensor_dtype_to_np_dtype(tensor.data_type), tuple(tensor.dims)
    if len(shape) > MOST_AXES or any(n < 0 for n in shape):
        raise UnreadableFile(f"{what}: its shape is {shape[:MOST_AXES]}")
    if tensor.data_location == TensorProto.EXTERNAL:
        return _external(tensor, path, what, shape, dtype)
    elements = math.prod(shape)
    if tensor.HasField("raw_data"):
        found, wanted = len(tensor.raw_data), elements * dtype.itemsize
    else:
        found, wanted = len(getattr(tensor, TYPED[tensor.data_type])), elements
    if found != wanted:
        raise UnreadableFile(f"{what}: a shape of {shape} with {found} bytes or elements")
    return Deferred(tensor.name, shape, dtype, lambda: numpy_helper.to_array(tensor))


def here(tensor: TensorProto, path: Path) -> Array:
    """An array in memory."""
    return np.asarray(deferred(tensor, path))


def _type_name(number: int) -> str:
    return (
        TensorProto.DataType.Name(number)
        if number in TensorProto.DataType.values()
        else f"type {number}"
    )


def _external(
    tensor: TensorProto, path: Path, what: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Deferred:
    """An array in a file beside the model's."""
    file, offset, length = place(tensor, path)
    wanted = math.prod(shape) * dtype.itemsize
    size = file.stat().st_size
    if length not in (None, wanted) or offset + wanted > size:
        raise UnreadableFile(
            f"{what}: {wanted} bytes for its shape {shape}, {length} given, from {offset} on of "
            f"the {size} in {file.name}"
        )
    little = dtype.newbyteorder("<")

    def read() -> Array:
        mapped = np.memmap(file, np.uint8, "r", offset, (wanted,)) if wanted else np.empty(0, "u1")
        return mapped.view(np.ndarray).view(little).reshape(shape)

    return Deferred(tensor.name, shape, dtype, read)


def place(tensor: TensorProto, path: Path) -> tuple[Path, int, int | None]:
    """(file, offset, length) of an array that lies beside the model.

    Raises:
        UnreadableFile: outside of the model's folder, or nowhere.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location, length = entries.get("location", ""), entries.get("length")
    folder = path.parent.resolve()
    try:
        file = folder / location
        inside = ".." not in Path(location).parts and file.resolve().is_relative_to(folder)
        offset = int(entries.get("offset", 0))
        if inside and offset >= 0 and file != folder:
            return regular(file), offset, None if length is None else int(length)
    except (ValueError, OSError):  # no numbers, or a name that no file can have
        pass
    raise UnreadableFile(
        f"{path}: the array {tensor.name!r}: it is said to lie in {location!r}, "
        "which is no place in the model's folder"
    )
