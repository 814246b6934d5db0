"""The two files of a model of Keras 3: HDF5 (``.h5``) and the archive (``.keras``)."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ....runtime.check import Array
from ...keras.arrays import snake_case
from ...keras.containers.archive import CONFIG, METADATA, WEIGHTS
from .model import KerasLayer, KerasModel

KERAS_VERSION = "3.15.1"
"""Whose forms are written; what it says of a model, later ones read."""
BACKEND = "jax"
MOST_NAMES = 2000
"""In one attribute: HDF5 has no room for more, and Keras reads them in pieces."""
RANDOM = ("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise")


def write_hdf5(path: Path, model: KerasModel) -> None:
    """Writes the model as Keras 3 writes ``.h5``."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = KERAS_VERSION, BACKEND
        file.attrs["model_config"] = json.dumps(model.to_config())
        weights = file.create_group("model_weights")
        weights.attrs["keras_version"], weights.attrs["backend"] = KERAS_VERSION, BACKEND
        layers = [layer for layer in model.layers if layer.is_layer]
        _write_names(weights, "layer_names", [layer.name for layer in layers])
        for layer in layers:
            group = weights.create_group(layer.name)
            named = {f"{layer.name}/{name}": array for name, array in layer.arrays.items()}
            _write_names(group, "weight_names", list(named))
            for name, array in named.items():
                group.create_dataset(name, data=_single(array))


def _write_names(group: h5py.Group, attribute: str, names: Sequence[str]) -> None:
    raw = [name.encode() for name in names]
    pieces = [raw[i : i + MOST_NAMES] for i in range(0, len(raw), MOST_NAMES)] or [raw]
    text = h5py.string_dtype()
    for number, piece in enumerate(pieces):
        name = attribute if len(pieces) == 1 else f"{attribute}{number}"
        group.attrs.create(name, np.array(piece, object), (len(piece),), text)


def write_archive(path: Path, model: KerasModel) -> None:
    """Writes the model as Keras 3 writes ``.keras``.

    The time is left out: the same model gives the same file.
    """
    metadata = {"keras_version": KERAS_VERSION}
    with tempfile.TemporaryDirectory(prefix=".keras-", dir=path.parent) as folder:
        weights = Path(folder) / WEIGHTS
        with h5py.File(weights, "w") as file:
            for place, array in _places(model.layers):
                file.create_dataset(place, data=array)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(_member(METADATA), json.dumps(metadata))
            archive.writestr(_member(CONFIG), json.dumps(model.to_config()))
            with weights.open("rb") as source:
                _store(archive, source)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = 0o644 << 16
    return member


def _store(archive: zipfile.ZipFile, source: Any) -> None:
    entry = _member(WEIGHTS)
    entry.file_size = os.fstat(source.fileno()).st_size
    with archive.open(entry, "w") as member:
        while piece := source.read(1 << 20):
            member.write(piece)


def _places(layers: Sequence[KerasLayer]) -> Iterator[tuple[str, Array]]:
    """Each array with its path in the tree of objects: layers are counted class by class."""
    counts = Counter[str]()
    for layer in layers:
        if not layer.is_layer:
            continue
        kind = snake_case(layer.kind)
        number = counts[kind]
        counts[kind] += 1
        place = "/".join(["layers", f"{kind}_{number}" if number else kind])
        if layer.kind in RANDOM:
            yield f"{place}/seed_generator/vars/0", np.zeros(2, np.uint32)
        inside = f"{place}/{layer.inside}" if layer.inside else place
        for index, array in enumerate(layer.arrays.values()):
            yield f"{inside}/vars/{index}", _single(array)


def _single(array: Array) -> Array:
    return np.asarray(array, np.float32)
