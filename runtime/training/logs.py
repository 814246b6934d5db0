"""Listeners that keep a table of epochs in a file, for people and programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ..errors import UnwritableFile
from ..files import replacing, set_aside, told
from .evaluation import LOSS
from .loop import Epoch, Listener, Run

VALIDATION_LOSS = f"validation {LOSS}"


def figure(value: float) -> str:
    """A loss or a measure as a line for people has it: four places, or as many as show it."""
    return f"{value:.4f}" if abs(value) >= 1e-3 or not value else f"{value:.1e}"


def row(epoch: Epoch) -> Mapping[str, Any]:
    """An epoch as a row of a table; the measures stand under their names."""
    measures = dict(epoch.metrics)
    validation = {VALIDATION_LOSS: measures.pop(LOSS)} if LOSS in measures else {}
    return {
        "epoch": epoch.number,
        LOSS: epoch.loss,
        **epoch.terms,
        **validation,
        **measures,
        "rate": epoch.rate,
        "seconds": round(epoch.seconds, 3),
        "best": epoch.best,
    }


@dataclass
class CsvLog(Listener):
    """A line an epoch, after a line of names; ``path`` can be read while training goes on.

    A run that is resumed writes the lines of the epochs before it anew. An older file of another
    run is set aside as NAME.1, or the next number that is free.
    """

    path: Path

    def begin(self, run: Run) -> None:
        _start(self.path, run, self._lines(run))

    def epoch(self, run: Run, epoch: Epoch) -> None:
        _append(self.path, self._lines(run, epoch))

    def _lines(self, run: Run, epoch: Epoch | None = None) -> str:
        terms = run.trainer.terms
        names = ["epoch", LOSS, *(terms if len(terms) > 1 else ())]
        if run.validation is not None:
            names += [VALIDATION_LOSS, *(measure.name for measure in run.measures)]
        names += ["rate", "seconds", "best"]
        text = StringIO()
        lines = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
        if epoch is None:
            lines.writeheader()
        for each in run.history if epoch is None else [epoch]:
            lines.writerow({**row(each), "best": int(each.best)})
        return text.getvalue()


@dataclass
class JsonLog(Listener):
    """An object an epoch, each a line; otherwise as ``CsvLog``."""

    path: Path

    def begin(self, run: Run) -> None:
        _start(self.path, run, "".join(map(_line, run.history)))

    def epoch(self, run: Run, epoch: Epoch) -> None:
        _append(self.path, _line(epoch))


def _line(epoch: Epoch) -> str:
    return json.dumps(row(epoch)) + "\n"


def _start(path: Path, run: Run, text: str) -> None:
    if not (run.history or run.losses):
        set_aside(path)
    with replacing(path) as stage:
        stage.write_text(text, encoding="utf-8")


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UnwritableFile(f"{path}: cannot be written: {told(error)}") from error
