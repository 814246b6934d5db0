"""The arrays of a network in half precision, each made when it is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..runtime.errors import Unsupported
from ..runtime.network import Network
from .deferred import Array, Deferred

LARGEST = float(np.finfo(np.float16).max)


def halved(network: Network) -> Network:
    """The same network with every float array as float16; others stay as they are.

    Raises:
        Unsupported: when an array is read that has numbers beyond float16, by its name.
    """
    arrays = {name: _halved(name, array) for name, array in network.parameters.items()}
    return Network(network.graph, arrays)


def _halved(name: str, array: Any) -> Any:
    """An array in memory or still in its file."""
    if array.dtype.kind != "f":
        return array

    def change(values: Array) -> Array:
        try:
            with np.errstate(over="raise"):
                return values.astype(np.float16)
        except FloatingPointError:
            raise Unsupported(
                f"array {name!r} holds numbers beyond {LARGEST:g}, where float16 ends: leave "
                "--precision float16 out"
            ) from None

    return array.map(change) if isinstance(array, Deferred) else change(np.asarray(array))
