"""A description without weights as a cortex-train spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...runtime.errors import GraphError, UnreadableFile
from ...runtime.nn.build import append
from ...runtime.nn.net import Net
from ...runtime.spec.schema import checked
from ..source import ModelSource
from ..training import tried
from . import spellings as spellings  # registers how each layer is spelled
from .build import checked_input
from .describe import describe, shaped
from .spelled import Spelled
from .training import Outline, training

DATA: Mapping[str, Mapping[str, Any]] = {
    "mnist": {
        "data": {"type": "mnist", "part": "train", "digits": True},
        "validation": {"type": "mnist", "part": "test", "digits": True},
    }
}
"""What there is to learn from under the names of neon's datasets."""


def spec_of(source: ModelSource) -> dict[str, Any]:
    """The spec of a description, with its layers in the words of a spec.

    Raises:
        UnreadableFile: it is damaged, or does not say what its input is.
        Unsupported: a layer or an option that has no counterpart, by name.
    """
    path = source.path
    description = shaped(describe(path), source)
    layers = Spelled(str(path), description.caffe)
    layers.check(description.layers)
    shape = checked_input(description)
    network = [layers.input(shape, description.layers), *layers.chain(description.layers)]
    kinds = {kind: str(made.get("type")) for kind, made in layers.made.items()}
    parts = training(description, outline(network, kinds, str(path)))
    notes = [*description.notes, *layers.notes]
    dataset = str(description.facts.get("dataset") or "")
    if dataset and dataset not in DATA:
        notes.append(f"say under 'data' where {dataset} is")
    document = {"network": network, **parts, **DATA.get(dataset, {})}
    checked(tried(document), str(path))
    return document | ({"define": {"notes": notes}} if notes else {})


def outline(layers: Sequence[Mapping[str, Any]], kinds: Mapping[str, str], where: str) -> Outline:
    """What a network of these layers is like, of which no weights are made: they may be large.

    Raises:
        UnreadableFile: they do not fit together.
    """
    net = Net()
    try:
        append(net, cast(Any, checked({"network": layers}, where).network))
    except GraphError as error:
        raise UnreadableFile(f"{where}: {error}") from None
    read = net.read()
    ends = {name: at.value for name, at in net.layers.items() if at.value not in read}
    learning = {name for name in net.layers if net.parts(name)}
    return Outline(
        {name: net.types[value].shape[1:] for name, value in ends.items()},
        frozenset({*learning, *(net.layers[name].kind for name in learning)}),
        kinds,
    )
