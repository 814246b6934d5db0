"""The listener that puts each new best into a model repository, for a server that watches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..check import TOLERANCE, Check, Difference, Recorded
from ..device import to_numpy
from ..errors import Disagreement
from ..export import export
from ..network import Network
from ..repository import CHECK, CONFIG, WEIGHTS, ModelConfig, install, write_check, write_config
from ..sessions import sessions
from ..weights import WeightsFile
from .loop import Epoch, Listener, Run

Array = Any
ROWS = 4  # of the check


@dataclass
class Publisher(Listener):
    """Installs each epoch that is the best so far as the next version of a model.

    A version is exported, computed by two engines on examples of the data, and installed only if
    all layers agree; what they computed goes with it as its check.

    Attributes:
        repository: its folder.
        name: of the model.
        labels: what the classes are called; written once, where the model has no configuration.
    """

    repository: Path
    name: str
    labels: tuple[str, ...] = ()

    def epoch(self, run: Run, epoch: Epoch) -> None:
        if not epoch.best:
            return
        data = run.validation or run.data
        batch = next(iter(data.batches(ROWS)))
        place = publish(run.trainer.network, batch, self.repository, self.name)
        if self.labels and not (self.repository / self.name / CONFIG).exists():
            write_config(self.repository, self.name, ModelConfig(labels=self.labels))
        run.say(f"published {place}")


def publish(network: Network, batch: Mapping[str, Array], root: Path, name: str) -> Path:
    """Installs a network as the next version of a model, checked on a batch; where.

    States of a network that carries some begin with zeros.

    Raises:
        Disagreement: two engines do not compute the same; nothing was installed.
        RepositoryError: the disk will not have it.
        MissingExtra: onnxruntime is not installed.
    """
    graph = network.graph
    single = Network(
        graph, {key: np.array(to_numpy(a), np.float32) for key, a in network.parameters.items()}
    )
    inputs = _inputs(network, batch)
    with install(root, name) as target:
        weights = target.path / WEIGHTS
        single.save(weights)
        target.model.write_bytes(export(single, WeightsFile.open(weights)).SerializeToString())
        write_check(target.path / CHECK, _proved(single, target.model, inputs))
    return root / name / str(target.version)


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


def _proved(network: Network, model: Path, inputs: Mapping[str, Array]) -> Check:
    """What onnxruntime computes, if NumPy computes the same in float64."""
    graph = network.graph
    names = list(dict.fromkeys([*graph.layers, *graph.outputs]))
    wanted = network.run(inputs, names, np.float64)
    served = dict(zip(names, sessions(model)(names, inputs), strict=True))
    for name, found in _differing(wanted, served):
        raise Disagreement(
            f"layer {name!r}: two engines differ by {found.max_abs:.3g}, of {found.scale:.3g}; "
            "nothing was published"
        )
    records = {name: Recorded.of(value) for name, value in served.items()}
    return Check(
        inputs,
        {name: records[name] for name in graph.outputs},
        {name: records[name] for name in graph.layers},
    )


def _differing(
    wanted: Mapping[str, Array], found: Mapping[str, Array]
) -> Iterator[tuple[str, Difference]]:
    record = Check({}, {}, {name: Recorded.of(value) for name, value in wanted.items()}, TOLERANCE)
    return record.differing_layers(found.__getitem__)
