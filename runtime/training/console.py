"""The listener that tells people at a terminal, or in a log of its lines, how training goes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, TextIO

from ..data import Batch
from .evaluation import LOSS
from .logs import VALIDATION_LOSS, figure
from .loop import Epoch, Listener, Run

REFRESH = 0.1  # seconds


@dataclass
class Console(Listener):
    """A line an epoch, and what other listeners note; at a terminal a bar for the epoch under way.

    Attributes:
        progress: whether to show the bar where there is a terminal.
        stream: where to; None: stdout.
    """

    progress: bool = True
    stream: TextIO | None = None
    _console: Any = field(default=None, init=False, repr=False)
    _bar: Any = field(default=None, init=False, repr=False)
    _task: Any = field(default=None, init=False, repr=False)
    _shown: float = field(default=0.0, init=False, repr=False)

    def begin(self, run: Run) -> None:
        from rich.console import Console as RichConsole

        self._console = RichConsole(file=self.stream, highlight=False, soft_wrap=True)
        if run.history or run.losses:
            self._say(f"going on after epoch {len(run.history)}, batch {run.steps_done}")

    def batch(self, run: Run, batch: Batch, loss: float) -> None:
        now = time.monotonic()
        if not self.progress or not self._console.is_terminal or now - self._shown < REFRESH:
            return
        self._shown = now
        if self._bar is None:
            self._open(run, loss)
        assert self._bar
        self._bar.update(self._task, completed=run.steps_done, loss=figure(loss))

    def epoch(self, run: Run, epoch: Epoch) -> None:
        self._close()
        of = f"/{run.epochs}" if run.epochs else ""
        parts = [f"epoch {epoch.number}{of}", f"{LOSS} {figure(epoch.loss)}"]
        for name, value in epoch.metrics.items():
            parts.append(f"{VALIDATION_LOSS if name == LOSS else name} {figure(value)}")
        parts += [f"rate {epoch.rate:.3g}", f"{epoch.seconds:.1f} s"]
        self._say("  ".join([*parts, *["new best"] * epoch.best]))
        if epoch.terms:
            terms = " + ".join(f"{name} {figure(value)}" for name, value in epoch.terms.items())
            self._say(f"  {LOSS} = {terms}")

    def note(self, run: Run, text: str) -> None:
        self._say(text)

    def end(self, run: Run) -> None:
        self._close()

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def _open(self, run: Run, loss: float) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(LOSS + " {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        title = f"epoch {len(run.history) + 1}"
        self._task = bar.add_task(
            title, total=run.steps, completed=run.steps_done, loss=figure(loss)
        )
        bar.start()
        self._bar = bar

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
