"""The command cortex-export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...runtime.command import command

if TYPE_CHECKING:
    from .exported import ExportReport, Format

FILE = click.Path(readable=False, path_type=Path)  # who opens it says what is wrong


@command("cortex-export")
@click.argument("model", type=FILE)
@click.argument("file", type=FILE, required=False)
@click.option("--to", type=click.Choice(["onnx", "keras", "safetensors"]),
              help="What to write; default: what FILE ends in.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def main(model: Path, file: Path | None, to: Format | None, as_json: bool) -> None:
    """Writes a MODEL into a FILE that other tools read: .onnx, .keras, .h5 or .safetensors.

    MODEL is models/NAME, models/NAME/VERSION, a network in .safetensors, or a checkpoint. The file
    is read again and run before it takes its place; FILE is NAME.onnx, … unless it is given.

    Exit codes: 0 done, 1 what was written computes something else, 2 usage or no such model, 3 a
    model that cannot be read or has no such form, 130 interrupted.
    """
    from ..show import progress
    from .exported import export_to, file_for
    from .model import read_source

    source = read_source(model)
    path, kind = file_for(source, file, to)
    with progress(f"writing {path}"):
        report = export_to(source, path, kind)
    if as_json:
        click.echo(report.model_dump_json(indent=2))
    else:
        _show(report)


def _show(report: ExportReport) -> None:
    for note in report.notes:
        click.echo(f"note: {note}")
    click.echo(
        f"{report.path}: {report.format}, read again by {report.engine}: largest difference "
        f"{report.largest:.1e} of an output's scale, {report.seconds:.1f} s"
    )
