"""The HDF5 form that thinktopic/cortex keeps Caffe networks in: text, arrays, and every output.

``model_prototxt`` is the architecture, ``model_weights/LAYER/LAYER_W`` and ``_b`` are its arrays,
``layer_outputs/BLOB`` is what Caffe computed of an input of ones.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...runtime.check import Array, Recorded
from ...runtime.errors import UnreadableFile
from ..deferred import Deferred
from ..keras.containers.hdf5 import Group, open_file
from ..reference import Reference
from .build import Built
from .net import LayerFacts, NetFacts

PROTOTXT, WEIGHTS, OUTPUTS = "model_prototxt", "model_weights", "layer_outputs"
ENDINGS = ("W", "b")
_ALL = 1 << 62


def is_side_file(path: Path) -> bool:
    """Whether an HDF5 file is of this form.

    Raises:
        UnreadableFile: it is damaged, or unsafe.
    """
    with open_file(path) as file:
        return PROTOTXT in Group(path, file)


def prototxt(path: Path) -> str:
    """The architecture.

    Raises:
        UnreadableFile: it is no text.
    """
    with open_file(path) as file:
        return Group(path, file).string(PROTOTXT)


def with_arrays(path: Path, net: NetFacts) -> NetFacts:
    """The layers with the arrays that the file has for them."""
    with open_file(path) as file:
        root = Group(path, file)
        group = root.group(WEIGHTS) if WEIGHTS in root else None
        layers = tuple(replace(one, arrays=_arrays(group, one)) for one in net.layers)
    return replace(net, layers=layers)


def _arrays(group: Group | None, layer: LayerFacts) -> tuple[Deferred, ...]:
    if group is None:
        return ()
    names = [f"{layer.name}/{layer.name}_{ending}" for ending in ENDINGS]
    return tuple(group.array(name) for name in names if name in group)


def witness(path: Path, built: Built) -> Reference | None:
    """What Caffe computed of ones, by the layers that write the blobs; None if it is not kept."""
    graph, writers = built.network.graph, built.writers
    with open_file(path) as file:
        root = Group(path, file)
        if OUTPUTS not in root:
            return None
        group = root.group(OUTPUTS)
        found = {
            blob: Recorded.of(np.asarray(group.array(blob)), _ALL)
            for blob in writers
            if blob in group
        }
    rows = {each.shape[:1] for each in found.values()}
    if len(rows) != 1 or () in rows:
        raise UnreadableFile(f"{path}: its {OUTPUTS} are of no number of rows, or of several")
    (row,) = rows
    inputs: dict[str, Array] = {
        name: np.ones((*row, *map(int, tensor.shape[1:])), np.float32)
        for name, tensor in graph.inputs.items()
    }
    layers = {writers[blob]: value for blob, value in found.items()}
    is_whole = found.keys() >= graph.outputs.keys()
    outputs = [found[blob] for blob in graph.outputs] if is_whole else []
    return Reference("recorded", path.name, inputs, outputs, layers=layers)
