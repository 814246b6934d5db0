"""Outputs told as their best classes, as Triton's classification extension has it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .datatypes import BF16, BYTES
from .errors import InvalidArgument
from .model import Output
from .tensors import Array, objects

MOST = 1_000_000  # strings in an answer: each is a Python object


def classified(
    outputs: Sequence[Output], counts: Mapping[str, int], labels: Mapping[str, Sequence[str]]
) -> list[Output]:
    """The ``outputs``, those named in ``counts`` as BYTES: their so many highest values.

    Each element is ``value:index`` or, where the class has one of ``labels``, which are given by
    output, ``value:index:label``. The rows of axis 0 are told apart, whatever axes follow taken as
    one; an output of one axis is one row. The shape is [rows, count] or [count], with no more
    classes than there are; the highest stand first, of equal ones that of the lower index.

    Raises:
        InvalidArgument: a count is not positive, or the output does not consist of numbers.
    """
    return [
        _classes(output, counts[output.name], labels.get(output.name, ()))
        if output.name in counts
        else output
        for output in outputs
    ]


def _classes(output: Output, count: int, labels: Sequence[str]) -> Output:
    what = f"output {output.name!r}"
    if count < 1:
        raise InvalidArgument(f"{what}: its classification is {count}; at least 1 is needed")
    if output.datatype is BYTES:
        raise InvalidArgument(f"{what}: strings have no order; it cannot be classified")
    values = _widened(output.array) if output.datatype is BF16 else output.array
    shape = values.shape if values.ndim > 1 else (1, values.size)
    rows = values.reshape(shape[0], math.prod(shape[1:]))
    count = min(count, rows.shape[1])
    if (asked := len(rows) * count) > MOST:
        raise InvalidArgument(f"{what}: {asked} classes are asked for, {MOST} at most are told")
    told = [line for row in rows for line in _best(row, count, labels)]
    return Output(output.name, BYTES, objects(told).reshape((len(rows), count)[values.ndim < 2 :]))


def _best(row: Array, count: int, labels: Sequence[str]) -> Iterator[str]:
    # Reversed twice, so that of equal values the first stays the first.
    order = len(row) - 1 - np.argsort(row[::-1], kind="stable")[::-1][:count]
    for index in order.tolist():
        value = row[index].item()
        line = f"{value:f}:{index}" if isinstance(value, float) else f"{int(value)}:{index}"
        yield f"{line}:{labels[index]}" if index < len(labels) else line


def _widened(bits: Array) -> Array:
    """BF16, of which numpy knows the bits alone, as FP32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
