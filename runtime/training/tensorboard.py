"""The listener that writes what TensorBoard shows."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ..data import Batch
from ..device import to_numpy
from ..errors import UnwritableFile
from ..files import told
from .evaluation import LOSS
from .events import EventFile
from .loop import Epoch, Listener, Run


@dataclass
class TensorBoard(Listener):
    """Event files in ``folder``: after each epoch the metrics, the rate, and the parameters.

    The losses are ``metrics/train-loss`` and ``metrics/test-loss``, a measure is ``metrics/NAME``,
    a term of a loss with several ``terms/NAME``, the distribution of a parameter ``buffers/NAME``;
    their steps are epochs. The folder ``batches`` within, a run of its own for TensorBoard, has the
    ``loss`` and the ``rate`` of every batch. A run that is resumed adds files.
    """

    folder: Path
    histograms: bool = True
    _files: list[BinaryIO] = field(default_factory=list[BinaryIO], init=False, repr=False)
    _epochs: EventFile = field(init=False, repr=False)
    _batches: EventFile = field(init=False, repr=False)

    def begin(self, run: Run) -> None:
        self._files = []
        self._epochs = self._opened(self.folder, len(run.history))
        self._batches = self._opened(self.folder / "batches", run.trainer.steps)

    def batch(self, run: Run, batch: Batch, loss: float) -> None:
        scalars = {"loss": loss, "rate": run.trainer.update.rate}
        with _writing(self.folder):
            self._batches.summary(time.time(), run.trainer.steps, scalars)

    def epoch(self, run: Run, epoch: Epoch) -> None:
        measures = dict(epoch.metrics)
        scalars = {"metrics/train-loss": epoch.loss, "rate": epoch.rate}
        if LOSS in measures:
            scalars["metrics/test-loss"] = measures.pop(LOSS)
        scalars |= {f"metrics/{name}": value for name, value in measures.items()}
        scalars |= {f"terms/{name}": value for name, value in epoch.terms.items()}
        arrays = run.trainer.parameters.of.items() if self.histograms else ()
        buffers = {f"buffers/{name}": to_numpy(array) for name, array in arrays}
        with _writing(self.folder):
            self._epochs.summary(time.time(), epoch.number, scalars, buffers)
            for events in (self._epochs, self._batches):
                events.flush()

    def end(self, run: Run) -> None:
        with _writing(self.folder):
            for file in self._files:
                file.close()

    def _opened(self, folder: Path, done: int) -> EventFile:
        """A new file in a folder; what older ones tell of steps that come again is void."""
        now = time.time()
        path = folder / f"events.out.tfevents.{now:.6f}.{socket.gethostname()}"
        with _writing(path):
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("xb")
            self._files.append(file)
            events = EventFile(file, now)
            if done:
                events.start(now, done + 1)
            return events


@contextmanager
def _writing(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise UnwritableFile(f"{path}: cannot be written: {told(error)}") from error
