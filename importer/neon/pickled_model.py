"""What a pickle of neon says: a whole model, or the weights of one that YAML describes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...runtime.errors import UnreadableFile
from ..deferred import Deferred
from .description import Description, Entry, Names, arrays_of, entries
from .pickled import read_pickle

VERSION = re.compile(r"[\w.+-]{1,40}")
WITH_WEIGHTS = frozenset({
    "Linear", "Bias", "Convolution", "Convolution_bias", "Deconvolution", "BatchNorm",
    "LookupTable", "Recurrent", "LSTM", "GRU", "BiRNN", "BiLSTM",
})  # fmt: skip
OLD_NAMES: Mapping[str, Mapping[str, str]] = {
    "Linear": {"weights": "W"},
    "Convolution": {"weights": "W"},
    "Bias": {"biases": "W"},
    "BatchNorm": {"_gamma": "gamma", "_beta": "beta", "_gmean": "gmean", "_gvars": "gvar"},
}
"""What neon 0.9 calls the arrays of a layer, by the part of it they belong to."""


@dataclass(frozen=True)
class Model:
    """A pickle that has the layers, too; ``stored`` is all of it."""

    description: Description


@dataclass(frozen=True)
class InOrder:
    """The arrays of the layers that have any, one after the other: neon 1.0."""

    arrays: Sequence[Mapping[str, Deferred]]


@dataclass(frozen=True)
class ByName:
    """The arrays by NAME_NUMBER of the layer: neon 0.9."""

    arrays: Mapping[str, Mapping[str, Deferred]]


def read(path: Path) -> Model | InOrder | ByName:
    """Reads a pickle of any generation.

    Raises:
        UnreadableFile: it is none of neon's, damaged, or unsafe.
    """
    stored = read_pickle(path)
    if not isinstance(stored, dict):
        raise UnreadableFile(f"{path}: a pickle, but of no network of neon")
    facts: dict[str, Any] = stored
    if "model" in facts:
        return Model(_described(path, facts))
    if "layer_params_states" in facts:
        return InOrder(_in_order(path, facts["layer_params_states"]))
    if "epochs_complete" in facts:
        found = {name: each for name, each in facts.items() if isinstance(each, dict)}
        return ByName({name: _arrays_among(each) for name, each in found.items()})
    raise UnreadableFile(
        f"{path}: a pickle, but of no network of neon: it has {', '.join(map(repr, facts))[:200]}"
    )


def with_weights(description: Description, weights: InOrder | ByName, path: Path) -> Description:
    """The description with the weights of a file.

    Raises:
        UnreadableFile: they are of another network.
    """
    if isinstance(weights, ByName):
        return replace(description, layers=_by_name(description.layers, weights.arrays))
    left = list(weights.arrays)
    layers = _taking(description.layers, left, path)
    if left:
        raise UnreadableFile(f"{path}: it has weights for {len(left)} layers more than the YAML")
    return replace(description, layers=layers)


def _described(path: Path, facts: Mapping[str, Any]) -> Description:
    model: Any = facts["model"]
    if not isinstance(model, dict) or not isinstance(model.get("type"), str):
        raise UnreadableFile(f"{path}: its model is no container of layers")
    backend: Any = facts.get("backend") or {}
    mode = backend.get("compat_mode") if isinstance(backend, dict) else None
    version = facts.get("neon_version")
    return Description(
        path,
        f"neon {version}" if isinstance(version, str) and VERSION.fullmatch(version) else "neon",
        entries([model], path, Names()),
        input_shape(facts.get("train_input_shape"), str(path)),
        mode == "caffe",
        {key: facts[key] for key in ("cost", "optimizer") if facts.get(key)},
    )


def input_shape(stored: Any, where: str) -> tuple[int, ...] | None:
    """The shape of one example; None where nothing is said.

    Raises:
        UnreadableFile: it is no shape.
    """
    if stored is None:
        return None
    sizes: Any = (stored,) if isinstance(stored, int) else stored
    if not isinstance(sizes, list | tuple) or not 1 <= len(sizes) <= 4:
        raise UnreadableFile(f"{where}: the shape of its input is not that of one input")
    if not all(isinstance(n, int) and n > 0 for n in sizes):
        raise UnreadableFile(f"{where}: the shape of its input is not of whole numbers")
    return tuple(sizes)


def _in_order(path: Path, stored: Any) -> list[Mapping[str, Deferred]]:
    if not isinstance(stored, list):
        raise UnreadableFile(f"{path}: its layer_params_states are no list")
    items: list[Any] = stored
    found: list[Mapping[str, Deferred]] = []
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise UnreadableFile(f"{path}: layer_params_states {number} is no mapping")
        found.append(arrays_of(item.get("params"), f"{path}: layer_params_states {number}"))
    return found


def _arrays_among(stored: Mapping[Any, Any]) -> dict[str, Deferred]:
    """The arrays, beside which the state of the learning rule lies."""
    known = {theirs for names in OLD_NAMES.values() for theirs in names}
    return {
        name: each for name, each in stored.items() if name in known and isinstance(each, Deferred)
    }


def _taking(
    layers: Sequence[Entry], left: list[Mapping[str, Deferred]], path: Path
) -> tuple[Entry, ...]:
    """The layers, each of which takes the next of the arrays that are left."""
    made: list[Entry] = []
    for entry in layers:
        branches = tuple(_taking(branch, left, path) for branch in entry.branches)
        if entry.kind in WITH_WEIGHTS:
            if not left:
                raise UnreadableFile(f"{path}: it has no weights for layer {entry.name!r}")
            entry = replace(entry, arrays=left.pop(0))
        made.append(replace(entry, branches=branches))
    return tuple(made)


def _by_name(
    layers: Sequence[Entry], arrays: Mapping[str, Mapping[str, Deferred]]
) -> tuple[Entry, ...]:
    made: list[Entry] = []
    for entry in layers:
        stored, names = arrays.get(entry.stored, {}), OLD_NAMES.get(entry.kind, {})
        own = {ours: stored[theirs] for theirs, ours in names.items() if theirs in stored}
        made.append(replace(entry, arrays=own))
    return tuple(made)
