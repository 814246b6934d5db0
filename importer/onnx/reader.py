"""Reads ONNX files; those that the table does not know whole are handed on as they are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onnx import TensorProto

from ...runtime.check import Array
from ...runtime.errors import UnreadableFile, Unsupported, UsageError
from ...runtime.repository import CHECK, MODEL, REPORT
from ..reference import Reference
from ..source import ModelSource, Reading, Unread
from .build import described
from .file import OnnxFile, not_text, read_file, tensors
from .inputs import element_types, near_types
from .tensors import place
from .witness import computed, reference, witness_name

FORMAT = "onnx"
NO_USE = {
    "weights": "weights",
    "architecture": "architecture",
    "keras1_backend": "keras1-backend",
    "substitutes": "substitute",
}
"""Options, by what ``ModelSource`` calls them."""


def read(source: ModelSource) -> Reading | Unread:
    """Reads a model.

    Raises:
        UnreadableFile: no ONNX model, damaged, or unsafe.
        UsageError: an option that says nothing of such a file.
    """
    for name, option in NO_USE.items():
        if getattr(source, name):
            raise UsageError(f"{source.path}: an ONNX file has no use for --{option}")
    try:
        return _read(source, read_file(source.path))
    except UnicodeDecodeError:
        raise not_text(source.path) from None


def _read(source: ModelSource, file: OnnxFile) -> Reading | Unread:
    beside = _beside(file)
    try:
        found = described(file, source.input_shapes)
    except Unsupported as error:
        return _unread(file, beside, str(error).removeprefix(f"{file.path}: "))
    outputs = list(found.network.graph.outputs)

    def ask(inputs: Mapping[str, Array]) -> Reference:
        return reference(file, inputs, outputs, found.values)

    return Reading(file.path, FORMAT, found.network, notes=_notes(file), witness=ask)


def _notes(file: OnnxFile) -> tuple[str, ...]:
    producer = f"{file.model.producer_name} {file.model.producer_version}".strip()
    producer = "".join(filter(str.isprintable, producer))
    return (f"opset {file.opset}" + (f", written by {producer[:60]}" if producer else ""),)


def _beside(file: OnnxFile) -> Mapping[str, Path]:
    """The files with its arrays that lie beside it, by where it says they are.

    Raises:
        UnreadableFile: one that is not in its folder.
    """
    found: dict[str, Path] = {}
    for tensor in tensors(file):
        if tensor.data_location == TensorProto.EXTERNAL:
            at, _, _ = place(tensor, file.path)
            found[str(at.relative_to(file.path.parent.resolve()))] = at
    return found


def _unread(file: OnnxFile, beside: Mapping[str, Path], why: str) -> Unread:
    outputs = [value.name for value in file.graph.output]
    if taken := beside.keys() & {MODEL, CHECK, REPORT}:
        raise UnreadableFile(f"{file.path}: it keeps arrays in {sorted(taken)[0]!r}")
    given = [value for value in file.graph.input if value.name not in file.initializers]
    try:
        types, elements = near_types(given), element_types(given)
    except Unsupported as error:
        raise Unsupported(f"{file.path}: {error}; and not read: {why}") from None
    return Unread(
        file.path,
        FORMAT,
        why,
        _notes(file),
        types,
        elements,
        outputs,
        witness_name(),
        partial(computed, file.path, outputs),
        Files(file.path, beside),
    )


@dataclass(frozen=True)
class Files:
    """The files of a model that is served as it is."""

    path: Path
    beside: Mapping[str, Path]

    def copy(self, folder: Path) -> list[str]:
        """Copies them into the folder of a version; their names there."""
        shutil.copyfile(self.path, folder / MODEL)
        for name, source in self.beside.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)
        return [MODEL, *self.beside]
