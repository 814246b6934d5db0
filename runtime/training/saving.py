"""Listeners that write checkpoints: of the best epoch, and of the last ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UnwritableFile
from ..files import check_place, set_aside
from .checkpoint import is_of, save
from .loop import Epoch, Listener, Run


@dataclass
class Best(Listener):
    """Writes each epoch that is the best so far to one file.

    An older file of another run is set aside as NAME.1, or the next number that is free.
    """

    path: Path
    _ours: bool = field(default=False, init=False, repr=False)

    def begin(self, run: Run) -> None:
        check_place(self.path)
        self._ours = is_of(run, self.path)

    def epoch(self, run: Run, epoch: Epoch) -> None:
        if epoch.best:
            _write(run, self.path, self._ours, "new best")
            self._ours = True


@dataclass
class Checkpoints(Listener):
    """Writes the training as it stands every so many epochs, when it is stopped, and at its end.

    Attributes:
        path: of the file; where several are kept the number of epochs done joins its name, as in
            ``run-12.safetensors``.
        every: so many epochs.
        history: how many are kept; 1: one file, which is replaced; None: all.
    """

    path: Path
    every: int = 1
    history: int | None = 1
    _written: list[Path] = field(default_factory=list[Path], init=False, repr=False)
    _saved: int = field(default=0, init=False, repr=False)

    def begin(self, run: Run) -> None:
        check_place(self.path)
        files = dict.fromkeys(map(self._file, range(len(run.history) + 1)))
        self._written = [file for file in files if is_of(run, file)]
        self._saved = run.trainer.steps

    def epoch(self, run: Run, epoch: Epoch) -> None:
        if epoch.number % self.every == 0:
            self._write(run)

    def end(self, run: Run) -> None:
        if not run.failed and run.trainer.steps != self._saved:
            self._write(run)

    def _write(self, run: Run) -> None:
        path = self._file(len(run.history))
        _write(run, path, path in self._written, f"epoch {len(run.history)}")
        self._saved = run.trainer.steps
        self._written = [*(each for each in self._written if each != path), path]
        while self.history and len(self._written) > self.history:
            self._written.pop(0).unlink(missing_ok=True)

    def _file(self, epochs: int) -> Path:
        return self.path if self.history == 1 else self.path.with_stem(f"{self.path.stem}-{epochs}")


def _write(run: Run, path: Path, ours: bool, what: str) -> None:
    """``ours``: the file that is there, if any, is this training's, and can go."""
    aside = None if ours else set_aside(path)
    try:
        save(run, path)
    except UnwritableFile:
        if aside:
            aside.rename(path)
        raise
    run.say(f"saved {path}: {what}" + (f"; the older file is now {aside}" if aside else ""))
