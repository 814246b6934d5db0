"""Where arrays live: NumPy, or CuPy on a CUDA device. The one place that imports CuPy."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from .errors import MissingExtra, UsageError


def array_module(device: str = "cpu") -> Any:
    """The module that makes arrays on ``device``: "cpu", or "cuda" with or without ":INDEX".

    Raises:
        MissingExtra: CuPy is not installed.
        UsageError: no such device.
    """
    kind, _, index = device.partition(":")
    if kind == "cpu" and not index:
        return np
    if kind != "cuda" or not (index or "0").isdigit():
        raise UsageError(f"device {device!r}: use cpu, cuda or cuda:INDEX")
    try:
        cupy = importlib.import_module("cupy")
    except ImportError:
        raise MissingExtra(f"device {device!r}", "gpu") from None
    cupy.cuda.Device(int(index or 0)).use()
    return cupy


def to_numpy(array: Any) -> Any:
    """The array in the host's memory."""
    return array.get() if hasattr(array, "get") else array
