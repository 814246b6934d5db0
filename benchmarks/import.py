"""What importing a large model costs, against the ways of others: time, memory, disk.

    python benchmarks/import.py [--models VGG16,ResNet50] [--memory 12] [--time 600]

Real Keras 3 (the extra [keras]) writes each model with random weights as .h5. `cortex-import` reads
it, checks every layer by two engines and installs it; the peers load and convert it and check
nothing. Each runs in a process of its own, start of Python included, and one that goes beyond the
limits of anonymous memory or time is killed and stays in the table as such. What takes less than
30 s runs twice, in turns with the others; the fastest run and the largest peak count. CPU seconds,
of all cores, say more than the clock's where others use the machine. Last, `cortex-serve` is
started on what was installed, up to where it is ready, the check replayed.

The peers' environments are made once, in a cache folder, some gigabytes in all; `--peers PYTHON`
names an interpreter that has everything instead. The exit code is 1 if an import fails or a bar is
missed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from environments import Unavailable, cache
from exporters import LOAD_ONLY, PEERS, TENSORFLOW, Peer, interpreter, versions
from rich import box
from rich.console import Console
from rich.table import Table
from watch import Limits, Run, watched

MODELS = ("VGG16", "ResNet50", "EfficientNetB0")
SHORT = 30  # seconds up to which a run is repeated
ROUNDS = 2
WRITE = """
import sys, keras
getattr(keras.applications, sys.argv[1])(weights=None).save(sys.argv[2])
"""
IMPORT, SERVE = "cortex-import", "cortex-serve, until ready"


@dataclass
class Row:
    """A way with a model: its runs so far, or why there are none."""

    model: str
    title: str
    runs: list[Run] = field(default_factory=list[Run])
    disk: int = 0
    failure: str = ""

    @property
    def seconds(self) -> float | None:
        """Of the fastest run; None if one failed."""
        return None if self.failure or not self.runs else min(run.seconds for run in self.runs)

    @property
    def cpu(self) -> float:
        """Seconds of computing, at the least."""
        return min(run.cpu for run in self.runs)

    @property
    def peak(self) -> int:
        """The largest, in bytes."""
        return max((run.peak for run in self.runs), default=0)

    @property
    def repeats(self) -> bool:
        """Whether another run is worth its time."""
        return not self.failure and (not self.runs or self.runs[-1].seconds < SHORT)

    def add(self, run: Run, folder: Path | None = None) -> None:
        """Counts a run, which wrote into ``folder``."""
        self.runs.append(run)
        self.failure = run.failure
        if folder:
            self.disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@dataclass(frozen=True)
class Bar:
    """What a figure may be at most; the figure is None where it could not be taken."""

    title: str
    found: float | None
    limit: float
    unit: str = ""

    @property
    def missed(self) -> bool:
        """Whether a figure is there and too large."""
        return self.found is not None and self.found > self.limit


@dataclass(frozen=True)
class Bench:
    """How peers are run, and what there is to know of their packages."""

    limits: Limits
    python: str | None
    cache: Path
    console: Console
    versions: set[str] = field(default_factory=set[str])

    def model(self, model: str) -> tuple[list[Row], int]:
        """Measures every way with a model; returns the rows and the bytes of its weights."""
        with TemporaryDirectory(prefix="cortex-bench-") as temporary:
            file, installed = Path(temporary) / f"{model.lower()}.h5", Path(temporary) / "models"
            self._say(f"{model}: written by Keras")
            _write(model, file)
            ours, peers = Row(model, IMPORT), [(peer, Row(model, peer.title)) for peer in PEERS]
            pythons = {peer.title: self._python(peer, row) for peer, row in peers}
            for _ in range(ROUNDS):
                if ours.repeats:
                    self._import(ours, file, installed)
                for peer, row in peers:
                    if row.repeats:
                        self._convert(peer, row, pythons[peer.title], file)
            served = Row(model, SERVE, failure="" if ours.seconds else "nothing was installed")
            for _ in range(ROUNDS if ours.seconds else 0):
                served.add(self._serve(served, installed))
            weights = sum(x.stat().st_size for x in installed.rglob("weights.safetensors"))
        return [ours, *(row for _, row in peers), served], weights

    def _import(self, row: Row, file: Path, installed: Path) -> None:
        self._say(f"{row.model}: {row.title}")
        shutil.rmtree(installed, ignore_errors=True)
        command = [_own("cortex-import"), str(file), "--repository", str(installed)]
        row.add(watched(command, self.limits), installed)

    def _serve(self, row: Row, installed: Path) -> Run:
        self._say(f"{row.model}: {row.title}")
        ports = ["--http-port=0", "--grpc-port=0", "--metrics-port=0"]
        command = [_own("cortex-serve"), str(installed), *ports]
        return watched(command, self.limits, until_line=True)

    def _convert(self, peer: Peer, row: Row, python: str, file: Path) -> None:
        self._say(f"{row.model}: {row.title}")
        with TemporaryDirectory(prefix="cortex-bench-") as folder:
            command = peer.command(python, row.model, file, Path(folder))
            row.add(watched(command, self.limits, peer.variables), Path(folder))

    def _python(self, peer: Peer, row: Row) -> str:
        """What runs a peer; where there is nothing the row says so."""
        self._say(f"an environment for {peer.title!r}")
        try:
            python = self.python if self.python and peer.environment else None
            python = python or interpreter(peer, self.cache)
            self.versions.update(versions(peer, python).split(", "))
        except Unavailable as why:
            row.failure = f"not available: {why}"
            return ""
        return python

    def _say(self, what: str) -> None:
        if self.console.is_terminal:
            self.console.print(f"[dim]{what} …", highlight=False)


def _own(command: str) -> str:
    return str(Path(sys.executable).with_name(command))


def _write(model: str, file: Path) -> None:
    environment = {**os.environ, **LOAD_ONLY.variables}
    command = [sys.executable, "-c", WRITE, model, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1]
        raise click.ClickException(f"real Keras could not write {model}: {why}")


def bars(rows: Sequence[Row], weights: int) -> Iterator[Bar]:
    """What is asked of the import of one model."""
    (ours, *_), model = rows, rows[0].model
    seconds = {row.title: row.seconds for row in rows if row.seconds}
    mine = seconds.get(IMPORT)
    if model == "VGG16":
        load = seconds.get(LOAD_ONLY.title)
        yield Bar(f"{model}: time, of Keras 3's on jax to load it", _ratio(mine, load), 2.5, "×")
        yield Bar(f"{model}: peak of anonymous memory", mine and ours.peak / 1e9, 1.5, " GB")
        yield Bar(f"{model}: disk, of the weights", mine and _ratio(ours.disk, weights), 1.1, "×")
    if model == "ResNet50":
        export = seconds.get(TENSORFLOW.title)
        yield Bar(
            f"{model}: time, of Keras 3's on tensorflow to export it",
            _ratio(mine, export),
            0.25,
            "×",
        )


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a and b else None


def measured(rows: Sequence[Row]) -> Table:
    """The rows of all models."""
    columns = ("seconds", "to cortex", "CPU s", "peak GB", "disk MB", "")
    table = Table("model", "way", *columns, box=box.MARKDOWN)
    for column in table.columns[2:7]:
        column.justify = "right"
    for row in rows:
        own = next(other for other in rows if (other.model, other.title) == (row.model, IMPORT))
        against = None if row.title == SERVE else _ratio(row.seconds, own.seconds)
        table.add_row(
            row.model,
            row.title,
            f"{row.seconds:.1f}" if row.seconds else "",
            f"{against:.2f}" if against else "",
            f"{row.cpu:.1f}" if row.seconds else "",
            f"{row.peak / 1e9:.2f}" if row.runs else "",
            f"{row.disk / 1e6:.0f}" if row.seconds and row.disk else "",
            row.failure,
        )
    return table


def held(found: Sequence[Bar]) -> Table:
    """The bars, each with what part of it was used."""
    table = Table("bar", "found", "at most", "ratio", "", box=box.MARKDOWN)
    for bar in found:
        if bar.found is None:
            table.add_row(bar.title, "", f"{bar.limit:g}{bar.unit}", "", "not measured")
            continue
        table.add_row(
            bar.title,
            f"{bar.found:.2f}{bar.unit}",
            f"{bar.limit:g}{bar.unit}",
            f"{bar.found / bar.limit:.2f}",
            "missed" if bar.missed else "",
        )
    return table


def _chosen(_context: click.Context, _option: click.Parameter, names: str) -> list[str]:
    chosen = names.split(",")
    if unknown := [name for name in chosen if name not in MODELS]:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(MODELS)}")
    return chosen


@click.command()
@click.option("--models", default=",".join(MODELS), show_default=True, callback=_chosen)
@click.option("--memory", default=12.0, show_default=True, help="Limit in GB, for each process.")
@click.option("--time", "seconds", default=600.0, show_default=True, help="Limit in seconds.")
@click.option("--peers", "python", help="A Python that has the peers' packages.")
@click.option("--cache", "folder", type=click.Path(path_type=Path), default=cache)
def main(
    models: Sequence[str], memory: float, seconds: float, python: str | None, folder: Path
) -> None:
    """Prints what each way takes with each model, and how the bars are held."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    bench = Bench(Limits(memory * 1e9, seconds), python, folder, console)
    rows, found = list[Row](), list[Bar]()
    for model in models:
        of_model, weights = bench.model(model)
        rows += of_model
        found += bars(of_model, weights)
    console.print(measured(rows), ", ".join(sorted(bench.versions)), held(found), sep="\n")
    failed = any(row.failure for row in rows if row.title == IMPORT)
    sys.exit(failed or any(bar.missed for bar in found))


if __name__ == "__main__":
    main()
