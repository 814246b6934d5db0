"""Changing networks: dropping layers, adding some, freezing, another size of the input.

A model is never changed; each function gives another, whose arrays are copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import GraphError
from ..ir import Graph, Node
from ..losses import Term
from ..network import Network
from ..tensor import Size, Tensor
from ..training.model import Model
from .build import append, finished, sequential, usual
from .net import Net


def from_network(network: Network, *, terms: Sequence[Term] = ()) -> Model:
    """A network, imported perhaps, as a model that can be trained.

    Without ``terms`` each output has the loss that suits it, against a target called
    ``OUTPUT:target``. A network does not know how it learnt: whatever was frozen or treated in a
    way of its own learns as the others do, and only what operations update themselves, such as
    moving averages, does not.
    """
    graph = network.graph
    arrays = {name: np.array(network.parameters[name], np.float32) for name in graph.parameters}
    model = Model(Network(graph, arrays), tuple(terms))
    return model if terms else replace(model, terms=_usual_terms(model))


def drop_from(model: Model, layer: str) -> Model:
    """The network without a layer and without all that depends on it.

    What the layer read becomes an output; losses on what is gone are gone.

    Raises:
        GraphError: there is no such layer, or nothing is left.
    """
    graph = model.network.graph
    dropped = {node.name for node in _nodes_of(graph, layer)}
    gone = set[str]()
    kept: list[Node] = []
    ends: dict[str, str] = {}
    for node in graph.nodes:
        if node.name in dropped or gone.intersection(node.inputs):
            gone.update(graph.values(node))
            ends |= {value: value for value in node.inputs if value and value not in gone}
        else:
            kept.append(node)
    if not kept:
        raise GraphError(f"layer {layer!r}: without it and what follows nothing is left")
    outputs = {name: value for name, value in graph.outputs.items() if value not in gone}
    named = {value: name for name, value in _names(graph).items()}
    outputs |= {named.get(value, value): value for value in ends if value not in graph.inputs}
    return _rebuilt(model, kept, outputs)


def extend(
    model: Model,
    layers: Iterable[Any],
    *,
    after: str = "",
    terms: Sequence[Term] = (),
    seed: int = 0,
) -> Model:
    """The network with layers added after a layer, by default after its only output.

    Without ``terms`` each output that has no loss gets the one that suits it.

    Raises:
        GraphError: a layer that does not fit, or it is not clear where they belong.
    """
    graph = model.network.graph
    outputs = [name for name in graph.outputs if name not in graph.states.values()]
    if not after and len(outputs) != 1:
        raise GraphError(f"say after which layer: the outputs are {', '.join(outputs) or 'none'}")
    before = _value(graph, after) if after else graph.outputs[outputs[0]]
    net = Net.of(model)
    append(net, layers, before)
    read = net.read()
    net.terms += [term for term in model.terms if not (term.on == before and before in read)]
    return finished(net, terms, seed)


def replace_head(
    model: Model,
    layers: Iterable[Any],
    *,
    at: str,
    terms: Sequence[Term] = (),
    seed: int = 0,
) -> Model:
    """The network whose layers from ``at`` on are these.

    Raises:
        GraphError: there is no such layer, or one does not fit.
    """
    return extend(drop_from(model, at), layers, terms=terms, seed=seed)


def freeze(model: Model, upto: str = "") -> Model:
    """Nothing up to and with this layer learns; without a name nothing at all."""
    graph = model.network.graph
    if not upto:
        return replace(model, frozen=frozenset(node.name for node in graph.nodes))
    wanted = {node.name for node in _nodes_of(graph, upto)}
    value = _value(graph, upto)
    leading = graph.leading_to({value, *wanted}, {value: value})
    return replace(model, frozen=model.frozen | wanted | {node.name for node in leading.nodes})


def unfreeze(model: Model) -> Model:
    """Everything learns."""
    return replace(model, frozen=frozenset[str]())


def resize_input(model: Model, shape: Sequence[Size], name: str = "") -> Model:
    """The network with examples of another shape, which its parameters must fit.

    Raises:
        GraphError: they do not; the message names the layer.
    """
    graph = model.network.graph
    inputs = [each for each in graph.inputs if each not in graph.states]
    if name not in inputs and (name or len(inputs) != 1):
        raise GraphError(f"say which input to resize: they are {', '.join(inputs)}")
    name = name or inputs[0]
    resized = Tensor(("N", *shape), graph.inputs[name].dtype)
    made = replace(graph, inputs={**graph.inputs, name: resized})
    for full, param in made.parameters.items():
        if param != graph.parameters[full]:
            node = next(node for node in graph.nodes if full in node.params.values())
            raise GraphError(
                f"{node.title}: for inputs of {tuple(shape)} its {full!r} would be {param.shape}, "
                f"but it is {graph.parameters[full].shape}; drop the layers from it on first"
            )
    return replace(model, network=Network(made, _copies(model.network, made)))


def longest_prefix(layers: Sequence[Any]) -> tuple[int, str]:
    """How many of the layers, from the first on, make a network, and what is wrong with the next.

    The second is empty if nothing is.
    """
    problem = ""
    for count in range(len(layers), 0, -1):
        try:
            sequential(layers[:count])
        except GraphError as error:
            problem = str(error)
        else:
            return count, problem
    return 0, problem


def _rebuilt(model: Model, nodes: Sequence[Node], outputs: dict[str, str]) -> Model:
    graph = model.network.graph
    made = {value for node in nodes for value in graph.values(node)}
    read = {value for node in nodes for value in node.inputs}
    inputs = {name: tensor for name, tensor in graph.inputs.items() if name in read}
    known = {*made, *inputs}
    layers = {name: layer for name, layer in graph.layers.items() if layer.value in known}
    states = {held: kept for held, kept in graph.states.items() if held in inputs}
    lost = set(graph.states.values()) - set(states.values())
    outputs = {name: value for name, value in outputs.items() if name not in lost}
    smaller = Graph(inputs, tuple(nodes), outputs, layers, states)
    return Model(
        Network(smaller, _copies(model.network, smaller)),
        tuple(term for term in model.terms if term.on in known),
        {name: at for name, at in model.treatments.items() if name in smaller.parameters},
        model.frozen & {node.name for node in nodes},
    )


def _copies(network: Network, graph: Graph) -> dict[str, Any]:
    return {name: np.array(network.parameters[name]) for name in graph.parameters}


def _usual_terms(model: Model) -> Sequence[Term]:
    net = Net.of(model)
    floats = {name: at for name, at in net.outputs.items() if net.types[at].dtype == "float"}
    return [usual(net, name, value) for name, value in floats.items()]


def _names(graph: Graph) -> dict[str, str]:
    """The value of each layer by its name."""
    return {name: layer.value for name, layer in graph.layers.items()}


def _value(graph: Graph, layer: str) -> str:
    """The value of a layer, or of a node that has no layer.

    Raises:
        GraphError: there is none.
    """
    value = _names(graph).get(layer, layer)
    if value not in graph.types:
        raise GraphError(f"no layer is called {layer!r}; there are {', '.join(_names(graph))}")
    return value


def _nodes_of(graph: Graph, layer: str) -> Sequence[Node]:
    """The nodes of a layer, or what makes its value."""
    nodes = [node for node in graph.nodes if node.layer == layer]
    if not nodes:
        value = _value(graph, layer)
        nodes = [node for node in graph.nodes if value in graph.values(node)]
    if not nodes:
        raise GraphError(f"layer {layer!r} is an input")
    return nodes
