"""A network as cortex saves it: one map, with a graph of nodes in it.

{:compute-graph {:nodes {id node} :edges [[from to] ...] :buffers {id {:buffer numbers}}
                 :streams {name {:channels :height :width}}}
 :traversal {...} :epoch-count n :cv-loss x ...}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

import numpy as np

from ...runtime.errors import UnreadableFile, Unsupported
from ..deferred import Array, Deferred
from .cursor import told
from .thaw import Record, as_list, as_map

GRAPH = "compute-graph"
OLDER = ("network-description", "layer-graph", "initial-description", "layers", "modules")
"""What the map of a network had before the graph."""
KNOWN = frozenset({"traversal", "epoch-count", "cv-loss", "optimizer"})
"""What else of it is looked at."""
UPGRADE = "upgrade it with cortex's model-upgrader, and save it again"
MOST_AXES = 2
MOST_NODES = 10_000
LARGEST_NUMBER = 1 << 63

Node = Mapping[str, Any]


class Dimensions(NamedTuple):
    """The shape of what a node takes or gives, as cortex has it."""

    channels: int
    height: int
    width: int

    @property
    def is_vector(self) -> bool:
        """Whether it is no image."""
        return self.channels == self.height == 1

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class Saved:
    """A network that was saved; names are those of Clojure's keywords, without the colon."""

    nodes: Mapping[str, Node]
    parents: Mapping[str, Sequence[str]]
    """The nodes whose outputs each takes, in the order it takes them."""
    streams: Mapping[str, Any]
    facts: Mapping[str, Any]
    _buffers: Mapping[str, Any]

    def in_order(self) -> Iterator[str]:
        """The nodes, each after its parents.

        Raises:
            UnreadableFile: they go in a circle.
        """
        try:
            yield from TopologicalSorter(self.parents).static_order()
        except CycleError as error:
            ring = told(" → ".join(error.args[1]))
            raise UnreadableFile(f"its nodes go in a circle: {ring}") from None

    def buffer(self, name: str) -> Deferred | None:
        """The numbers of a parameter, flat or by rows as they are stored; None if there are none.

        Raises:
            UnreadableFile: they are no numbers, or rows of different length.
        """
        data = as_map(self._buffers.get(name)).get("buffer")
        return None if data is None else _deferred(name, data)


def saved(value: Any) -> Saved:
    """What a thawed file says.

    Raises:
        UnreadableFile: it is no network.
        Unsupported: it is one of an older cortex.
    """
    if isinstance(value, Record):
        raise Unsupported(f"it holds a record of {value.name}; {UPGRADE}")
    if not isinstance(value, dict):
        raise UnreadableFile("it holds no network: it is no map")
    facts = _texts(as_map(value))
    if GRAPH not in facts:
        if any(key in facts for key in OLDER):
            raise Unsupported(f"it was saved by an older cortex; {UPGRADE}")
        raise UnreadableFile(f"it holds no network: its map has no :{GRAPH}")
    graph = _map(facts, GRAPH)
    nodes = {name: _node(name, node) for name, node in _map(graph, "nodes").items()}
    if not nodes:
        raise UnreadableFile("its network has no nodes")
    if len(nodes) > MOST_NODES:
        raise UnreadableFile(f"its network has {len(nodes):,} nodes, more than {MOST_NODES:,}")
    rest = {key: value for key, value in facts.items() if key != GRAPH}
    streams = _map(graph, "streams") if graph.get("streams") is not None else {}
    parents = _parents(graph.get("edges"), nodes)
    return Saved(nodes, parents, streams, rest, _map(graph, "buffers"))


def dimensions(node: Node, side: str) -> list[Dimensions]:
    """What a node says of its inputs' or its output's shapes; nothing if it says nothing.

    ``side`` is "input" or "output". Cortex up to 0.9.9 had them one by one.
    """
    stated: Any = node.get(f"{side}-dimensions")
    if stated is None:
        names = [f"{side}-{axis}" for axis in ("channels", "height", "width")]
        if names[2] in node:
            stated = [{axis: node.get(f"{side}-{axis}") for axis in Dimensions._fields}]
        elif f"{side}-size" in node:
            stated = [{"channels": 1, "height": 1, "width": node[f"{side}-size"]}]
    return [dimensions_of(entry, f"node {node['id']!r}") for entry in as_list(stated)]


def dimensions_of(entry: Any, title: str) -> Dimensions:
    """The map that cortex writes of a shape.

    Raises:
        UnreadableFile: it is none.
    """
    sizes: list[Any] = [as_map(entry).get(axis) for axis in Dimensions._fields]
    if not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in sizes):
        raise UnreadableFile(f"{title}: its dimensions make no sense: {str(entry)[:80]}")
    return Dimensions(*sizes)


def _texts(value: Mapping[Any, Any]) -> dict[str, Any]:
    """A map, with names for its keys."""
    return {_text(key): one for key, one in value.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UnreadableFile(f"it is damaged: {str(value)[:80]!r} where a name should be")
    return str(value)


def _map(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    if not isinstance(found, dict):
        raise UnreadableFile(f"it holds no network: :{key} is no map")
    return _texts(as_map(found))


def _node(name: str, node: Any) -> Node:
    if isinstance(node, Record):
        raise Unsupported(f"node {name!r} is a record of {node.name}; {UPGRADE}")
    options = _texts(as_map(node))
    if not isinstance(options.get("type"), str):
        raise UnreadableFile(f"node {name!r}: it does not say its :type")
    return {**options, "id": name}


def _parents(edges: Any, nodes: Mapping[str, Node]) -> dict[str, list[str]]:
    """The parents of each node, in the order of its inputs if it says that, else of the edges."""
    parents = {name: list[str]() for name in nodes}
    for start, end in _edges(edges, nodes):
        parents[end].append(start)
    for name, found in parents.items():
        entries = as_list(nodes[name].get("input-dimensions"))
        ids = [str(as_map(entry).get("id")) for entry in entries]
        if sorted(ids) == sorted(found):
            parents[name] = ids
    return parents


def _edges(edges: Any, nodes: Mapping[str, Node]) -> Iterator[tuple[str, str]]:
    if not isinstance(edges, list):
        raise UnreadableFile("it holds no network: :edges is no list")
    for edge in as_list(edges):
        if len(as_list(edge)) != 2:
            raise UnreadableFile(f"it is damaged: {str(edge)[:80]} is no edge")
        start, end = map(_text, edge)
        for name in (start, end):
            if name not in nodes:
                raise UnreadableFile(f"an edge names the node {name!r}, which is not there")
        yield start, end


def _deferred(name: str, data: Any) -> Deferred:
    """Numbers that are one array, or a list of rows: arrays, or lists of numbers."""
    shape = _shape(name, data)

    def read() -> Array:
        rows = as_list(data) or [data]
        with np.errstate(over="ignore", invalid="ignore"):  # told of by the check
            flat = [np.asarray(row, np.float32).reshape(-1) for row in rows]
        return np.concatenate(flat).reshape(shape)

    return Deferred(name, shape, np.dtype(np.float32), read)


def _shape(name: str, data: Any) -> tuple[int, ...]:
    if isinstance(data, np.ndarray) and data.dtype.kind in "iuf":
        return data.shape
    is_number = isinstance(data, int | float) and not isinstance(data, bool)
    if is_number and not abs(data) > LARGEST_NUMBER:
        return ()
    rows = as_list(data)
    shapes = {_shape(name, row) for row in rows}
    if len(shapes) != 1 or len(shape := shapes.pop()) >= MOST_AXES:
        raise UnreadableFile(f"buffer {name!r}: it is no array of numbers, or its rows differ")
    return (len(rows), *shape)
