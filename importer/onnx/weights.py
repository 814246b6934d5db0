"""What the network stores: the arrays of the file, each once however often it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...runtime import ops
from ...runtime.errors import Unsupported
from ...runtime.ir import Node
from ...runtime.op import Operation
from ..builder import Builder, Value
from .known import Known

Array = NDArray[Any]
Change: TypeAlias = Callable[[Array], Array]

DTYPES = {"float32": "float", "int32": "int32", "int64": "int64", "bool": "bool"}
MOST_LITERAL = 4096
"""Elements of integers that stand in the graph; more are stored as floats and cast."""
LARGEST_EXACT = 1 << 24
"""Up to here a float32 is any whole number."""


@dataclass
class Weights:
    """What the network stores, each array once however often it is used."""

    builder: Builder
    _names: dict[tuple[int, str], str] = field(default_factory=dict[tuple[int, str], str])
    _constants: dict[int, Value] = field(default_factory=dict[int, Value])
    _kept: list[Known] = field(default_factory=list[Known])
    """So that nothing else gets their identity."""

    def name(self, known: Known, fallback: str, change: Change | None = None, how: str = "") -> str:
        """The parameter that the array is, changed in the way that ``how`` names."""
        key = (id(known), how)
        if key not in self._names:
            stored = known.stored(fallback)
            if stored.dtype != np.float32:
                raise Unsupported(f"weights of {stored.dtype} are not supported")
            free, number = stored.name, 1
            while free in self.builder.parameters or free in self.builder.inputs:
                number += 1
                free = f"{stored.name}.{number}"
            self.builder.parameters[free] = stored.map(change) if change else stored
            self._names[key] = free
            self._kept.append(known)
        return self._names[key]

    def constant(self, known: Known, name: str, layer: str) -> Value:
        """The value of the graph that the array is."""
        if id(known) not in self._constants:
            self._constants[id(known)] = Value(self._constant(known, name, layer))
            self._kept.append(known)
        return self._constants[id(known)]

    def _constant(self, known: Known, name: str, layer: str) -> str:
        builder, dtype = self.builder, known.array.dtype.name
        free = builder.free_name(f"{name}/constant")

        def add(op: Operation, inputs: tuple[str, ...] = (), **params: str) -> str:
            return builder.append(Node(builder.free_name(free), op, inputs, params, layer))[0]

        if dtype not in DTYPES:
            what = "numbers that depend on open sizes" if dtype == "object" else dtype
            raise Unsupported(f"{layer!r}: a constant of {what} is not supported")
        if dtype == "float32":
            trained = known.trained and len(known.shape) > 0
            return add(ops.Constant(known.shape, trained), value=self.name(known, free))
        array = np.asarray(known.array)
        if array.size <= MOST_LITERAL:
            values = tuple(int(n) for n in array.flat)
            return add(ops.Literal(values, array.shape, DTYPES[dtype]))
        if np.abs(array.astype(np.int64)).max() > LARGEST_EXACT:
            raise Unsupported(f"{layer!r}: {array.size} large integers are not supported")
        floats = Known(array.astype(np.float32))
        constant = add(ops.Constant(array.shape), value=self.name(floats, free))
        return add(ops.Cast(DTYPES[dtype]), (constant,))
