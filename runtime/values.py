"""Where the values of a plan lie: views share, dead ones make room, some are written in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from .ir import Graph, Node, Types
from .memory import FOREVER, Arena, Buffer
from .tensor import STRING


def allocate(
    graph: Graph,
    types: Types,
    stored: Mapping[str, Any],
    kept: Collection[str],
    reuse: bool,
    is_view: Callable[[Node], bool],
    xp: Any,
) -> Mapping[str, Any]:
    """An array for every value.

    ``stored`` is the dtype of each float. ``kept`` values, and the inputs, are never written
    over; ``reuse`` false keeps all.
    Strings are objects, which no stretch of bytes can hold: they have arrays of their own.
    """
    numbers = {name: tensor for name, tensor in types.items() if tensor.dtype != STRING}
    dtypes = {name: xp.dtype(stored.get(name, tensor.dtype)) for name, tensor in numbers.items()}
    sizes = dict.fromkeys(types, 0) | {
        name: math.prod(tensor.sizes) * dtypes[name].itemsize for name, tensor in numbers.items()
    }
    buffers = _buffers(graph, types, sizes, kept, reuse, is_view)
    arena = Arena(xp, dict.fromkeys(buffers.values()))
    texts = {
        buffers[name]: np.full(math.prod(types[name].sizes), "", object)
        for name in types.keys() - numbers.keys()
    }
    return {
        name: arena.array(buffers[name], tensor.sizes, dtypes[name])
        if name in numbers
        else texts[buffers[name]].reshape(tensor.sizes)
        for name, tensor in types.items()
    }


def _buffers(
    graph: Graph,
    types: Types,
    sizes: Mapping[str, int],
    kept: Collection[str],
    reuse: bool,
    is_view: Callable[[Node], bool],
) -> Mapping[str, Buffer]:
    written = {value for node in graph.nodes for value in graph.values(node)}
    buffers = {name: Buffer(sizes[name], 0, FOREVER) for name in types if name not in written}
    last = _last_uses(graph, kept)
    for time, node in enumerate(graph.nodes):
        for value in graph.values(node):
            life = last[value] if reuse else FOREVER
            shared = buffers[node.inputs[0]] if is_view(node) else None
            if shared is None and reuse and value == node.name:
                shared = _overwritten(node, time, types, buffers)
            if shared is None:
                buffers[value] = Buffer(sizes[value], time, max(life, time))
            else:  # a view comes before the last use of what it shares with
                shared.last = max(shared.last, life)
                buffers[value] = shared
    return buffers


def _last_uses(graph: Graph, kept: Collection[str]) -> dict[str, int]:
    """When each value is read for the last time under its own name."""
    last = {value: -1 for node in graph.nodes for value in graph.values(node)}
    for time, node in enumerate(graph.nodes):
        for value in node.inputs:
            last[value] = time
    return last | dict.fromkeys(kept, FOREVER)


def _overwritten(
    node: Node, time: int, types: Types, buffers: Mapping[str, Buffer]
) -> Buffer | None:
    """The memory of an input that nothing needs after this node and that it reads only once."""
    for i in node.op.overwrites:
        if i >= len(node.inputs) or types.get(node.inputs[i]) != types[node.name]:
            continue
        buffer = buffers[node.inputs[i]]
        readers = sum(buffers.get(value) is buffer for value in node.inputs)
        if buffer.last == time and readers == 1:
            return buffer
    return None
