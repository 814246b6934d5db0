"""The listener that keeps a run's history as neon did, in an HDF5 file of numbers."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Batch
from ..errors import UnreadableFile
from ..files import check_place, replacing, set_aside
from .evaluation import LOSS
from .loop import Epoch, Listener, Run

Array = NDArray[Any]


@dataclass
class Hdf5History(Listener):
    """The loss of each batch and the metrics of each epoch, written anew after every epoch.

    ``cost/train`` has the batches' losses, ``time_markers/minibatch`` how many batches were done
    at the end of each epoch; ``cost/loss``, ``metrics/NAME`` (NaN where not evaluated),
    ``terms/NAME`` of a loss with several, ``rate`` and ``time/train`` (seconds) have a number an
    epoch. A run that is resumed goes on in its file; an older one of another run is set aside as
    NAME.1.
    """

    path: Path
    _batches: list[float] = field(default_factory=list[float], init=False, repr=False)
    _markers: list[int] = field(default_factory=list[int], init=False, repr=False)

    def begin(self, run: Run) -> None:
        check_place(self.path)
        self._batches, self._markers = [], []
        if not (run.history or run.losses):
            set_aside(self.path)
            return
        if self.path.exists():
            self._read(len(run.history))
        # What a lost file knew, nobody knows now.
        while len(self._markers) < len(run.history):
            self._batches += [np.nan] * run.steps
            self._markers.append(len(self._batches))
        self._batches += run.losses

    def batch(self, run: Run, batch: Batch, loss: float) -> None:
        self._batches.append(loss)

    def epoch(self, run: Run, epoch: Epoch) -> None:
        self._markers.append(len(self._batches))
        self._write(run)

    def end(self, run: Run) -> None:
        if run.losses:
            self._write(run)

    def _read(self, epochs: int) -> None:
        h5py: Any = importlib.import_module("h5py")
        try:
            with h5py.File(self.path) as file:
                markers: Array = file["time_markers/minibatch"][:epochs]
                self._markers = [int(n) for n in markers]
                done = self._markers[-1] if self._markers else 0
                self._batches = [float(n) for n in file["cost/train"][:done]]
        except (OSError, KeyError) as error:
            raise UnreadableFile(f"{self.path}: not the history of a run: {error}") from None

    def _write(self, run: Run) -> None:
        h5py: Any = importlib.import_module("h5py")
        with replacing(self.path) as stage, h5py.File(stage, "w") as file:
            file.create_group("config").attrs.update(
                total_epochs=run.epochs or len(run.history), total_minibatches=len(self._batches)
            )
            file["cost/train"] = np.array(self._batches)
            file["cost/train"].attrs["time_markers"] = "minibatch"
            file["time_markers/minibatch"] = np.array(self._markers, np.int64)
            for name, values in self._columns(run).items():
                file[name] = np.array(values)
                file[name].attrs.update(time_markers="epoch_freq", epoch_freq=1)

    def _columns(self, run: Run) -> dict[str, list[float]]:
        columns = {
            "rate": [each.rate for each in run.history],
            "time/train": [each.seconds for each in run.history],
        }
        for metric in dict.fromkeys(name for each in run.history for name in each.metrics):
            place = "cost/loss" if metric == LOSS else f"metrics/{metric.replace('/', '_')}"
            columns[place] = [each.metrics.get(metric, np.nan) for each in run.history]
        for term in dict.fromkeys(name for each in run.history for name in each.terms):
            place = f"terms/{term.replace('/', '_')}"
            columns[place] = [each.terms.get(term, np.nan) for each in run.history]
        return columns
