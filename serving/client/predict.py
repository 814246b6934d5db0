"""``cortex-predict``: asks a served model about one file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from ...runtime.command import command
from ...runtime.errors import UsageError
from ...runtime.files import read_labels, regular
from .access import FILE, Access, accessing

ADDRESS = re.compile(r"(?!\w+:/)[^\s/]+:[0-9]{1,5}")


@command("cortex-predict")
@click.argument("server", metavar="HOST:PORT")
@click.argument("model")
@click.option("--input", "file", type=FILE, required=True,
              help="A picture (.jpg, .png, .webp, .bmp), or arrays (.npy, .npz).")  # fmt: skip
@click.option("--version", default="", help="Version of the model; the newest that is ready.")
@click.option("--output", "outputs", multiple=True, help="Output or layer; may be repeated.")
@click.option("--labels", type=FILE,
              help="A name for each class, one a line; default: those the server has.")  # fmt: skip
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Classes shown.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
@accessing
def main(
    server: str,
    model: str,
    file: Path,
    version: str,
    outputs: Sequence[str],
    labels: Path | None,
    top: int,
    json_wanted: bool,
    access: Access,
) -> None:
    """Asks MODEL, served at HOST:PORT over gRPC, about a file.

    An .npz holds an array for each input, by name. A picture goes through what the server says the
    model wants; where it says nothing, it is brought to the model's size, and its values to 0 to 1.
    """
    from .answers import as_json, fitting_labels, ranking, show
    from .connection import Client
    from .inputs import read_inputs

    if not ADDRESS.fullmatch(server):
        raise UsageError(f"{server!r}: give the server as HOST:PORT, such as localhost:8001")
    names = read_labels(labels) if labels else None
    regular(file)  # before the server is asked what it wants
    with Client(server, access=access) as client:
        wanted, declared = client.metadata(model, version)
        advice = client.advice(model, version)
        given = read_inputs(file, wanted, advice.preprocessing)
        inference = client.infer(model, given, outputs, version)
    if names is None:
        names = fitting_labels(advice.labels, declared[0].name, inference)
    ranked = ranking(inference, names, top)
    if json_wanted:
        click.echo(as_json(inference, ranked))
    else:
        show(inference, ranked)
