"""Tables from CSV: numbers as they are, columns of classes as one-hot ones."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableFile, UsageError
from ..files import regular
from .arrays import Arrays
from .dataset import INPUT, TARGET
from .encoders import Categories

Array = NDArray[Any]

LARGEST = 2 << 30  # bytes of text


@dataclass(frozen=True)
class Table:
    """What a table became.

    Attributes:
        data: ``input`` float32 [rows, columns], and ``target`` if there is one.
        inputs: what the columns of the input are called; ``column_value`` where one-hot.
        targets: what those of the target are called.
    """

    data: Arrays
    inputs: tuple[str, ...]
    targets: tuple[str, ...]


def read_table(
    path: Path | str,
    target: str | Sequence[str] = (),
    *,
    one_hot: Sequence[str] = (),
    drop: Sequence[str] = (),
    delimiter: str = ",",
    header: bool = True,
    missing: float | None = None,
) -> Table:
    """Reads a CSV file.

    Args:
        path: in UTF-8.
        target: the columns to be foretold.
        one_hot: the columns, of the input or the target, whose values are classes.
        drop: the columns to leave out.
        delimiter: what stands between values.
        header: whether the first line has the names; without it they are 0, 1, 2, …
        missing: what an empty number counts as; None: it is an error.

    Raises:
        UnreadableFile: not such a file; the message has the line and the column.
        UsageError: there is no such column, or none is left.
    """
    path, targets = Path(path), (target,) if isinstance(target, str) else tuple(target)
    names, columns = _columns(path, delimiter, header)
    if unknown := [each for each in (*targets, *one_hot, *drop) if each not in names]:
        raise UsageError(f"{path}: no column {unknown[0]!r}; it has {', '.join(names)}")
    reader = _Reader(path, dict(zip(names, columns, strict=True)), set(one_hot), header, missing)
    inputs = [name for name in names if name not in {*targets, *drop}]
    if not inputs:
        raise UsageError(f"{path}: no column is left for the input")
    x, x_names = reader.together(inputs)
    if not targets:
        return Table(Arrays({INPUT: x}), x_names, ())
    y, y_names = reader.together(targets)
    data = Arrays({INPUT: x, TARGET: y})
    if len(targets) == 1 and targets[0] in one_hot:
        data.classes = Categories.of(reader.columns[targets[0]]).names
    return Table(data, x_names, y_names)


@dataclass(frozen=True)
class _Reader:
    """Columns of text into columns of numbers."""

    path: Path
    columns: dict[str, list[str]]
    classes: set[str]
    header: bool
    missing: float | None

    def together(self, names: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
        """Columns side by side, float32, and what they are called."""
        parts, titles = list[Array](), list[str]()
        for name in names:
            values = self.columns[name]
            if name in self.classes:
                categories = Categories.of(values)
                parts.append(categories.one_hot(values))
                titles += categories.columns(name)
            else:
                parts.append(self._numbers(name, values)[:, None])
                titles.append(name)
        return np.concatenate(parts, axis=1), tuple(titles)

    def _numbers(self, name: str, values: Sequence[str]) -> Array:
        found = np.empty(len(values), np.float32)
        for row, text in enumerate(values):
            number = self._number(text)
            if not math.isfinite(number):
                what = f"{text!r} is no number" if text.strip() else "a number is missing"
                raise UnreadableFile(
                    f"{self.path}: row {row + 1 + self.header}, column {name!r}: {what}"
                )
            found[row] = number
        return found

    def _number(self, text: str) -> float:
        if not text.strip() and self.missing is not None:
            return self.missing
        try:
            number = float(text)
        except ValueError:
            return math.nan
        return number if abs(number) <= float(np.finfo(np.float32).max) else math.nan


def _columns(path: Path, delimiter: str, header: bool) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and their texts."""
    rows = _rows(path, delimiter)
    first = next(rows, None)
    if first is None:
        raise UnreadableFile(f"{path}: it is empty")
    names = [name.strip() for name in first] if header else [str(n) for n in range(len(first))]
    if len(set(names)) < len(names):
        raise UnreadableFile(f"{path}: two columns have one name: {', '.join(names)}")
    columns: list[list[str]] = [[] if header else [text] for text in first]
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise UnreadableFile(f"{path}: row {number} has {len(row)} values, not {len(names)}")
        for column, text in zip(columns, row, strict=True):
            column.append(text)
    if not columns[0]:
        raise UnreadableFile(f"{path}: it has no rows")
    return names, columns


def _rows(path: Path, delimiter: str) -> Iterator[list[str]]:
    """The rows that are not empty."""
    if len(delimiter) != 1:
        raise UsageError(f"{delimiter!r} is not one character to stand between values")
    if regular(path).stat().st_size > LARGEST:
        raise UnreadableFile(f"{path}: more than {LARGEST:,} bytes are too many for a table")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from (row for row in csv.reader(file, delimiter=delimiter, strict=True) if row)
    except UnicodeDecodeError:
        raise UnreadableFile(f"{path}: not text in UTF-8") from None
    except (csv.Error, OSError, ValueError) as error:
        raise UnreadableFile(f"{path}: not a table: {error}") from None
