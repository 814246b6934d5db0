"""How parts of a network learn in a way of their own, by the names a user knows them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from fnmatch import fnmatchcase

from ..errors import UsageError
from ..ir import Graph
from ..optim import Optimizer
from ..optim.update import Treatment
from .model import Model


def treated(model: Model, ways: Mapping[str, Treatment | Optimizer]) -> Model:
    """The model with parameters treated as ``ways`` say; an optimiser is a treatment's.

    A key is, the first that is there counting for a parameter, its own name (``linear-1/bias``),
    its layer's (``linear-1``), what it is in its layer (``bias``), its layer's kind (``linear``) or
    its operation's; or a pattern for any of these (``body-*``, ``*/kernel``), the first of them
    counting where no name does. What a layer asked for itself stays, unless the treatment says
    otherwise.

    Raises:
        UsageError: a key that fits nothing.
    """
    wanted = {
        key: way if isinstance(way, Treatment) else Treatment(optimizer=way)
        for key, way in ways.items()
    }
    found, used = dict(model.treatments), set[str]()
    names = _names(model.network.graph)
    for parameter, keys in names.items():
        fitting = [key for key in keys if key in wanted]
        fitting += [key for key in wanted if any(fnmatchcase(each, key) for each in keys)]
        used.update(fitting)
        if fitting:
            found[parameter] = _joined(found.get(parameter, Treatment()), wanted[fitting[0]])
    if unknown := sorted(wanted.keys() - used):
        known = ", ".join(dict.fromkeys(key for keys in names.values() for key in keys))
        raise UsageError(f"no parameter, layer or kind is called {unknown[0]!r}; there are {known}")
    return replace(model, treatments=found)


def _joined(own: Treatment, asked: Treatment) -> Treatment:
    """``asked``, and where it leaves something as usual, ``own``."""
    usual = Treatment()
    kept = {
        at.name: getattr(own, at.name)
        for at in fields(Treatment)
        if getattr(asked, at.name) == getattr(usual, at.name)
    }
    return replace(asked, **kept)


def _names(graph: Graph) -> Mapping[str, tuple[str, ...]]:
    """What each trainable parameter can be called, the most particular name first."""
    found: dict[str, tuple[str, ...]] = {}
    for node in graph.nodes:
        layer = node.layer
        while layer not in graph.layers and "/" in layer:  # a part of a layer
            layer = layer.rpartition("/")[0]
        kind = graph.layers[layer].kind if layer in graph.layers else node.op.kind
        for local, name in node.params.items():
            if graph.parameters[name].trainable:
                found.setdefault(name, (name, layer, local, kind, node.op.kind))
    return found
