"""Listeners that end a training: early, in time, or when somebody asks for it."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from ..data import Batch
from .loop import Epoch, Listener, Run


@dataclass
class EarlyStop(Listener):
    """Ends training when ``patience`` epochs have passed since the best one."""

    patience: int

    def epoch(self, run: Run, epoch: Epoch) -> None:
        best = run.best.number if run.best else 0
        if epoch.number - best >= self.patience:
            run.stop = True
            run.say(f"stopped: no epoch was better than epoch {best}")


@dataclass
class TimeLimit(Listener):
    """Ends training after the batch at which so many seconds are over, by this run's clock."""

    seconds: float
    _end: float = field(default=0.0, init=False, repr=False)

    def begin(self, run: Run) -> None:
        self._end = time.monotonic() + self.seconds

    def batch(self, run: Run, batch: Batch, loss: float) -> None:
        if not run.stop and time.monotonic() >= self._end:
            run.stop = True
            run.say(f"stopped: {self.seconds:g} seconds are over")


@dataclass
class Interruptible(Listener):
    """Lets Ctrl-C, and SIGTERM, end training after the batch under way; a second one, at once.

    Where training runs on another thread than the main one signals are left alone.
    """

    _before: dict[signal.Signals, Any] = field(
        default_factory=dict[signal.Signals, Any], init=False, repr=False
    )
    _asked: bool = field(default=False, init=False, repr=False)

    def begin(self, run: Run) -> None:
        self._asked = False
        if threading.current_thread() is not threading.main_thread():
            return

        def stop(number: int, frame: FrameType | None) -> None:
            if self._asked:
                raise KeyboardInterrupt
            self._asked = run.stop = True  # no word here: it may have come within a print

        for sign in (signal.SIGINT, signal.SIGTERM):
            self._before[sign] = signal.signal(sign, stop)

    def end(self, run: Run) -> None:
        while self._before:
            sign, before = self._before.popitem()
            signal.signal(sign, before or signal.SIG_DFL)
        if self._asked and not run.failed:
            done = f"{run.steps_done} batches of epoch {len(run.history) + 1}"
            run.say(f"interrupted after {done if run.losses else f'epoch {len(run.history)}'}")
