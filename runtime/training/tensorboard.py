"""The listener that writes what TensorBoard shows."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..device import to_numpy
from ..errors import UnwritableFile
from ..files import told
from .evaluation import LOSS
from .events import EventFile
from .loop import Epoch, Listener, Run


@dataclass
class TensorBoard(Listener):
    """An event file in ``folder``: after each epoch the metrics, the rate, and the parameters.

    The losses are ``metrics/train-loss`` and ``metrics/test-loss``, a measure is ``metrics/NAME``,
    the distribution of a parameter ``buffers/NAME``. A run that is resumed adds a file.
    """

    folder: Path
    histograms: bool = True
    _file: Any = field(default=None, init=False, repr=False)
    _events: Any = field(default=None, init=False, repr=False)

    def begin(self, run: Run) -> None:
        now = time.time()
        path = self.folder / f"events.out.tfevents.{now:.6f}.{socket.gethostname()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = path.open("xb")
        except OSError as error:
            raise UnwritableFile(f"{path}: cannot be written: {told(error)}") from error
        self._events = EventFile(self._file, now)
        if run.history:
            self._events.start(now, len(run.history) + 1)

    def epoch(self, run: Run, epoch: Epoch) -> None:
        measures = dict(epoch.metrics)
        scalars = {"metrics/train-loss": epoch.loss, "rate": epoch.rate}
        if LOSS in measures:
            scalars["metrics/test-loss"] = measures.pop(LOSS)
        scalars |= {f"metrics/{name}": value for name, value in measures.items()}
        arrays = run.trainer.parameters.of.items() if self.histograms else ()
        buffers = {f"buffers/{name}": to_numpy(array) for name, array in arrays}
        try:
            self._events.summary(time.time(), epoch.number, scalars, buffers)
        except OSError as error:
            raise UnwritableFile(f"{self._file.name}: {told(error)}") from error

    def end(self, run: Run) -> None:
        self._file.close()
