"""What NumPy's numbers and arrays look like in YAML, where Python writes how to make them again.

Keras 1 leaves them in architectures: the width of a Flatten, the slope of an activation. Nothing is
made but plain numbers and lists of them.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import numpy as np
import yaml

NUMBER = re.compile("[<>|=][biuf][1248]")


def _binary(loader: Any, node: Any) -> str:
    """Bytes, as a string of as many characters: JSON has no bytes."""
    return base64.b64decode(loader.construct_scalar(node)).decode("latin-1")


def _nothing(loader: Any, node: Any) -> None:
    del loader, node


def _dtype(loader: Any, node: Any) -> str:
    """``<f4`` and the like."""
    made = loader.construct_mapping(node, deep=True)
    return f"{made['state'][1]}{made['args'][0]}"


def _scalar(loader: Any, node: Any) -> Any:
    dtype, data = loader.construct_sequence(node, deep=True)
    return _numbers(dtype, (), data)


def _array(loader: Any, node: Any) -> Any:
    _, shape, dtype, is_fortran, data = loader.construct_mapping(node, deep=True)["state"]
    if is_fortran:
        raise ValueError("an array whose axes are stored in reverse")
    return _numbers(dtype, shape, data)


def _numbers(dtype: Any, shape: Any, data: Any) -> Any:
    if not NUMBER.fullmatch(dtype):
        raise ValueError(f"an array of dtype {dtype!r}")
    return np.frombuffer(data.encode("latin-1"), dtype).reshape(shape).tolist()


_MULTIARRAY = "python/object/apply:numpy.core.multiarray."
CONSTRUCTORS = {
    "binary": _binary,
    "python/name:numpy.ndarray": _nothing,
    "python/object/apply:numpy.dtype": _dtype,
    f"{_MULTIARRAY}_reconstruct": _array,
    f"{_MULTIARRAY}scalar": _scalar,
}
"""What makes plain values of a tag."""


def register(loader: type[yaml.SafeLoader], prefix: str) -> None:
    """Teaches a loader these tags."""
    for tag, constructor in CONSTRUCTORS.items():
        loader.add_constructor(f"{prefix}{tag}", constructor)
