"""The formats that are read, each by its reader: what a file is, its content says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..runtime.errors import UnreadableFile, UsageError
from .sniff import Kind, refusal, sniff
from .source import ModelSource, Reading, Unread

Reader = Callable[[ModelSource], Reading | Unread]

CHOICE_OF_LAYOUT: frozenset[Kind] = frozenset({"nippy"})
"""Formats whose images have their channels first, and may be given with them last."""

OPEN_SHAPES: frozenset[Kind] = frozenset({"caffemodel", "prototxt", "neon", "pickle", "onnx"})
"""Formats that may leave the shape of an input to the data."""


def read(source: ModelSource) -> Reading | Unread:
    """Reads a model file of any format that is known.

    Raises:
        UnreadableFile: none of them, damaged, or unsafe.
        Unsupported: a layer or an option that Cortex cannot compute, by name.
    """
    kind = sniff(source.path)
    reader = _reader(kind, source.path)
    if reader is None:
        raise UnreadableFile(f"{source.path}: {refusal(kind)}")
    if source.input_layout and kind not in CHOICE_OF_LAYOUT:
        raise UsageError(f"--input-layout: {source.path} says itself how images are given")
    if source.input_shapes and kind not in OPEN_SHAPES:
        raise UsageError(f"--input-shape: {source.path} says itself what shape its inputs have")
    return reader(source)


def untrained(source: ModelSource) -> Mapping[str, Any] | None:
    """The cortex-train spec of a file that describes a network but brings no weights.

    None for any other file: ``read`` is for those.

    Raises:
        UnreadableFile: damaged, or unsafe.
        Unsupported: a layer or an option that Cortex cannot compute, by name.
    """
    if source.weights is None and sniff(source.path) == "neon":
        from .neon.spec import spec_of

        return spec_of(source)
    return None


def _reader(kind: Kind, path: Path) -> Reader | None:
    """Readers are loaded when a file wants them: each brings a library of its own."""
    match kind:
        case "caffemodel" | "prototxt":
            from .caffe.reader import read
        case "hdf5" if _is_caffe(path):
            from .caffe.reader import read
        case "zip" | "directory" | "hdf5" | "json" | "yaml":
            from .keras.reader import read
        case "onnx":
            from .onnx.reader import read
        case "nippy":
            from .nippy.reader import read
        case "pickle" | "neon":
            from .neon.reader import read
        case _:
            return None
    return read


def _is_caffe(path: Path) -> bool:
    from .caffe.side import is_side_file

    return is_side_file(path)
