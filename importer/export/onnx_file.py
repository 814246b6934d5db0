"""One file of ONNX that holds its weights, as other tools want it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto

from ...runtime.errors import UnwritableFile
from ...runtime.export import export
from ...runtime.files import replacing
from ...runtime.network import Network
from ...runtime.repository import WEIGHTS
from ...runtime.weights import WeightsFile

LARGEST = (1 << 31) - (64 << 20)
"""Bytes of weights in one file: protocol buffers end at two GiB, and the graph needs some."""


def write_onnx(
    path: Path, network: Network, data: Path, check: Callable[[Path], None]
) -> tuple[str, ...]:
    """Writes the network as ONNX.

    Args:
        path: the file to write.
        network: what to write.
        data: the file that the weights are written to where they are too many for one.
        check: is called with the file, which can be run then; what it raises is raised.

    Returns:
        What there is to say of the file.

    Raises:
        UnwritableFile: ``data`` is needed, and there is one already.
    """
    with tempfile.TemporaryDirectory(prefix=".onnx-", dir=path.parent) as folder:
        weights = Path(folder) / WEIGHTS
        network.write(weights)
        stored = WeightsFile.open(weights)
        model = export(network, stored)
        notes = tuple(_notes(model))
        if sum(at.size for at in stored.stored.values()) <= LARGEST:
            _take_in(model, stored)
            path.write_bytes(model.SerializeToString())
            check(path)
            return notes
        if data.exists():
            raise UnwritableFile(f"{data}: the weights would be written there; remove it first")
        with replacing(data) as part:
            weights.replace(part)
            _write_beside(path, model, part)
            check(path)
        _write_beside(path, model, data)
    return *notes, f"the weights are more than one file may have: they are in {data.name}"


def _take_in(model: ModelProto, stored: WeightsFile) -> None:
    arrays = stored.arrays()
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            del tensor.external_data[:]
            tensor.data_location = TensorProto.DEFAULT
            tensor.raw_data = np.ascontiguousarray(arrays[tensor.name]).tobytes()


def _write_beside(path: Path, model: ModelProto, data: Path) -> None:
    """Writes a graph whose weights lie in ``data``."""
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = data.name
    path.write_bytes(model.SerializeToString())


def _notes(model: ModelProto) -> Iterator[str]:
    if any(opset.domain == "com.microsoft" for opset in model.opset_import):
        yield "some of its operators are onnxruntime's own (com.microsoft)"
