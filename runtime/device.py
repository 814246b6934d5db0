"""Where arrays live: NumPy, or CuPy on a CUDA device. The one place that imports CuPy."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from .errors import CortexError, MissingExtra, UsageError


def array_module(device: str = "cpu") -> Any:
    """The module that makes arrays on ``device``: "cpu", or "cuda" with or without ":INDEX".

    "auto" is the first CUDA device if there is one that can be used, else the CPU.

    Raises:
        MissingExtra: CuPy is not installed.
        UsageError: no such device.
    """
    if device == "auto":
        try:
            return array_module("cuda")
        except CortexError:
            return np
    kind, _, index = device.partition(":")
    if kind == "cpu" and not index:
        return np
    if kind != "cuda" or not (index or "0").isdigit():
        raise UsageError(f"device {device!r}: use auto, cpu, cuda or cuda:INDEX")
    try:
        cupy = importlib.import_module("cupy")
    except ImportError:
        raise MissingExtra(f"device {device!r}", "gpu") from None
    try:
        cupy.cuda.Device(int(index or 0)).use()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise UsageError(f"device {device!r}: {error}") from None
    return cupy


def to_numpy(array: Any) -> Any:
    """The array in the host's memory."""
    return array.get() if hasattr(array, "get") else array
