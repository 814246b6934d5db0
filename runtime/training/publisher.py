"""The listener that puts each new best into a model repository, for a server that watches it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..check import TOLERANCE, Check, Difference, Recorded
from ..data import Dataset, classes_of, source_of
from ..device import to_numpy
from ..digests import digests
from ..errors import Disagreement
from ..export import export
from ..network import Network
from ..nn.summary import table
from ..preprocessing import Preprocessing
from ..report import Compared, LayerReport, Report, Source, finite
from ..repository import (
    CHECK,
    CONFIG,
    REPORT,
    SERVED,
    WEIGHTS,
    ModelConfig,
    ModelVersion,
    check_place,
    install,
    write_check,
    write_config,
)
from ..retirement import retire
from ..sessions import engine, sessions
from ..weights import WeightsFile
from .evaluation import LOSS
from .logs import VALIDATION_LOSS
from .loop import Epoch, Listener, Run
from .model import Model

Array = Any
ROWS = 4  # of the check
FORMAT = "cortex-train"
"""Of the source that the report on a published version names."""


@dataclass
class Publisher(Listener):
    """Installs each epoch that is the best so far as the next version of a model.

    A version is exported, computed by two engines on examples of the data, and installed only if
    all layers agree; what they computed goes with it as its check, and a report says how near they
    came.

    Attributes:
        repository: its folder.
        name: of the model.
        labels: what the classes are called; by default what the data call them. Written once, where
            the model has no configuration, with what the data's pictures went through.
        keep: how many published versions stay, two at least; None: all. Versions that were not
            published by a training stay, and those that the configuration wants served.
    """

    repository: Path
    name: str
    labels: tuple[str, ...] = ()
    keep: int | None = None

    def begin(self, run: Run) -> None:
        check_place(self.repository, self.name)
        engine()

    def epoch(self, run: Run, epoch: Epoch) -> None:
        if not epoch.best:
            return
        data, network = run.validation or run.data, run.trainer.network
        batch = next(iter(data.batches(ROWS)))
        place = publish(network, batch, self.repository, self.name, [_told(epoch)])
        if not (self.repository / self.name / CONFIG).exists():
            config = configured(network, run.data, self.labels)
            if config != ModelConfig():
                write_config(self.repository, self.name, config)
        run.say(f"published {place}")
        if self.keep is not None:
            for old in retire(self.repository, self.name, self.keep, _published):
                run.say(f"removed {self.repository / self.name / str(old.version)}")


def configured(network: Network, data: Dataset, labels: tuple[str, ...] = ()) -> ModelConfig:
    """How a network that was trained on these data wants to be served, as far as they say it.

    Their classes are its labels unless others are given, if its first output has a place for each;
    what their pictures went through is the server's to do, if its one input is of that size.
    """
    graph = network.graph
    first = graph.types[next(iter(graph.outputs.values()))]
    classes = classes_of(data)
    found = ModelConfig(labels=labels or (classes if first.shape[-1] == len(classes) else ()))
    done: Preprocessing | None = getattr(source_of(data), "preprocessing", None)
    inputs = [tensor.shape for name, tensor in graph.inputs.items() if name not in graph.states]
    if done and [shape[1:-1] for shape in inputs] == [done.size]:
        found = found.model_copy(update={"preprocessing": done})
    return found


def publish(
    network: Network,
    batch: Mapping[str, Array],
    root: Path,
    name: str,
    notes: Sequence[str] = (),
) -> Path:
    """Installs a network as the next version of a model, checked on a batch; where.

    States of a network that carries some begin with zeros; ``notes`` go into its report.

    Raises:
        Disagreement: two engines do not compute the same; nothing was installed.
        RepositoryError: the disk will not have it.
        MissingExtra: onnxruntime is not installed.
    """
    began, graph = time.monotonic(), network.graph
    single = Network(
        graph, {key: np.array(to_numpy(a), np.float32) for key, a in network.parameters.items()}
    )
    inputs = _inputs(network, batch)
    with install(root, name) as target:
        weights, place = target.path / WEIGHTS, root / name / str(target.version)
        single.write(weights)
        target.model.write_bytes(export(single, WeightsFile.open(weights)).SerializeToString())
        check, differences = _proved(single, target.model, inputs)
        write_check(target.path / CHECK, check)
        files = digests(target.path, SERVED)
        report = Report(
            model=name,
            version=target.version,
            path=str(place),
            verified=False,
            evidence="engines",
            reference="",
            source=Source(file=WEIGHTS, sha256=files[WEIGHTS], format=FORMAT),
            layers=tuple(_layers(single, differences)),
            outputs=tuple(
                Compared(**_compared(single, output, value, differences[output]))
                for output, value in graph.outputs.items()
            ),
            first_difference=None,
            seconds=round(time.monotonic() - began, 3),
            notes=tuple(notes),
            files=files,
        )
        (target.path / REPORT).write_text(report.to_json() + "\n")
    return place


def _inputs(network: Network, batch: Mapping[str, Array]) -> Mapping[str, Array]:
    """What the network reads of a batch, in the types that a server would be sent."""
    graph, inputs = network.graph, dict[str, Array]()
    rows = len(next(iter(batch.values())))
    for name, tensor in graph.inputs.items():
        dtype = "float32" if tensor.dtype == "float" else tensor.dtype
        if name in batch:
            inputs[name] = np.asarray(batch[name])[:ROWS].astype(dtype)
        else:
            sizes = [min(rows, ROWS) if isinstance(size, str) else size for size in tensor.shape]
            inputs[name] = np.zeros(sizes, dtype)
    return inputs


def _proved(
    network: Network, model: Path, inputs: Mapping[str, Array]
) -> tuple[Check, Mapping[str, Difference]]:
    """What onnxruntime computes, if NumPy computes the same in float64; and how near they come."""
    graph = network.graph
    names = list(dict.fromkeys([*graph.layers, *graph.outputs]))
    wanted = network.run(inputs, names, np.float64)
    served = dict(zip(names, sessions(model)(names, inputs), strict=True))
    found = {name: Recorded.of(wanted[name]).difference(served[name]) for name in names}
    for name, difference in found.items():
        if not difference.within(TOLERANCE):
            raise Disagreement(
                f"layer {name!r}: two engines differ by {difference.max_abs:.3g}, "
                f"of {difference.scale:.3g}; nothing was published"
            )
    records = {name: Recorded.of(value) for name, value in served.items()}
    outputs = {name: records[name] for name in graph.outputs}
    return Check(inputs, outputs, {name: records[name] for name in graph.layers}), found


def _layers(network: Network, differences: Mapping[str, Difference]) -> Sequence[LayerReport]:
    counts = {
        row.name: sum(prod(map(int, shape)) for shape in row.parameters.values())
        for row in table(Model(network)).rows
    }
    found: list[LayerReport] = []
    for name, layer in network.graph.layers.items():
        facts = _compared(network, name, layer.value, differences[name])
        facts |= {"class": layer.kind, "parameters": counts.get(name, 0)}
        found.append(LayerReport(**facts))
    return found


def _compared(network: Network, name: str, value: str, found: Difference) -> dict[str, Any]:
    return {
        "name": name,
        "output_shape": network.graph.types[value].shape,
        "max_abs": finite(found.max_abs),
        "scale": found.scale,
        "ok": True,
        "outside": False,
    }


def _told(epoch: Epoch) -> str:
    """What an epoch came to, in words."""
    names = {name: VALIDATION_LOSS if name == LOSS else name for name in epoch.metrics}
    measured = {names[name]: value for name, value in epoch.metrics.items()}
    parts = (f"{name} {value:.4g}" for name, value in {LOSS: epoch.loss, **measured}.items())
    return f"epoch {epoch.number} of a training: {', '.join(parts)}"


def _published(version: ModelVersion) -> bool:
    """Whether a training has put it there."""
    try:
        said: Any = json.loads((version.path / REPORT).read_bytes())
        return said["source"]["format"] == FORMAT
    except (OSError, ValueError, TypeError, KeyError):
        return False
