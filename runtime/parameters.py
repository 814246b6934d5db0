"""Where a plan finds its parameters: one flat vector to train, or arrays to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .errors import GraphError
from .ir import Graph
from .op import Step
from .tensor import Param

Array = Any
Allocate = Callable[[tuple[int, ...], Any], Array]


class Parameters:
    """Every parameter of a graph in one flat vector, trainable ones first, with a view per name.

    All plans of one dtype and device share it. Gradients and the state of an optimiser are vectors
    of the same layout: ``views`` names their parts. Frozen parameters keep their place, so
    unfreezing moves nothing.
    """

    def __init__(
        self, graph: Graph, arrays: Mapping[str, Any], dtype: Any = np.float32, xp: Any = np
    ) -> None:
        self.dtype = xp.dtype(dtype)
        self.specs = dict(sorted(graph.parameters.items(), key=lambda p: not p[1].trainable))
        self.size = sum(spec.size for spec in self.specs.values())
        self.trainable = sum(spec.size for spec in self.specs.values() if spec.trainable)
        self._xp = xp
        self.flat: Array = xp.empty(self.size, self.dtype)
        self.of = self.views(self.flat)
        for name, spec in self.specs.items():
            self.of[name][...] = xp.asarray(matching(name, spec, arrays))

    def views(self, vector: Array) -> Mapping[str, Array]:
        """The parts of a vector of the same layout; one of length ``trainable`` has no state."""
        views: dict[str, Array] = {}
        offset = 0
        for name, spec in self.specs.items():
            if offset + spec.size > vector.size:
                break
            views[name] = vector[offset : offset + spec.size].reshape(spec.shape)
            offset += spec.size
        return views

    def gradient(self) -> Array:
        """A fresh gradient: a zero for every trainable element."""
        return self._xp.zeros(self.trainable, self.dtype)

    def bind(
        self, names: Mapping[str, str], take: Allocate
    ) -> tuple[Mapping[str, Array], Step | None]:
        """A node's parameters by local name, and nothing to do before it runs."""
        return {local: self.of[name] for local, name in names.items()}, None


class Weights:
    """Parameters to run with but not to train: arrays as they are, mapped from a file or not.

    Those of another dtype than the plan's are cast node by node, as the plan runs, into memory that
    the nodes share: a float64 check of a large network never holds it all in float64.
    """

    def __init__(
        self, graph: Graph, arrays: Mapping[str, Any], dtype: Any = np.float32, xp: Any = np
    ) -> None:
        self.dtype = xp.dtype(dtype)
        self.of = {
            name: xp.asarray(matching(name, spec, arrays))
            for name, spec in graph.parameters.items()
        }

    def bind(
        self, names: Mapping[str, str], take: Allocate
    ) -> tuple[Mapping[str, Array], Step | None]:
        """A node's parameters by local name, and the step that casts them first, if one must.

        ``take`` gives memory that lasts for the node's turn.
        """
        sources = {local: self.of[name] for local, name in names.items()}
        if all(array.dtype == self.dtype for array in sources.values()):
            return sources, None
        arrays = {local: take(array.shape, self.dtype) for local, array in sources.items()}

        def cast() -> None:
            for local, array in arrays.items():
                array[...] = sources[local]

        return arrays, cast


def matching(name: str, spec: Param, arrays: Mapping[str, Any]) -> Any:
    """The array called ``name``.

    Raises:
        GraphError: there is none, or it has another shape.
    """
    if name not in arrays:
        raise GraphError(f"parameter {name!r}: no array of that name was given")
    found = tuple(arrays[name].shape)
    if found != spec.shape:
        raise GraphError(
            f"parameter {name!r}: its shape is {found}, the network needs {spec.shape}"
        )
    return arrays[name]
