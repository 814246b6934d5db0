"""The report as people read it."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..runtime.report import OUTSIDE, Compared, Evidence, LayerReport, Report

WIDTH = 120  # columns, where stdout is no terminal


@contextmanager
def progress(what: str) -> Generator[None]:
    """Says on stderr, while it lasts, what is going on; only a terminal is told."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(what):
            yield
    else:
        yield


def show(report: Report) -> None:
    """Prints the layers with the difference of each, then the verdict."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    table = Table("layer", "class", "output", box=None, pad_edge=False)
    table.add_column("parameters", justify="right")
    table.add_column("difference", justify="right")
    table.add_column("")
    for layer in report.layers:
        table.add_row(
            escape(layer.name),
            escape(layer.class_),
            _shape(layer),
            f"{layer.parameters:,}",
            _difference(layer),
            _mark(layer),
        )
    console.print(table)
    for note in report.notes:
        console.print(f"note: {escape(note)}", soft_wrap=True)
    for warning in report.warnings:
        console.print(f"warning: {escape(warning)}", soft_wrap=True)
    console.print(verdict(report), soft_wrap=True)


WHO: Mapping[Evidence, str] = {
    "recorded": "recorded outputs",
    "keras": "real Keras",
    "onnxruntime": "onnxruntime on the file itself",
}


def verdict(report: Report) -> str:
    """The last line: what was proved, by what."""
    parameters = sum(layer.parameters for layer in report.layers)
    layers = f"{len(report.layers)} layers, {parameters:,} parameters"
    outside = sum(layer.outside for layer in report.layers)
    if not report.agrees:
        bad = sum(not layer.ok for layer in report.layers)
        return f"{report.model}: [bold red]differs[/] in {bad} of {layers}"
    size = layers if outside in (0, len(report.layers)) else f"{outside} of {layers}"
    seen = f"{size}, largest difference {report.largest:.1e} of a layer's scale"
    seen = f"{seen}, {report.seconds:.1f} s"
    if report.evidence in OUTSIDE and report.verified:
        who = WHO[report.evidence]
        return f"{report.model}: [bold green]verified[/] by {who} ({report.reference}): {seen}"
    if report.evidence == "unread":
        return f"{report.model}: [bold yellow]as it is[/] ({report.reference} only), nothing proved"
    what = "two engines agree, no outputs from outside"
    if report.evidence == "keras-rewritten":
        what = f"{report.reference} computes the same from the model as it was rewritten here"
    if report.evidence in OUTSIDE:
        what = f"with {report.reference}, which does not prove the whole of it: see the warnings"
    return f"{report.model}: [bold yellow]consistent[/] ({what}): {seen}"


def _shape(layer: Compared) -> str:
    return " × ".join(str(n) for n in layer.output_shape)


def _difference(layer: Compared) -> str:
    return "–" if layer.max_abs is None else f"{layer.max_abs / layer.scale:.1e}"


def _mark(layer: LayerReport) -> str:
    return "[green]ok[/]" if layer.ok else "[red]differs[/]"
