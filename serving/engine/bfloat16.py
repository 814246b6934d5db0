"""Runs of models that take or give BF16, which numpy has not: its 16 bits go as they are."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..datatypes import BF16
from ..tensors import Array

ELEMENT = 16  # ONNX's number of the type
NAME = BF16.onnx


def run_bits(
    session: Any, outputs: Sequence[str], feeds: Mapping[str, Array], options: Any
) -> list[Array]:
    """As ``session.run``, with BF16 in and out as arrays of uint16."""
    from onnxruntime import OrtValue

    kinds = {value.name: value.type for value in session.get_inputs()}
    values = {
        name: OrtValue.ortvalue_from_numpy_with_onnx_type(array, ELEMENT)
        if kinds[name] == NAME
        else OrtValue.ortvalue_from_numpy(array)
        for name, array in feeds.items()
    }
    found: Any = session.run_with_ort_values(outputs, values, options)
    return [array_of(value) for value in found]


def array_of(value: Any) -> Array:
    """An output as an array: a view, of BF16 a copy.

    onnxruntime makes no array of that, through DLPack neither.
    """
    if value.data_type() != NAME:
        return value.numpy()
    shape: Sequence[int] = value.shape()
    array = np.empty(shape, np.uint16)
    if array.nbytes:
        ctypes.memmove(array.ctypes.data, value.data_ptr(), array.nbytes)
    return array
