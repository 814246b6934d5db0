"""A Sequential that begins with a Merge of other models, as the functional model that it is.

Keras 1 stores the arrays of the branches' layers beside those of the other layers, as it does for
a functional model: the names stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....runtime.errors import UnreadableFile

Entry = dict[str, Any]
Reference = list[Any]
"""[layer, call, output]"""


def functional(entries: Sequence[Entry]) -> dict[str, Any]:
    """The options of a functional model for a chain of translated layers.

    The first holds its branches as ``layers`` among its options. A layer that is in two branches
    is one layer with two calls; as the first of both, it is one with one call, as in Keras 1. A
    chain inside a branch has no name: it is the same as one of the same layers.

    Raises:
        UnreadableFile: a branch without a shape for its input, or with several outputs.
    """
    model = _Functional()
    end = model.chain(entries)
    layers = list(model.layers.values())
    return {"name": "model", "layers": layers, "input_layers": model.inputs, "output_layers": [end]}


def has_branches(entry: Entry) -> bool:
    """Whether it is a translated Merge that holds the models it merges."""
    config = entry["config"]
    is_model = entry["class_name"] in ("Sequential", "Model")
    return not is_model and isinstance(config, dict) and "layers" in config


class _Functional:
    """The model as it grows."""

    def __init__(self) -> None:
        self.layers: dict[str, Entry] = {}
        self.inputs: list[Reference] = []

    def chain(self, entries: Sequence[Entry]) -> Reference:
        """Adds layers, each called on the one before; the last one's output."""
        first, *others = entries
        if has_branches(first):
            config = dict(first["config"])
            ends = [self._branch(model) for model in config.pop("layers")]
            end = self._call({**first, "config": config}, ends)
        else:
            end = self._first(first)
        for entry in others:
            end = self._call(entry, [end])
        return end

    def _branch(self, model: Entry) -> Reference:
        kind, config = model["class_name"], model["config"]
        if kind == "Sequential":
            return self.chain(config if isinstance(config, list) else config["layers"])
        if kind != "Model":
            return self.chain([model])
        if len(config["output_layers"]) != 1:
            raise UnreadableFile(f"a model of several outputs, {config.get('name')!r}, is merged")
        before = {name: len(layer["inbound_nodes"]) for name, layer in self.layers.items()}

        def renumbered(reference: Reference) -> Reference:
            name, call, output = reference[:3]
            return [name, call + before.get(name, 0), output]

        for entry in config["layers"]:
            layer = self.layers.setdefault(entry["name"], {**entry, "inbound_nodes": []})
            for call in entry["inbound_nodes"]:
                layer["inbound_nodes"].append([renumbered(one) for one in call])
        self.inputs += [one for one in config["input_layers"] if one not in self.inputs]
        return renumbered(config["output_layers"][0])

    def _first(self, entry: Entry) -> Reference:
        name = self._name(entry)
        if name in self.layers:
            return [name, 0, 0]
        if entry["class_name"] == "InputLayer":
            self.inputs.append(self._call(entry, []))
            return self.inputs[-1]
        shape, dtype = _input_of(entry)
        if shape is None:
            raise UnreadableFile(f"layer {name!r}: no shape is said for its input")
        config = {"name": f"{name}_input", "batch_input_shape": shape, "dtype": dtype}
        self.inputs.append(self._call({"class_name": "InputLayer", "config": config}, []))
        return self._call({**entry, "name": name}, [self.inputs[-1]])

    def _call(self, entry: Entry, inputs: Sequence[Reference]) -> Reference:
        name = self._name(entry)
        layer = self.layers.setdefault(name, {**entry, "name": name, "inbound_nodes": []})
        if inputs:
            layer["inbound_nodes"].append(list(inputs))
        return [name, max(len(layer["inbound_nodes"]) - 1, 0), 0]

    def _name(self, entry: Entry) -> str:
        config = entry["config"]
        own = config.get("name") if isinstance(config, Mapping) else None
        if name := entry.get("name") or own:
            return name
        same = (name for name, layer in self.layers.items() if layer["config"] == config)
        return next(same, f"{entry['class_name'].lower()}_{len(self.layers)}")


def _input_of(entry: Entry) -> tuple[Any, str]:
    """Shape and dtype of what a first layer is called on; a model asks its own first layer."""
    config = entry["config"]
    if isinstance(config, list):
        return _input_of(config[0])
    return config.get("batch_input_shape"), config.get("dtype") or "float32"
