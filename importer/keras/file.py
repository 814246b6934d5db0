"""The plain facts of a Keras file: its layers with their options, its wiring, its arrays.

The quirks of containers end here: the rest of the importer sees one form.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...runtime.errors import UnreadableFile, UsageError
from .. import architectures
from ..deferred import Array, Deferred
from ..sniff import refusal, sniff
from ..source import ModelSource
from .arrays import TREES, Arrays, Place, of_layers
from .containers.archive import Archive, Tree, open_archive, read_shards
from .containers.hdf5 import LARGEST_TEXT, Group, open_file
from .containers.text import parse_architecture
from .keras1 import translate_model, written_on
from .keras1.keras0 import arrays_by_name, is_keras_0
from .origin import THEANO, generation_of
from .wiring import Config


@dataclass(frozen=True)
class Weights:
    """The arrays of all layers, and who wrote them.

    ``is_tree``: they are stored as the tree of objects of Keras 3.
    """

    arrays: Arrays
    is_tree: bool = False
    keras_version: str = ""
    backend: str = ""

    @property
    def generation(self) -> int:
        """Of whose layouts the arrays are: 1, 2 or 3."""
        return generation_of(self.keras_version)


@dataclass(frozen=True)
class KerasFile:
    """A model as its file has it.

    ``architecture`` is the parsed JSON of the whole model, that of Keras 1 in the words of Keras 2.
    ``is_assumed``: nothing in the file tells the backend. ``notes`` say what was concluded.
    ``weights_path`` is the file that the arrays are from, if it is another one.
    """

    path: Path
    format: str
    keras_version: str
    backend: str
    architecture: Config
    weights: Weights
    is_assumed: bool = False
    notes: tuple[str, ...] = ()
    weights_path: Path | None = None

    @property
    def generation(self) -> int:
        """1, 2 or 3: the major version of Keras, whose meaning of options the file has."""
        return generation_of(self.keras_version)

    @property
    def title(self) -> str:
        """The file as an error names it."""
        if self.weights_path:
            return f"{self.path} with {self.weights_path}"
        built_in = self.format.removeprefix(WEIGHTS_ONLY)
        return f"{self.path} as {built_in}" if built_in != self.format else str(self.path)

    @property
    def other_backend(self) -> str | None:
        """Where it had to be assumed which backend wrote the file: the other one."""
        if not self.is_assumed:
            return None
        return TENSORFLOW if self.backend == THEANO else THEANO


TENSORFLOW = "tensorflow"
KERAS_0 = "0"
"""The version of a file that numbers its layers: it does not say more."""


WEIGHTS_ONLY = "keras-weights:"
"""What the format of a file without an architecture begins with; its architecture follows."""


def read_file(source: ModelSource) -> KerasFile:
    """Reads a model in any of the forms Keras has had, recognised by content.

    Raises:
        UnreadableFile: none of them, damaged, or unsafe.
        Unsupported: weights without an architecture.
    """
    path = source.path
    match sniff(path):
        case "zip" | "directory":
            file = _read_archive(source)
        case "hdf5":
            file = _read_hdf5(source)
        case "json" | "yaml":
            file = _read_text(source)
        case kind:
            raise UnreadableFile(f"{path}: {refusal(kind)}")
    file = replace(file, weights_path=source.weights)
    if source.architecture and not file.format.startswith(WEIGHTS_ONLY):
        raise UsageError(
            f"--architecture {source.architecture}: {path} brings its own architecture; "
            "leave the option out"
        )
    if 1 in (file.generation, file.weights.generation):
        file = _with_backend(file, source.keras1_backend)
    if file.generation == 1:
        file = _in_keras_2(file)
    return file


def _in_keras_2(file: KerasFile) -> KerasFile:
    """A file of Keras 0 or 1 with its architecture in the words of Keras 2."""
    theano, version = file.backend == THEANO, file.keras_version
    model = translate_model(file.architecture, theano=theano, version=version)
    weights = file.weights
    if is_keras_0(file.architecture) and weights.keras_version == KERAS_0:
        weights = replace(weights, arrays=arrays_by_name(file.architecture, weights.arrays))
    return replace(file, architecture=model, weights=weights)


def _with_backend(file: KerasFile, given: str | None) -> KerasFile:
    """Files of Keras 1 do not say whether Theano wrote them, which turns convolution kernels."""
    if given is not None:
        return replace(file, backend=given)
    if named := written_on(array.name for _, array in file.weights.arrays.stored):
        note = f"written on {named}, to judge by the names of its variables"
        return replace(file, backend=named, notes=(note,))
    text = json.dumps(file.architecture)
    if "onv" not in text:
        return file
    first = '"th"' in text or '"channels_first"' in text
    backend, why = (THEANO, "is") if first else (TENSORFLOW, "is not")
    note = (
        f"{backend} was assumed to have written it, because its dim_ordering {why} 'th' "
        "(--keras1-backend says otherwise)"
    )
    return replace(file, backend=backend, is_assumed=True, notes=(note,))


def _read_hdf5(source: ModelSource) -> KerasFile:
    path = source.path
    with open_file(path) as opened:
        root = Group(path, opened)
        config = root.text("model_config")
        version, backend = root.text("keras_version") or "", root.text("backend") or ""
        has_weights = "model_weights" in root
    if config is None:
        return _read_weights_only(source)
    if source.weights is None and not has_weights:
        raise UnreadableFile(f"{path}: it has no weights ('model_weights'); add --weights")
    weights = read_weights(source.weights or path)
    return KerasFile(
        path,
        "keras-h5",
        version or weights.keras_version or "1",
        backend or weights.backend,
        parse_architecture(config, f"{path}:model_config"),
        weights,
    )


def _read_weights_only(source: ModelSource) -> KerasFile:
    """A file of weights, whose architecture is one that everybody uses."""
    path, weights = source.path, read_weights(source.path)
    shapes = {
        layer: [array.shape for _, array in group.stored]
        for layer, group in of_layers(weights.arrays).items()
    }
    name = source.architecture or (None if weights.is_tree else architectures.recognise(shapes))
    if name is None:
        raise UnreadableFile(
            f"{path}: it holds weights only, and of no architecture that is built in: give the "
            "architecture's JSON with --weights FILE, or name one (--list-architectures)"
        )
    built = architectures.architecture(name, shapes)
    return KerasFile(path, f"{WEIGHTS_ONLY}{name}", "2", weights.backend, built, weights)


def _read_text(source: ModelSource) -> KerasFile:
    path = source.path
    if path.stat().st_size > LARGEST_TEXT:
        raise UnreadableFile(f"{path}: too large for an architecture")
    architecture = parse_architecture(path.read_text("utf-8", "replace"), str(path))
    if source.weights is None:
        raise UnreadableFile(
            f"{path}: it is an architecture without weights; add --weights FILE.h5"
        )
    weights = read_weights(source.weights)
    return KerasFile(
        path,
        "keras-json+h5",
        str(architecture.get("keras_version") or weights.keras_version or "1"),
        str(architecture.get("backend") or weights.backend or ""),
        architecture,
        weights,
    )


def _read_archive(source: ModelSource) -> KerasFile:
    path = source.path
    archive = open_archive(path)
    version = str(archive.metadata.get("keras_version") or "3")
    if source.weights:
        weights = read_weights(source.weights)
    else:
        weights = Weights(_tree(archive.weights), True, version)
    if weights.is_tree:
        arrays = Arrays([*weights.arrays.stored, *_assets(archive)])
        weights = replace(weights, arrays=arrays)
    return KerasFile(
        path,
        "keras-zip" if path.is_file() else "keras-directory",
        version,
        "",
        parse_architecture(archive.config, f"{path}:config.json"),
        weights,
    )


def read_weights(path: Path) -> Weights:
    """The arrays of a file of weights, or of a full model."""
    match sniff(path):
        case "zip" | "directory":
            return Weights(_tree(open_archive(path).weights), True, "3")
        case "json":  # the index of weights in several files
            return Weights(_tree(read_shards(path)), True, "3")
        case _:
            pass
    with open_file(path) as opened:
        root = Group(path, opened)
        stored = root.group("model_weights") if "model_weights" in root else root
        version = root.text("keras_version") or stored.text("keras_version") or ""
        backend = root.text("backend") or stored.text("backend") or ""
        if stored.has_attribute("layer_names"):
            return Weights(Arrays(list(_listed(stored))), False, version, backend)
        if stored.has_attribute("nb_layers"):
            return Weights(Arrays(list(_numbered(stored))), False, KERAS_0, backend)
        if any(name in root for name in TREES):
            return Weights(_tree(root), True, version or "3")
        raise UnreadableFile(f"{path}: no weights of Keras: neither 'layer_names' nor 'layers'")


def _listed(weights: Group) -> Iterator[tuple[Place, Deferred]]:
    """Keras 1 and 2: each layer's group lists its arrays."""
    for layer in weights.texts("layer_names"):
        group = weights.group(layer)
        for name in group.texts("weight_names"):
            array = replace(group.array(name), name=f"{layer}/{name}")
            parts = name.removesuffix(":0").removeprefix(f"{layer}/").split("/")
            if parts[-1] not in IGNORED:
                yield (layer, *parts), array


def _numbered(weights: Group) -> Iterator[tuple[Place, Deferred]]:
    """Keras 0: layer_0, layer_1, …, each with param_0, param_1, …."""
    for layer in sorted(
        (name for name in weights.names() if name.startswith("layer_")), key=_number
    ):
        group = weights.group(layer)
        for name in sorted((n for n in group.names() if n.startswith("param_")), key=_number):
            yield (layer, name), replace(group.array(name), name=f"{layer}/{name}")


def _number(name: str) -> int:
    number = name.rpartition("_")[2]
    return int(number) if number.isdigit() else 0


IGNORED = ("StateVar", "seed_generator", "seed_generator_state")
"""What random layers store of their generators."""


def _tree(root: Group | Tree) -> Arrays:
    """Keras 3: a tree of objects, each with the numbered variables of its own."""
    found: list[tuple[Place, Deferred]] = []
    for path in root.datasets():
        parts = tuple(path.split("/"))
        if parts[0] in TREES and not set(parts) & set(IGNORED):
            found.append((parts, replace(root.array(path), name=path)))
    return Arrays(sorted(found, key=lambda entry: _in_numbers(entry[0])))


def _assets(archive: Archive) -> Iterator[tuple[Place, Deferred]]:
    """The files that layers need, beside the arrays of the layer: each a scalar of ``bytes``."""
    for name, read in archive.assets.items():
        place = tuple(name.split("/"))
        if place[0] in TREES:

            def content(read: Callable[[], bytes] = read) -> Array:
                return np.array(read(), object)

            yield place, Deferred(f"assets/{name}", (), np.dtype(object), content)


def _in_numbers(path: Place) -> tuple[tuple[int, str], ...]:
    """A key that puts the tenth variable after the second."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in path)
