"""``cortex-status``: what a server's models are doing now."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ...runtime.command import command
from ...runtime.errors import UsageError
from .access import Access, accessing
from .predict import ADDRESS

if TYPE_CHECKING:
    from rich.table import Table

    from .page import Page, Row

COLUMNS = ("model", "version", "state", "req/s", "failed/s", "p50", "p99", "rows/batch", "waiting")
TEXT_COLUMNS = 3  # the others are numbers, set flush right


@command("cortex-status")
@click.argument("server", metavar="HOST:PORT")
@click.option("--once", is_flag=True, help="Print one table, of one interval, and leave.")
@click.option("--json", "json_wanted", is_flag=True, help="As --once, as one JSON object.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=2.0,
    show_default=True,
    help="Seconds that rates and times are taken over.",
)
@accessing
def main(
    server: str,
    once: bool,
    json_wanted: bool,
    interval: float,
    access: Access,
) -> None:
    """Shows what the models of a server are doing: HOST:PORT is its metrics port.

    A live table on a terminal, else one table. Rates, times and batches are those of the last
    interval; a dash: there were no requests in it.
    """
    from .page import read_page, rows

    if not ADDRESS.fullmatch(server):
        raise UsageError(f"{server!r}: give the server as HOST:PORT, such as localhost:8002")

    def read() -> Page:
        return read_page(server, access)

    if not (once or json_wanted) and sys.stdout.isatty():
        _watch(read, interval)
        return
    before = read()
    time.sleep(interval)
    found = rows(before, read())
    if json_wanted:
        click.echo(json.dumps({"server": server, "models": [asdict(row) for row in found]}))
    else:
        from rich.console import Console

        Console().print(table(found))


def table(found: Sequence[Row]) -> Table:
    """The rows as people read them."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False)
    for number, column in enumerate(COLUMNS):
        drawn.add_column(
            column, justify="left" if number < TEXT_COLUMNS else "right", no_wrap=number > 0
        )
    for row in found:
        drawn.add_row(
            Text(row.model),
            row.version,
            Text(row.state, "" if row.state == "ready" else "bold red"),
            f"{row.requests_per_second:,.1f}",
            f"{row.failures_per_second:,.1f}",
            duration(row.p50_seconds),
            duration(row.p99_seconds),
            "–" if row.rows_per_batch is None else f"{row.rows_per_batch:.1f}",
            str(row.waiting),
        )
    return drawn


def duration(seconds: float | None) -> str:
    """In the unit that fits."""
    if seconds is None:
        return "–"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _watch(read: Callable[[], Page], interval: float) -> None:
    from rich.live import Live

    from .page import rows

    before = read()
    with Live(table(rows(before, before)), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            after = read()
            live.update(table(rows(before, after)), refresh=True)
            before = after
