"""The command cortex-train."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..command import command
from ..errors import UsageError

if TYPE_CHECKING:
    from .schema import Spec

FILE = click.Path(path_type=Path)
KEYS: Mapping[str, str] = {"data_folder": "folder"}
"""Options whose key in a spec has another name."""


def _schema(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from .schema import json_schema

        click.echo(json.dumps(json_schema(), indent=1))
        context.exit()


def _said(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """An option that is a key of the spec, too."""
    return click.option(*names, default=None, **settings)


OPTIONS = (
    _said("--data", "data_folder", type=FILE, help="Folder of the data's files."),
    _said("--epochs", type=click.IntRange(min=1), help="Epochs."),
    _said("--batch-size", type=click.IntRange(min=1), help="Examples of a step."),
    _said("--seed", type=click.IntRange(min=0), help="Of everything that is random."),
    _said("--shards", type=click.IntRange(min=1), help="Threads that share a batch."),
    _said("--device", metavar="NAME", help="cpu, cuda, cuda:INDEX or auto."),
    _said("--dtype", type=click.Choice(["float32", "float64"]), help="Of the numbers."),
    _said("--save", type=FILE, help="Where the best network is kept."),
    _said("--checkpoint", type=FILE, help="Where what --resume needs is kept."),
    _said("--checkpoint-every", type=click.IntRange(min=1), help="Epochs between checkpoints."),
    _said("--history", type=click.IntRange(min=1), help="Checkpoints that are kept."),
    _said("--evaluate-every", type=click.IntRange(min=1), help="Epochs between evaluations."),
    _said("--log", type=FILE, help="Table of the epochs: FILE.csv, .json or .h5."),
    _said("--tensorboard", type=FILE, help="Folder for TensorBoard's event files."),
    _said("--live", type=click.IntRange(0, 65535), help="Port of a page that follows."),
    _said("--publish", type=FILE, help="Repository into which each new best is installed."),
    _said("--versions", type=click.IntRange(min=2), help="Published versions that are kept."),
    _said("--name", help="Name of the published model."),
)


def _options(function: Any) -> Any:
    for option in reversed(OPTIONS):
        function = option(function)
    return function


@command("cortex-train")
@click.argument("file", metavar="SPEC", type=FILE)
@click.option("--schema", is_flag=True, is_eager=True, expose_value=False, callback=_schema,
              help="Print the JSON Schema of a spec.")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="PATH=VALUE",
              help="Say it otherwise than the spec, such as optimizer.rate=0.01.")  # fmt: skip
@_options
@click.option("--resume", is_flag=True, help="Go on from the checkpoint.")
@click.option("--dry-run", is_flag=True, help="Only show the layers and the memory.")
@click.option("--profile", is_flag=True, help="Only measure each layer's time.")
@click.option("--histograms", is_flag=True,
              help="Only show the ranges of outputs, weights and gradients.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print --histograms as JSON.")
@click.option("--check-gradients", is_flag=True, help="Only check them, in float64.")
@click.option("--trials", type=click.IntRange(min=1), metavar="N",
              help="Search the spec's !hyperopt values, N times.")  # fmt: skip
@click.option("--no-progress", is_flag=True, help="No progress bar.")
def main(
    file: Path,
    settings: tuple[str, ...],
    resume: bool,
    dry_run: bool,
    profile: bool,
    histograms: bool,
    as_json: bool,
    check_gradients: bool,
    trials: int | None,
    no_progress: bool,
    **options: Any,
) -> None:
    """Trains the network that SPEC describes, and keeps the best.

    Exit codes: 0 done, or stopped by Ctrl-C after a batch; 1 a gradient is wrong, or what was to be
    published disagrees; 2 usage, no such spec or checkpoint, or data, a network and a checkpoint
    that do not fit each other; 3 a spec or a network that makes no sense, a file that cannot be
    read or written, a loss that is no number; 130 a second Ctrl-C.
    """
    if sum(map(bool, (resume, dry_run, profile, histograms, check_gradients, trials))) > 1:
        raise UsageError(
            "of --resume, --dry-run, --profile, --histograms, --check-gradients, --trials: one"
        )
    if as_json and not histograms:
        raise UsageError("--json: only what --histograms shows can be had as JSON")
    from . import document

    said = {KEYS.get(name, name): value for name, value in options.items() if value is not None}
    whole = document.overridden(document.read(file) | said, settings)
    if trials:
        from .search import search

        search(whole, file, trials)
        return
    spec = _checked(whole, file)
    if dry_run:
        from .dry_run import show
    elif profile:
        from .profile import show
    elif histograms and as_json:
        from .histograms import show_json as show
    elif histograms:
        from .histograms import show
    elif check_gradients:
        from .gradient_check import show
    else:
        from .experiment import train

        train(spec, resume=resume, bar=not no_progress)
        return
    show(spec)


def _checked(whole: Mapping[str, Any], file: Path) -> Spec:
    from . import document
    from .schema import checked

    for path, found in document.ranges(whole).items():
        place = ".".join(map(str, path))
        raise UsageError(f"{file}: {place}: {found.name!r} is to be searched for; give --trials")
    return checked({"name": file.stem, **whole}, str(file))
