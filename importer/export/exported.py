"""An export: the file is written, read again, and run, before it takes its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from ...runtime.check import Array, Recorded
from ...runtime.digests import digests
from ...runtime.errors import Disagreement, UsageError
from ...runtime.files import replacing
from ...runtime.network import Network
from ...runtime.report import Compared, Strict, finite
from ..proof import Proof
from ..sample import sample_inputs
from .model import Source

Format: TypeAlias = Literal["onnx", "keras", "safetensors"]
ENDINGS: Mapping[str, Format] = {
    ".onnx": "onnx",
    ".keras": "keras",
    ".h5": "keras",
    ".hdf5": "keras",
    ".safetensors": "safetensors",
}
"""What a file is to be, by the ending of its name; of each format the usual one comes first."""
TOLERANCES: Mapping[Format, float] = {"onnx": 1e-4, "keras": 1e-6, "safetensors": 0.0}
"""The largest difference of an output, relative to its scale.

onnxruntime computes in single precision; what our own reader makes of the file, in double.
"""


Run: TypeAlias = Callable[[Path, Network, Mapping[str, Array]], Sequence[Array]]
"""Reads the file that was written of a network, and runs it on inputs; its outputs in order."""


class ExportReport(Strict):
    """What --json prints. ``engine`` read the file again, and ran it."""

    model: str
    source: str
    path: str
    format: Format
    engine: str
    outputs: tuple[Compared, ...]
    notes: tuple[str, ...]
    files: dict[str, str]
    seconds: float

    @property
    def largest(self) -> float:
        """The largest difference of an output, relative to its scale."""
        return max(((at.max_abs or 0.0) / at.scale for at in self.outputs), default=0.0)


def file_for(source: Source, file: Path | None, to: Format | None) -> tuple[Path, Format]:
    """The file to write and its format, of which one says the other.

    Raises:
        UsageError: they contradict each other, or neither says it.
    """
    if file is None:
        if to is None:
            raise UsageError(
                f"--to: say what to write, {', '.join(dict.fromkeys(ENDINGS.values()))}"
            )
        ending = next(ending for ending, known in ENDINGS.items() if known == to)
        return Path(f"{source.name}{ending}"), to
    found = ENDINGS.get(file.suffix.lower())
    if found is None or to not in (None, found):
        wanted = [ending for ending, known in ENDINGS.items() if to in (None, known)]
        raise UsageError(f"{file}: a file for {to or 'this'} ends in {' or '.join(wanted)}")
    if not file.parent.is_dir():
        raise UsageError(f"{file}: there is no folder {file.parent}")
    return file, found


def export_to(source: Source, file: Path, to: Format) -> ExportReport:
    """Writes the network into ``file``; what was there is replaced when all has gone well.

    Raises:
        Unsupported: the format has no form for an operation.
        Disagreement: what was written computes something else; nothing is left of it.
        UnwritableFile: the disk will not have it.
    """
    start, network = time.monotonic(), source.network
    found: list[Compared] = []
    inputs = sample_inputs(network.graph)

    def check(stage: Path) -> None:
        outputs = RUNS[to](stage, network, inputs)
        found.extend(_compared(network, inputs, outputs, TOLERANCES[to]))
        if different := [at for at in found if not at.ok]:
            raise Disagreement(
                f"{file}: output {different[0].name!r} of what was written differs by "
                f"{different[0].max_abs} of {different[0].scale:.6g}; nothing was left there"
            )

    with replacing(file) as stage:
        written = _write(stage, source, file, to, check)
    return ExportReport(
        model=source.name,
        source=str(source.path),
        path=str(file),
        format=to,
        engine=ENGINES[to],
        outputs=tuple(found),
        notes=written.notes,
        files=digests(file.parent, written.files),
        seconds=round(time.monotonic() - start, 3),
    )


@dataclass(frozen=True)
class _Written:
    notes: tuple[str, ...]
    files: Sequence[str]


def _write(
    stage: Path, source: Source, file: Path, to: Format, check: Callable[[Path], None]
) -> _Written:
    network = source.network
    if to == "onnx":
        from .onnx_file import write_onnx

        data = file.with_name(f"{file.name}.data")
        notes = write_onnx(stage, network, data, check)
        return _Written(notes, [file.name, *([data.name] if data.exists() else [])])
    if to == "keras":
        from .keras.containers import write_archive, write_hdf5
        from .keras.writer import keras_model

        written = keras_model(network, source.name)
        (write_archive if file.suffix.lower() == ".keras" else write_hdf5)(stage, written.model)
        check(stage)
        return _Written(written.notes, [file.name])
    network.write(stage)
    check(stage)
    return _Written((), [file.name])


def _compared(
    network: Network, inputs: Mapping[str, Array], outputs: Sequence[Array], tolerance: float
) -> Sequence[Compared]:
    expected = network.run(inputs, dtype=np.float64)
    found: list[Compared] = []
    for (name, wanted), value in zip(expected.items(), outputs, strict=True):
        difference = Recorded.of(wanted, wanted.size or 1).difference(value)
        found.append(
            Compared(
                name=name,
                output_shape=wanted.shape,
                max_abs=finite(difference.max_abs),
                scale=difference.scale,
                ok=difference.within(tolerance),
                outside=False,
            )
        )
    return found


def _run_onnx(stage: Path, network: Network, inputs: Mapping[str, Array]) -> Sequence[Array]:
    from ...runtime.sessions import sessions

    single = {name: _single(array) for name, array in inputs.items()}
    return sessions(stage)(list(network.graph.outputs), single)


def _single(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _run_keras(stage: Path, network: Network, inputs: Mapping[str, Array]) -> Sequence[Array]:
    from ..imported import read_model
    from ..source import ModelSource

    again = read_model(ModelSource(stage), Proof()).network
    return _run_again(again, network, inputs)


def _run_safetensors(stage: Path, network: Network, inputs: Mapping[str, Array]) -> Sequence[Array]:
    return _run_again(Network.load(stage), network, inputs)


def _run_again(again: Network, network: Network, inputs: Mapping[str, Array]) -> Sequence[Array]:
    given = [inputs[name] for name in network.graph.inputs]
    named = dict(zip(again.graph.inputs, given, strict=True))
    return list(again.run(named, dtype=np.float64).values())


RUNS: dict[Format, Run] = {"onnx": _run_onnx, "keras": _run_keras, "safetensors": _run_safetensors}
ENGINES: Mapping[Format, str] = {
    "onnx": "onnxruntime",
    "keras": "the reader of Keras files here",
    "safetensors": "the reader of networks here",
}
