"""The formats that are read, each by its reader: what a file is, its content says."""

from __future__ import annotations

from collections.abc import Callable

from ..runtime.errors import UnreadableFile
from .sniff import Kind, refusal, sniff
from .source import ModelSource, Reading

Reader = Callable[[ModelSource], Reading]


def read(source: ModelSource) -> Reading:
    """Reads a model file of any format that is known.

    Raises:
        UnreadableFile: none of them, damaged, or unsafe.
        Unsupported: a layer or an option that Cortex cannot compute, by name.
    """
    kind = sniff(source.path)
    reader = _reader(kind)
    if reader is None:
        raise UnreadableFile(f"{source.path}: {refusal(kind)}")
    return reader(source)


def _reader(kind: Kind) -> Reader | None:
    """Readers are loaded when a file wants them: each brings a library of its own."""
    match kind:
        case "zip" | "directory" | "hdf5" | "json" | "yaml":
            from .keras.reader import read
        case _:
            return None
    return read
