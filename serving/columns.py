"""Rows of text as a table, for terminals and for what reads them line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def aligned(rows: Sequence[Sequence[str]], left: int | None = None) -> Iterator[str]:
    """A line for each row; the first ``left`` columns, None: all, are flush left, others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = len(widths) if left is None else left
    for row in rows:
        sides = zip(row, widths, strict=True)
        cells = (
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(sides)
        )
        yield "  ".join(cells).rstrip()
