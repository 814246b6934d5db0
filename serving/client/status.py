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
from ..columns import aligned
from .access import Access, accessing
from .predict import ADDRESS

if TYPE_CHECKING:
    from rich.table import Table

    from .page import Page, Row

COLUMNS = ("model", "version", "state", "req/s", "failed/s", "p50", "p99", "rows/batch", "waiting")
PORT = ":8002"
TEXT_COLUMNS = 3  # the others are numbers, set flush right


@command("cortex-status")
@click.argument("server", metavar="[HOST[:PORT]]", required=False)
@click.option("--once", is_flag=True, help="Print one table, of one interval, and leave.")
@click.option("--json", "json_wanted", is_flag=True, help="As --once, as one JSON object.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=1.0,
    show_default=True,
    help="Seconds that rates and times are taken over.",
)
@click.option(
    "--health",
    is_flag=True,
    help="Print nothing, and end with 0 if it is ready; of no HOST:PORT, the server that this "
    "environment's CORTEX_SERVE_… describe.",
)
@accessing
def main(
    server: str | None,
    once: bool,
    json_wanted: bool,
    interval: float,
    health: bool,
    access: Access,
) -> None:
    """Shows what the models of a server are doing: PORT is that of its metrics, 8002 by default.

    A live table on a terminal, else one table. Rates, times and batches are those of the last
    interval; a dash: there were no requests in it.
    """
    if server and ":" not in server:
        server += PORT
    if server is not None and not ADDRESS.fullmatch(server):
        raise UsageError(f"{server!r}: give the server as HOST:PORT, such as localhost:8002")
    if health:
        _require_ready(server, access)
        return
    if server is None:
        raise UsageError("no server; give it as HOST:PORT, such as localhost:8002")
    from .page import read_page, rows

    def read() -> Page:
        return read_page(server, access)

    if not (once or json_wanted) and sys.stdout.isatty():
        _watch(read, interval)
        return
    before = read()
    _sleep(before, interval)
    found = rows(before, read())
    if json_wanted:
        click.echo(json.dumps({"server": server, "models": [asdict(row) for row in found]}))
        return
    for line in aligned([COLUMNS, *map(cells, found)], TEXT_COLUMNS):
        click.echo(line)


def _require_ready(server: str | None, access: Access) -> None:
    from .health import Target, require_ready

    require_ready(Target(server, access.context(), access) if server else Target.own())


def cells(row: Row) -> Sequence[str]:
    """A row in ``COLUMNS``."""
    return (
        row.model,
        row.version,
        row.state,
        f"{row.requests_per_second:,.1f}",
        f"{row.failures_per_second:,.1f}",
        duration(row.p50_seconds),
        duration(row.p99_seconds),
        "–" if row.rows_per_batch is None else f"{row.rows_per_batch:.1f}",
        str(row.waiting),
    )


def table(found: Sequence[Row]) -> Table:
    """The rows as a terminal shows them."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False)
    for number, column in enumerate(COLUMNS):
        drawn.add_column(
            column, justify="left" if number < TEXT_COLUMNS else "right", no_wrap=number > 0
        )
    for row in found:
        model, version, state, *numbers = cells(row)
        style = "" if state == "ready" else "bold red"
        drawn.add_row(Text(model), version, Text(state, style), *numbers)
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
            _sleep(before, interval)
            after = read()
            live.update(table(rows(before, after)), refresh=True)
            before = after


def _sleep(since: Page, interval: float) -> None:
    """Until so many seconds after a page was asked for."""
    time.sleep(max(0.0, since.asked_at + interval - time.monotonic()))
