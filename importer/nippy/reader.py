"""Reads a network that thinktopic/cortex saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...runtime.errors import CortexError, GraphError, UnreadableFile, Unsupported, UsageError
from ...runtime.network import Network
from ...runtime.tensor import Tensor
from ..builder import Value
from ..source import ModelSource, Reading
from . import converters as converters  # registers the converters
from .container import unpack
from .cursor import told
from .losses import LOSSES, center_losses, training, with_centers
from .node import Growing, Node, nippy
from .saved import KNOWN, Dimensions, Saved, dimensions, dimensions_of, saved
from .thaw import as_list, as_map, thaw

FORMAT = "thinktopic/cortex (.nippy)"
INPUT = "input"
LARGEST_INPUT = 1 << 26  # elements of an example


def read(source: ModelSource) -> Reading:
    """Reads a file of cortex 0.9.

    Raises:
        UnreadableFile: damaged, unsafe, or no network.
        UsageError: weights or an architecture that it has no use for.
        Unsupported: a layer or an option that Cortex cannot compute, by name.
    """
    if source.weights or source.architecture:
        raise UsageError(f"{source.path}: it brings its architecture and weights; name no others")
    try:
        growing = Growing(saved(thaw(unpack(source.path))))
        _check_supported(growing.saved)
        values = _grow(growing, source.input_layout == "channels_last")
        parts = training(growing, values)
        network = _network(growing, values)
    except GraphError as error:
        raise UnreadableFile(f"{source.path}: {error}") from None
    except CortexError as error:
        raise type(error)(f"{source.path}: {error}") from None
    notes = (*_facts(growing.saved.facts), *growing.notes)
    return Reading(source.path, FORMAT, network, notes=notes, training=parts)


def _check_supported(network: Saved) -> None:
    """All unknown types at once: a user wants the whole list."""
    unknown: dict[str, list[str]] = {}
    for name, node in network.nodes.items():
        if node["type"] not in nippy and node["type"] not in LOSSES | {INPUT}:
            unknown.setdefault(node["type"], []).append(name)
    if unknown:
        listed = (f"{told(kind)} ({told(', '.join(names))})" for kind, names in unknown.items())
        raise Unsupported(f"these types of nodes are not supported: {'; '.join(listed)}")


def _grow(growing: Growing, channels_last: bool) -> dict[str, Value]:
    """Builds the graph; the output of each node but the losses."""
    network, values = growing.saved, dict[str, Value]()
    centers = center_losses(growing)
    for name in network.in_order():
        if network.nodes[name]["type"] in LOSSES:
            continue
        node = Node(name, growing)
        if node.kind == INPUT:
            values[name] = _input(node, channels_last)
            continue
        if missing := [parent for parent in network.parents[name] if parent not in values]:
            raise UnreadableFile(f"{node.title}: it follows the loss {missing[0]!r}")
        y = _convert(node, [values[parent] for parent in network.parents[name]])
        if name in centers:
            y = with_centers(Node(centers[name], growing), y)
        node.record(y)
        values[name] = y
    return values


def _convert(node: Node, x: list[Value]) -> Value:
    several = node.kind in ("concatenate", "join")
    if not x or (len(x) > 1 and not several):
        raise UnreadableFile(f"{node.title}: it has {len(x)} inputs, expected one")
    y = nippy[node.kind](node, *x)
    node.finish()
    node.check(y)
    return y


def _input(node: Node, channels_last: bool) -> Value:
    """An input, called as the stream of data that feeds it."""
    network, builder = node.growing.saved, node.growing.builder
    if network.parents[node.name]:
        raise UnreadableFile(f"{node.title}: it follows another node")
    stream = as_map(node.get("input")).get("stream")
    name = str(stream) if isinstance(stream, str | int) else node.name
    shape = _shape(node, network.streams.get(name))
    if shape.size > LARGEST_INPUT:
        raise UnreadableFile(f"{node.title}: it would take {shape.size:,} numbers")
    if shape.is_vector:
        return Value(builder.declare(name, Tensor(("N", shape.width))))
    if not channels_last:
        return Value(builder.declare(name, Tensor(("N", *shape))))
    builder.declare(name, Tensor(("N", shape.height, shape.width, shape.channels)))
    return Value(name, (0, 3, 1, 2))


def _shape(node: Node, stream: Any) -> Dimensions:
    """What the node and the stream say of the shape of an input."""
    found = dimensions(node.growing.saved.nodes[node.name], "output")
    if stream is not None:
        found.append(dimensions_of(stream, f"the stream of {node.title}"))
    if len(set(found)) != 1:
        raise UnreadableFile(f"{node.title}: it says {len(set(found))} shapes of itself")
    return found[0]


def _network(growing: Growing, values: Mapping[str, Value]) -> Network:
    """Every node that no other takes is an output; images are as cortex has them."""
    taken = {parent for name in values for parent in growing.saved.parents[name]}
    builder = growing.builder
    ends = [name for name in values if name not in taken and name in builder.layers]
    if not ends:
        raise UnreadableFile("its network has no layer but its inputs")
    outputs: dict[str, str] = {}
    for name in ends:
        free = name
        while free in outputs or free in builder.inputs:  # a stream may be called as a node is
            free += ".1"
        outputs[free] = builder.plain(values[name], name)
    return builder.network(outputs)


def _facts(facts: Mapping[str, Any]) -> Iterator[str]:
    """What the file says of the network that is not in the graph."""
    loss, epochs = _loss(facts.get("cv-loss")), facts.get("epoch-count")
    after = f" after {epochs} epochs" if isinstance(epochs, int) else ""
    if loss is not None:
        yield f"the file states a cross-validation loss of {loss:.6g}{after}"
    if others := sorted(facts.keys() - KNOWN):
        yield f"not used of the file: {', '.join(f':{told(key)}' for key in others)}"


def _loss(stated: Any) -> float | None:
    """The sum, where cortex states a loss by its terms."""
    if terms := [_loss(as_map(term).get("value")) for term in as_list(stated)]:
        known = [term for term in terms if term is not None]
        return sum(known) if known else None
    return stated if isinstance(stated, int | float) and not isinstance(stated, bool) else None
