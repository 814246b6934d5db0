"""What training made small, and how, in the words of a cortex-train spec.

Losses are nodes of cortex's graph; here they are terms beside it. Sources: ``cortex.loss`` and
``cortex.optimize``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from ...runtime import ops
from ...runtime.errors import CortexError, UnreadableFile
from ..builder import Value
from ..deferred import Array
from ..options import Options
from .node import PARAMETERS, Growing, Node
from .thaw import as_map

PLAIN = {"mse-loss": "mse", "softmax-loss": "cross_entropy", "censor-loss": "censor"}
"""Losses of an output and its labels."""
PENALTIES = {"l1-regularization": "l1", "l2-regularization": "l2"}
CENTER = "center-loss"
YOLO = ("yolo2", "yolo2-loss")
LOSSES = frozenset({*PLAIN, *PENALTIES, CENTER, *YOLO})
"""The types of nodes that are losses: they end the graph."""

Part = TypeVar("Part")

PENALTY, CENTER_WEIGHT = 1e-3, 0.1
"""The weights, :lambda, that cortex takes where a node says none."""


def training(growing: Growing, values: Mapping[str, Value]) -> dict[str, Any]:
    """Parts of a spec: losses, what parameters learn how, the optimiser.

    What cannot be said there is noted: the network is whole without it.
    """
    nodes = growing.saved.nodes
    terms = [name for name in nodes if nodes[name]["type"] in LOSSES]
    losses = [
        _told(growing, lambda name=name: _term(Node(name, growing), values)) for name in terms
    ]
    ways = {name: _told(growing, lambda name=name: _way(nodes[name])) for name in values}
    parts = {
        "losses": [term for term in losses if term],
        "parameters": {name: way for name, way in ways.items() if way},
        "optimizer": _told(growing, lambda: _optimizer(growing)),
    }
    return {key: value for key, value in parts.items() if value}


def _told(growing: Growing, part: Callable[[], Part]) -> Part | None:
    try:
        return part()
    except CortexError as error:
        growing.notes.append(f"{error}; the training spec is without this")
        return None


def _term(node: Node, values: Mapping[str, Value]) -> dict[str, Any]:
    if node.kind in YOLO:
        raise UnreadableFile(f"{node.title}: its labels are laid out as no loss here has them")
    if node.kind in PENALTIES:
        return _penalty(node, values)
    stream = as_map(node["labels"]).get("stream")
    if not isinstance(stream, str):
        raise UnreadableFile(f"{node.title}: its labels are no stream")
    on = _of(node, values)
    if node.kind == CENTER:
        return _center(node, on) | {"target": stream}
    weight = node.number("lambda", 1)
    return {"loss": PLAIN[node.kind], "on": on, "target": stream, "weight": float(weight)}


def _of(node: Node, values: Mapping[str, Value]) -> str:
    """The node whose output it is of."""
    name = as_map(node["output"]).get("node-id")
    if not isinstance(name, str) or name not in values:
        raise UnreadableFile(f"{node.title}: it is of no node's output")
    return name


def _penalty(node: Node, values: Mapping[str, Value]) -> dict[str, Any]:
    on, output = _of(node, values), node["output"]
    if (parameter := output.get("parameter")) is not None:
        on = f"{on}/{PARAMETERS.get(str(parameter), parameter)}"
    weight = node.number("lambda", PENALTY)
    return {"loss": PENALTIES[node.kind], "on": on, "weight": float(weight)}


def center_losses(growing: Growing) -> dict[str, str]:
    """The center loss of each node that has one."""
    nodes = growing.saved.nodes
    terms = {name: Node(name, growing) for name, node in nodes.items() if node["type"] == CENTER}
    return {str(as_map(term["output"]).get("node-id")): name for name, term in terms.items()}


def with_centers(loss: Node, x: Value) -> Value:
    """The output of a node, beside which the centres are kept that it is drawn to."""
    shape = loss.dimensions(x)
    classes, order = loss.rows("centers"), np.argsort(x.axes or (0, 1))

    def in_our_layout(centers: Array) -> Array:
        if x.axes:
            centers = centers.reshape(classes, *shape).transpose(order)
        return centers.reshape(classes, shape.size)

    arrays = {"centers": loss.take("centers", (classes, shape.size), in_our_layout)}
    return loss.through(ops.Centers(classes), x, **arrays)


def _center(node: Node, on: str) -> dict[str, Any]:
    if center_losses(node.growing)[on] != node.name:
        raise UnreadableFile(f"{node.title}: the node {on!r} has another one")
    classes, factor = node.rows("centers"), float(node.number("alpha", 0.5))
    loss: dict[str, Any] = {"type": "center", "classes": classes, "keep_factor": factor}
    if "radius" in node:
        loss["radius"] = float(node.number("radius"))
    return {"loss": loss, "on": on, "weight": float(node.number("lambda", CENTER_WEIGHT))}


def _way(node: Mapping[str, Any]) -> dict[str, float]:
    """How the parameters of a node learn, where not as all others."""
    way: dict[str, float] = {}
    options = Options(f"node {node['id']!r}", node)
    if "learning-attenuation" in options:
        way["rate_factor"] = float(options.number("learning-attenuation"))
    if options.get("non-trainable?", False):
        way["rate_factor"] = 0.0
    if "l2-max-constraint" in options:
        way["max_norm"] = float(options.number("l2-max-constraint"))
    return way


def _optimizer(growing: Growing) -> dict[str, Any] | None:
    """The settings of the optimiser, if the file has one."""
    facts = growing.saved.facts
    stored = as_map(facts.get("optimizer")) or as_map(
        as_map(facts.get("traversal")).get("optimizer")
    )
    if not stored:
        return None
    options = Options("its optimizer", stored)
    kind = str(options.get("type"))
    if kind not in OPTIMIZERS:
        growing.notes.append(f"its optimizer {kind!r} is not known here")
        return None
    made = OPTIMIZERS[kind](options)
    if left := options.unread():
        growing.notes.append(f"its optimizer's state is not carried over: {', '.join(left)}")
    return made


def _adam(options: Options) -> dict[str, Any]:
    return {
        "type": "adam",
        "rate": options.number("alpha", 1e-3),
        "beta1": options.number("beta1", 0.9),
        "beta2": options.number("beta2", 0.999),
        "epsilon": options.number("epsilon", 1e-8),
    }


def _sgd(options: Options) -> dict[str, Any]:
    rate, momentum = options.number("learning-rate", 1e-3), options.number("momentum", 0.9)
    return {"type": "sgd", "rate": rate, "momentum": momentum, "nesterov": True}


def _adadelta(options: Options) -> dict[str, Any]:
    """Its decay is the weight of the new square."""
    decay, epsilon = 1 - options.number("decay", 0.05), options.number("epsilon", 1e-6)
    return {"type": "adadelta", "decay": decay, "epsilon": epsilon}


OPTIMIZERS = {"adam": _adam, "sgd": _sgd, "adadelta": _adadelta}
