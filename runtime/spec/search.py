"""Searching a spec's ``!hyperopt`` values: a study of Optuna's that can be gone on with."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..errors import MissingExtra, UsageError
from ..training.console import Console
from ..training.evaluation import LOSS
from ..training.loop import Epoch, Listener, Run
from ..training.saving import Best
from ..training.trainer import NotFinite
from . import document
from .document import Range
from .experiment import build
from .measures import measures
from .network import model_of
from .schema import Spec, checked

Study = Any
Trial = Any
Place = tuple[str | int, ...]


@dataclass
class Pruning(Listener):
    """Tells a trial how each epoch went, and ends the training if others went better."""

    trial: Trial
    pruned: bool = field(default=False, init=False)

    def epoch(self, run: Run, epoch: Epoch) -> None:
        self.trial.report(found(run, epoch), epoch.number)
        if self.trial.should_prune() and epoch.number != run.epochs:
            self.pruned = run.stop = True


def found(run: Run, epoch: Epoch) -> float:
    """What an epoch came to in what the run is judged by."""
    return epoch.metrics.get(run.goal, epoch.loss)


def search(whole: Mapping[str, Any], file: Path, trials: int) -> None:
    """Runs trials until the study has as many, and prints them; the best network is kept.

    The study lies beside the network, in NAME.study: the same command goes on with one that was
    interrupted.

    Raises:
        UsageError: nothing is to be searched for, or a name stands for two ranges.
        MissingExtra: Optuna is not installed.
    """
    places = document.ranges(whole)
    if not places:
        raise UsageError(f"{file}: --trials: nothing says !hyperopt")
    _check_names(places)
    try:
        optuna = importlib.import_module("optuna")
    except ImportError:
        raise MissingExtra("--trials", "tune") from None
    optuna.logging.set_verbosity(logging.WARNING)
    spec = _spec(whole, file, _lowest)
    study = _study(optuna, spec)
    while len(_finished(study)) < trials:
        trial = study.ask()
        _try(optuna, study, trial, _spec(whole, file, partial(_suggested, trial)))
    _show(study, places)


def _check_names(places: Mapping[Place, Range]) -> None:
    named: dict[str, Range] = {}
    for path, at in places.items():
        if named.setdefault(at.name, at) != at:
            place = ".".join(map(str, path))
            raise UsageError(f"{place}: {at.name!r} is another range elsewhere")


def _lowest(at: Range) -> Any:
    return at.values[0]


def _spec(whole: Mapping[str, Any], file: Path, choose: Callable[[Range], Any]) -> Spec:
    return checked({"name": file.stem, **document.replaced(whole, choose)}, str(file))


def _study(optuna: Any, spec: Spec) -> Study:
    """The study of this name; whether more is better is what the goal's measure says."""
    asked = measures(spec, model_of(spec)) if spec.validation else ()
    goal = spec.goal or next((each.name for each in asked), LOSS)
    rising = any(each.rising for each in asked if each.name == goal)
    folder = spec.save.parent if spec.save else Path()
    folder.mkdir(parents=True, exist_ok=True)
    journal = optuna.storages.journal.JournalFileBackend(str(folder / f"{spec.name}.study"))
    study = optuna.create_study(
        study_name=spec.name,
        storage=optuna.storages.JournalStorage(journal),
        direction="maximize" if rising else "minimize",
        pruner=optuna.pruners.MedianPruner(),
        load_if_exists=True,
    )
    # A sampler that began anew would suggest anew what was tried before.
    study.sampler = optuna.samplers.TPESampler(seed=spec.seed + len(study.trials))
    return study


def _finished(study: Study) -> Sequence[Any]:
    return [trial for trial in study.trials if trial.state.is_finished()]


def _suggested(trial: Trial, at: Range) -> Any:
    match at.kind:
        case "FLOAT":
            return trial.suggest_float(at.name, *at.values, log=at.log)
        case "INT":
            return trial.suggest_int(at.name, *at.values, log=at.log)
        case "CHOICE":
            return trial.suggest_categorical(at.name, at.values)


def _try(optuna: Any, study: Study, trial: Trial, spec: Spec) -> None:
    """One training; its network takes the place of the best so far if it is better."""
    click.echo(f"trial {trial.number}: {_told(trial.params)}")
    pruning = Pruning(trial)
    told: list[Listener] = [Console(progress=False), pruning]
    kept = spec.save and spec.save.with_stem(f"{spec.save.stem}-trial")
    if kept:
        kept.unlink(missing_ok=True)
        told.append(Best(kept))
    run = build(spec, told)
    try:
        run.train()
    except NotFinite as error:
        click.echo(f"trial {trial.number}: {error}")
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return
    if pruning.pruned or run.best is None:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, found(run, run.best))
    if kept and spec.save and kept.exists():
        if not pruning.pruned and study.best_trial.number == trial.number:
            kept.replace(spec.save)
        kept.unlink(missing_ok=True)


def _show(study: Study, places: Mapping[Place, Range]) -> None:
    """All trials, the best first, and how to say the best."""
    names = list(dict.fromkeys(at.name for at in places.values()))
    sign = -1 if study.direction.name == "MAXIMIZE" else 1
    done = sorted(_finished(study), key=lambda each: _rank(each, sign))
    lines = [["trial", "state", "value", *names]]
    for each in done:
        value = "" if each.value is None else f"{each.value:.5g}"
        settings = [_short(each.params.get(name, "")) for name in names]
        lines.append([str(each.number), each.state.name.lower(), value, *settings])
    click.echo(_table(lines))
    if done[0].value is not None:
        best = {path: done[0].params[at.name] for path, at in places.items()}
        sets = " ".join(f"--set {'.'.join(map(str, path))}={it}" for path, it in best.items())
        click.echo(f"best: trial {done[0].number}: {sets}")


def _rank(trial: Any, sign: int) -> tuple[bool, float]:
    complete = trial.state.name == "COMPLETE"
    return (not complete, sign * trial.value if complete else 0.0)


def _told(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in params.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
