"""What a network should compute: recorded outputs, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..runtime.check import Array, Expected, Recorded, Statistics
from ..runtime.errors import UnreadableFile
from ..runtime.report import Evidence
from .deferred import Deferred
from .keras.containers.hdf5 import Group, open_file

SUFFIX = ".reference.h5"


@dataclass(frozen=True)
class Reference:
    """Inputs, and what came of them: by layer, and by output in the model's order.

    Layers are named as in their file, "model/layer" inside a model, with ":1" for the second call
    and "#1" for the second output. ``second`` are the outputs for the same inputs in the call
    after, of a model that keeps states. ``notes`` say how it came about.
    """

    evidence: Evidence
    name: str
    inputs: Mapping[str, Array]
    outputs: Sequence[Recorded] = ()
    second: Sequence[Recorded] = ()
    layers: Mapping[str, Expected] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def beside(path: Path) -> Path | None:
    """The reference file that lies beside a model file, if there is one."""
    file = path.with_name(path.stem + SUFFIX)
    return file if file.is_file() else None


def read_reference(path: Path, evidence: Evidence = "recorded") -> Reference:
    """Reads a reference file.

    Layout: ``inputs/NAME``, ``outputs/0..n``, ``outputs_second_call/0..n``, ``layer_outputs/LAYER``
    and, for layers too large to keep, ``layer_stats/LAYER`` (mean, std, min, max, then the first
    elements; attribute ``shape``). A slash in a layer's name is written "|". Or that of
    thinktopic/cortex: ``test_image`` and ``layer_outputs/LAYER``.

    Raises:
        UnreadableFile: not such a file.
    """
    with open_file(path) as file:
        root = Group(path, file)
        if "test_image" in root:
            return _of_cortex(path, root, evidence)
        if "inputs" not in root:
            raise UnreadableFile(f"{path}: not a reference file: it has no group 'inputs'")
        inputs = {_name(n): _array(root, "inputs", n) for n in root.group("inputs").names()}
        outputs, second = (_numbered(path, root, name) for name in ("outputs", SECOND))
        layers: dict[str, Expected] = {}
        if "layer_stats" in root:
            for name in root.group("layer_stats").names():
                layers[_name(name)] = _statistics(path, root, name)
        if "layer_outputs" in root:
            for name in root.group("layer_outputs").names():
                layers[_name(name)] = Recorded.of(_array(root, "layer_outputs", name), _ALL)
        engine = None if evidence == "recorded" else root.text("engine")
    return Reference(evidence, engine or path.name, inputs, outputs, second, layers)


SECOND = "outputs_second_call"
_ALL = 1 << 62


def _of_cortex(path: Path, root: Group, evidence: Evidence) -> Reference:
    """One image, and every layer's output for it; neither has to have a batch axis."""
    image, stored = np.asarray(root.array("test_image")), root.group("layer_outputs")
    single = image.ndim == 3
    layers = {name: np.asarray(stored.array(name)) for name in stored.names()}
    recorded = {
        _name(name): Recorded.of(array[None] if single else array, _ALL)
        for name, array in layers.items()
    }
    return Reference(evidence, path.name, {"": image[None] if single else image}, layers=recorded)


def _name(stored: str) -> str:
    return stored.replace("|", "/").removesuffix("#0")


def _array(root: Group, group: str, name: str) -> Array:
    return np.asarray(root.group(group).array(name))


def _numbered(path: Path, root: Group, group: str) -> list[Recorded]:
    """The arrays 0, 1, … of a group that may be missing."""
    if group not in root:
        return []
    names = root.group(group).names()
    if not all(name.isdigit() for name in names):
        raise UnreadableFile(f"{path}: its {group} are called {names}, not 0, 1, …")
    return [Recorded.of(_array(root, group, name), _ALL) for name in sorted(names, key=int)]


def _statistics(path: Path, root: Group, name: str) -> Statistics:
    values: Deferred = root.group("layer_stats").array(name)
    shape = root.group("layer_stats").numbers(name, "shape")
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or numbers.size < 4 or shape is None:
        raise UnreadableFile(f"{path}: the statistics of layer {name!r} are damaged")
    mean, std, low, high = (float(n) for n in numbers[:4])
    size = int(np.prod(shape, dtype=np.int64))
    return Statistics(shape, mean, std, low, high, numbers[4 : 4 + size])
