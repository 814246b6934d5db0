"""What an ONNX model takes: its inputs, and names for the sizes it leaves open."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ValueInfoProto, helper

from ...runtime.errors import Unsupported, UsageError
from ...runtime.tensor import STRING, Size, Tensor
from .tensors import MOST_AXES
from .weights import DTYPES

BATCH = "N"
"""What the graph calls the batch."""


def input_types(inputs: Sequence[ValueInfoProto]) -> list[Tensor]:
    """The types of the inputs. The batch is called N; other open sizes keep their names.

    It is the size whose name says so, or else the first axis of the first input that leaves it
    open.

    Raises:
        Unsupported: an input that is no tensor of numbers with axes.
    """
    shapes = [_shape(value) for value in inputs]
    batch = _batch(shapes)
    return [
        Tensor(_sizes(value, shape, batch), _dtype(value))
        for value, shape in zip(inputs, shapes, strict=True)
    ]


def fixed(
    types: Sequence[Tensor], names: Sequence[str], shapes: Mapping[str, tuple[int, ...]]
) -> list[Tensor]:
    """The types of the inputs ``names``, with given sizes for those they leave open.

    Raises:
        UsageError: a shape that no input has.
    """
    wanted = {names[0]: shapes[""]} if len(names) == 1 and "" in shapes else shapes
    if unknown := wanted.keys() - set(names):
        raise UsageError(f"--input-shape: no input is called {min(unknown)!r}, there are {names}")
    found: list[Tensor] = []
    for name, tensor in zip(names, types, strict=True):
        shape = tuple(wanted.get(name, tensor.shape[1:]))
        if len(shape) != tensor.rank - 1 or any(
            n != m for n, m in zip(shape, tensor.shape[1:], strict=True) if isinstance(m, int)
        ):
            raise UsageError(f"--input-shape: {name!r} is {tensor.shape[1:]}, not {shape}")
        found.append(Tensor((tensor.shape[0], *shape), tensor.dtype))
    return found


def _sizes(value: ValueInfoProto, shape: Sequence[Size], batch: str) -> tuple[Size, ...]:
    return tuple(_size(n, f"{value.name}_{axis}", batch) for axis, n in enumerate(shape))


def _shape(value: ValueInfoProto) -> tuple[Size, ...]:
    """The sizes, those without number or name by their axis: "0" is a first one."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        raise Unsupported(f"input {value.name!r}: it is no tensor of known axes")
    if len(tensor.shape.dim) > MOST_AXES:
        raise Unsupported(f"input {value.name!r}: its {len(tensor.shape.dim)} axes are too many")
    if not tensor.shape.dim:
        raise Unsupported(f"input {value.name!r}: it has no axes")
    sizes = tuple(
        size.dim_value
        if size.dim_value > 0
        else size.dim_param
        if re.search(r"\w", size.dim_param)  # some write "?" for each
        else UNNAMED[axis > 0]
        for axis, size in enumerate(tensor.shape.dim)
    )
    if any(size.HasField("dim_value") and not size.dim_value for size in tensor.shape.dim):
        raise Unsupported(f"input {value.name!r}: it holds nothing")
    return sizes


UNNAMED = ("(first)", "(other)")


def _batch(shapes: Sequence[tuple[Size, ...]]) -> str:
    named = [n for shape in shapes for n in shape if isinstance(n, str)]
    says = (n for n in named if "batch" in n.lower())
    first = (shape[0] for shape in shapes if isinstance(shape[0], str))
    return next(says, next(first, UNNAMED[0]))


def _size(size: Size, place: str, batch: str) -> Size:
    if isinstance(size, int):
        return size
    if size == batch or (size == UNNAMED[0] and batch in UNNAMED):
        return BATCH
    name = re.sub(r"\W", "_", place if size in UNNAMED else size, flags=re.ASCII)
    return f"size_{name}" if name == BATCH or not name.isidentifier() else name


def _dtype(value: ValueInfoProto) -> str:
    name = _element(value)
    if name not in DTYPES:
        raise Unsupported(f"input {value.name!r}: its elements are {name}")
    return DTYPES[name]


def _element(value: ValueInfoProto) -> str:
    try:
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    except KeyError:
        return "of no known type"
    return dtype.name


def element_types(inputs: Sequence[ValueInfoProto]) -> Mapping[str, np.dtype[Any]]:
    """What the elements of inputs of any type are.

    Raises:
        Unsupported: one is no type of NumPy's.
    """
    found: dict[str, np.dtype[Any]] = {}
    for value in inputs:
        name = _element(value)
        if name != "object" and name not in np.sctypeDict:
            raise Unsupported(f"input {value.name!r}: its elements are {name}")
        found[value.name] = np.dtype(name)
    return found


def near_types(inputs: Sequence[ValueInfoProto]) -> Mapping[str, Tensor]:
    """The types of inputs of any type: each the nearest that the graph has."""
    nearest = {"f": "float", "i": "int64", "u": "int64", "b": "bool", "O": STRING}
    kinds = element_types(inputs)
    shapes = [_shape(value) for value in inputs]
    batch = _batch(shapes)
    return {
        value.name: Tensor(_sizes(value, shape, batch), nearest[kinds[value.name].kind])
        for value, shape in zip(inputs, shapes, strict=True)
    }
