"""Listeners that end a training: early, in time, or when somebody asks for it."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
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


SIGNS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Interruptible(Listener):
    """Lets Ctrl-C, and SIGTERM, end training after the batch under way; a second one, at once.

    "At once" is when the call of NumPy's that is under way returns. Where training runs on another
    thread than the main one signals are left alone.
    """

    _before: dict[signal.Signals, Any] = field(
        default_factory=dict[signal.Signals, Any], init=False, repr=False
    )
    _asked: int = field(default=0, init=False, repr=False)
    _heard: _Heard | None = field(default=None, init=False, repr=False)

    def begin(self, run: Run) -> None:
        self._asked = 0
        if threading.current_thread() is not threading.main_thread():
            return
        self._heard = heard = _Heard()

        def stop(number: int, frame: FrameType | None) -> None:
            self._asked += 1
            run.stop = True  # no word here: it may have come within a print
            if max(self._asked, heard.count()) > 1:
                raise KeyboardInterrupt

        for sign in SIGNS:
            self._before[sign] = signal.signal(sign, stop)

    def end(self, run: Run) -> None:
        while self._before:
            sign, before = self._before.popitem()
            signal.signal(sign, before or signal.SIG_DFL)
        if self._heard:
            self._heard.close()
            self._heard = None
        if self._asked and not run.failed:
            done = f"{run.steps_done} batches of epoch {len(run.history) + 1}"
            run.say(f"interrupted after {done if run.losses else f'epoch {len(run.history)}'}")


class _Heard:
    """Counts signals as they come: those within one call of C's reach a handler as one."""

    def __init__(self) -> None:
        self._read, self._written = os.pipe()
        for end in (self._read, self._written):
            os.set_blocking(end, False)
        self._before = signal.set_wakeup_fd(self._written, warn_on_full_buffer=False)
        self._count = 0

    def count(self) -> int:
        """How many have come so far; one that another thread is just taking may be missing."""
        with suppress(BlockingIOError):
            self._count += sum(sign in SIGNS for sign in os.read(self._read, 4096))
        return self._count

    def close(self) -> None:
        """Whoever listened before does so again."""
        signal.set_wakeup_fd(self._before)
        for end in (self._read, self._written):
            os.close(end)
