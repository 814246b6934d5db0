"""What a repository holds: models, their versions and their settings, however they are laid out.

As cortex-import writes them, as Triton has them, and bare ones, without settings or a check:

    NAME/config.json    NAME/VERSION/model.onnx
    NAME/config.pbtxt   NAME/VERSION/model.onnx
    NAME/VERSION/any.onnx
    NAME/any.onnx                                   which is version 1
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from ...runtime.errors import RepositoryError, problem
from ...runtime.repository import (
    CHECK,
    CONFIG,
    MODEL,
    NAME,
    REPORT,
    VERSION,
    ModelConfig,
    ModelVersion,
)
from . import triton
from .roots import Root, Stamp
from .triton import Declared

ONNX = ".onnx"
PROOFS = (CHECK, REPORT)

Files: TypeAlias = Mapping[str, Stamp]


@dataclass(frozen=True, slots=True)
class PlacedVersion(ModelVersion):
    """A version on this machine whose graph and settings need not lie where ours do."""

    graph: str = MODEL
    settings: ModelConfig = ModelConfig()  # noqa: RUF009 -- it is frozen

    @property
    def model(self) -> Path:
        """The ONNX graph."""
        return self.path / self.graph

    def config(self) -> ModelConfig:
        """How to serve the model."""
        return self.settings


@dataclass(frozen=True, slots=True)
class FoundVersion:
    """A version as its root has it. Two that are equal hold the same."""

    root: Root
    name: str
    number: int
    folder: str
    files: Files

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        return f"{self.root.place}/{self.folder}"

    @property
    def size(self) -> int:
        """Bytes of what is loaded of it: an estimate of the memory that it takes."""
        return sum(at.size for file, at in self.files.items() if file not in PROOFS)

    def graph(self, named: str) -> str:
        """The file of its graph: the one that is ``named``, model.onnx, or the only one.

        Raises:
            RepositoryError: there is no saying which.
        """
        graphs = [file for file in self.files if file.endswith(ONNX)]
        if named or MODEL in graphs:
            graphs = [file for file in graphs if file == (named or MODEL)]
        if len(graphs) != 1:
            found = f"found {', '.join(sorted(graphs))}" if graphs else "found none"
            raise RepositoryError(
                f"{self.place}: one graph is needed, called {named or MODEL}; {found}"
            )
        return graphs[0]

    def bring(self, described: Declared) -> PlacedVersion:
        """Has its files on this machine; blocks.

        Raises:
            RepositoryError: there are none, or they cannot be read.
        """
        graph = self.graph(described.file)
        path = self.root.bring(self.folder, self.files)
        return PlacedVersion(self.name, self.number, path, graph, described.config)


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model as its root has it. Two that are equal hold the same."""

    root: Root
    name: str
    versions: Mapping[int, FoundVersion]
    loose: Files  # beside the versions, its settings among them

    def described(self) -> Declared:
        """How it is to be served; blocks.

        Raises:
            CortexError: its settings make no sense.
        """
        for file, read in ((CONFIG, ours), (triton.CONFIG, triton.read)):
            if file in self.loose:
                path = f"{self.name}/{file}"
                return read(self.root.read(path), self.name, f"{self.root.place}/{path}")
        return plain(ModelConfig())


def plain(config: ModelConfig) -> Declared:
    """Settings that declare nothing else of the model."""
    return Declared(config, {}, {}, "", ())


def ours(text: bytes, name: str, what: str) -> Declared:
    """Reads our ``config.json``; messages begin with ``what``.

    Raises:
        RepositoryError: it makes no sense.
    """
    try:
        return plain(ModelConfig.model_validate_json(text))
    except ValidationError as error:
        raise RepositoryError(f"{what}: {problem(error)}") from None


def given(text: str, name: str) -> Declared:
    """Reads the settings that came with a request to load: JSON of our fields or of Triton's.

    Raises:
        RepositoryError: they make no sense.
        Unsupported: the model is said to be no ONNX model.
    """
    what = f"model {name!r}: config"
    try:
        fields: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RepositoryError(f"{what}: no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise RepositoryError(f"{what}: a JSON object is needed")
    if ModelConfig.model_fields.keys() >= fields.keys():
        return ours(text.encode(), name, what)
    return triton.of_fields(fields, name, what)


def find(root: Root, files: Files) -> Mapping[str, FoundModel]:
    """The models among the files of a repository, by name; what has no graph is none."""
    folders: dict[str, dict[str, dict[str, Stamp]]] = {}
    for path, stamp in files.items():
        name, *between, file = path.split("/")
        if NAME.fullmatch(name) and len(between) < 2:
            folders.setdefault(name, {}).setdefault("".join(between), {})[file] = stamp
    found = (_model(root, name, within) for name, within in sorted(folders.items()))
    return {model.name: model for model in found if model.versions}


def strays(files: Files, models: Mapping[str, FoundModel]) -> Iterator[str]:
    """The graphs that make no model where they lie; what is hidden is meant to make none."""
    for path in files:
        hidden = path.startswith(".") or "/." in path
        if path.endswith(ONNX) and path.split("/")[0] not in models and not hidden:
            yield path


def _model(root: Root, name: str, within: Mapping[str, Files]) -> FoundModel:
    loose = within.get("", {})
    foreign = triton.CONFIG in loose  # it says itself that it is a model
    versions = {
        int(folder): FoundVersion(root, name, int(folder), f"{name}/{folder}", files)
        for folder, files in within.items()
        if VERSION.fullmatch(folder) and (foreign or _has_graph(files))
    }
    if not versions and _has_graph(loose):
        versions = {1: FoundVersion(root, name, 1, name, _without_settings(loose))}
    return FoundModel(root, name, versions, loose)


def _has_graph(files: Files) -> bool:
    return any(file.endswith(ONNX) for file in files)


def _without_settings(files: Files) -> Files:
    return {file: at for file, at in files.items() if file not in (CONFIG, triton.CONFIG)}
