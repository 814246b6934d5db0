"""The plain facts of a Keras file: its layers with their options, its wiring, its arrays.

The quirks of containers end here: the rest of the importer sees one form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...runtime.errors import UnreadableFile
from ...runtime.files import regular
from ..deferred import Deferred
from .hdf5 import LARGEST_TEXT, Group, open_file

Config = Mapping[str, Any]


@dataclass(frozen=True)
class KerasFile:
    """A model as its file has it.

    ``architecture`` is the parsed JSON of the whole model; ``arrays`` are those of each layer
    that has any, by the last part of the name each variable was stored under.
    """

    path: Path
    format: str
    keras_version: str
    backend: str
    architecture: Config
    arrays: Mapping[str, Mapping[str, Deferred]] = field(default_factory=dict)

    @property
    def generation(self) -> int:
        """1, 2 or 3: the major version of Keras, whose meaning of options the file has."""
        major = self.keras_version.split(".")[0]
        return int(major) if major.isdigit() else 1


def read_file(path: Path, weights: Path | None = None) -> KerasFile:
    """Reads a full model, or an architecture in JSON with the weights of another file.

    Raises:
        UnreadableFile: neither of the two, damaged, or unsafe.
    """
    if _is_json(regular(path)):
        return _read_json(path, weights)
    with open_file(path) as file:
        root = Group(path, file)
        config = root.text("model_config")
        if config is None:
            raise UnreadableFile(
                f"{path}: it has no architecture ('model_config'): these are weights only; "
                "import the architecture's JSON with --weights"
            )
        if weights is not None:
            arrays = _read_weights(weights)
        elif "model_weights" in root:
            arrays = _arrays(root.group("model_weights"))
        else:
            raise UnreadableFile(f"{path}: it has no weights ('model_weights'); add --weights")
        stored = root.group("model_weights") if "model_weights" in root else root
        return KerasFile(
            path,
            "keras-h5",
            root.text("keras_version") or stored.text("keras_version") or "1",
            root.text("backend") or stored.text("backend") or "",
            _parsed(path, config),
            arrays,
        )


def _is_json(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip()[:1] == b"{"


def _read_json(path: Path, weights: Path | None) -> KerasFile:
    if weights is None:
        raise UnreadableFile(
            f"{path}: it is an architecture without weights; add --weights FILE.h5"
        )
    if path.stat().st_size > LARGEST_TEXT:
        raise UnreadableFile(f"{path}: too large for an architecture")
    architecture = _parsed(path, path.read_text("utf-8", "replace"))
    with open_file(weights) as file:
        root = Group(weights, file)
        version = root.text("keras_version")
        backend = root.text("backend")
    return KerasFile(
        path,
        "keras-json+h5",
        str(architecture.get("keras_version") or version or "1"),
        str(architecture.get("backend") or backend or ""),
        architecture,
        _read_weights(weights),
    )


def _read_weights(path: Path) -> Mapping[str, Mapping[str, Deferred]]:
    """The arrays of a weights-only file, or of a full one."""
    with open_file(path) as file:
        root = Group(path, file)
        return _arrays(root.group("model_weights") if "model_weights" in root else root)


def _parsed(path: Path, text: str) -> Config:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path}: its architecture is no JSON: {error}") from None
    if not isinstance(data, dict) or "class_name" not in data or "config" not in data:
        raise UnreadableFile(f"{path}: its architecture names no model ('class_name', 'config')")
    return data


def _arrays(weights: Group) -> Mapping[str, Mapping[str, Deferred]]:
    arrays: dict[str, Mapping[str, Deferred]] = {}
    for layer in weights.texts("layer_names"):
        group = weights.group(layer)
        names = group.texts("weight_names")
        if names:
            arrays[layer] = _by_local_name(group, names)
    return arrays


def _by_local_name(group: Group, names: Sequence[str]) -> Mapping[str, Deferred]:
    found: dict[str, Deferred] = {}
    for name in names:
        array = group.array(name)
        # Wrappers hold layers whose arrays are called alike; their converters tell them apart.
        found[name if array.name in found else array.name] = array
    return found
