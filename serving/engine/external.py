"""The files that a graph's weights lie in: whether all of them are there, and where they are.

onnxruntime says of a file that is cut short where in its own source it noticed, and refuses one
that lies elsewhere, behind a link. What a repository links to is its operator's choice; what a
graph names, which may be a stranger's, stays within its folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ...runtime.digests import AGAIN
from ...runtime.errors import UnreadableFile

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

TOP = Path("/")


def located(graph: ModelProto, folder: Path) -> Path:
    """The folder that the graph's weights lie in, by their names there; mostly ``folder``.

    Where a link leads out of it, the names in ``graph`` are changed into those from the root of
    the file system, which is returned.

    Raises:
        UnreadableFile: a file is not there or is too short, or its name leads out of ``folder``.
    """
    found = [(tensor, _file(tensor, folder)) for tensor in _external(graph.graph)]
    inside = folder.resolve()
    if all(file.resolve().is_relative_to(inside) for file in {file for _, file in found}):
        return folder
    for tensor, file in found:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = os.path.relpath(file.resolve(), TOP)
    return TOP


def _external(graph: GraphProto) -> Iterator[TensorProto]:
    """The tensors whose elements lie in files, those in the bodies of loops among them."""
    yield from (tensor for tensor in graph.initializer if tensor.external_data)
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        tensors = (attribute.t, *attribute.tensors)
        yield from (tensor for tensor in tensors if tensor.external_data)
        for inner in (attribute.g, *attribute.graphs):
            yield from _external(inner)


def _file(tensor: TensorProto, folder: Path) -> Path:
    """The file of a tensor, which is there and long enough."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    name = PurePosixPath(told.get("location", ""))
    file = folder / name
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise UnreadableFile(
            f"{folder}: its graph looks for weights at {str(name)[:100]!r}, which is not a file "
            "of this folder; import the model again"
        )
    if not file.is_file():
        what = "a link that leads nowhere" if file.is_symlink() else "no such file"
        raise UnreadableFile(f"{file}: {what}, and the graph has its weights there; {AGAIN}")
    end = int(told.get("offset", 0)) + int(told.get("length", 0))
    if (size := file.stat().st_size) < end:
        raise UnreadableFile(
            f"{file}: cut short: it has {size:,} bytes, the graph has weights up to byte {end:,}; "
            f"{AGAIN}"
        )
    return file
