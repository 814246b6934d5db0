"""Targets as a dataset has them, written as a loss reads them, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UsageError
from ..frame import Array


def put_labels(into: Array, rows: Array, name: str) -> None:
    """Writes rows of a target; class numbers are spread over the last axis, one-hot.

    Raises:
        UsageError: another shape than the loss needs, or a class that is not there.
    """
    numbers = rows.dtype.kind in "biuf"
    if numbers and rows.size == into.size and rows.shape[:1] == into.shape[:1]:
        into[...] = rows.reshape(into.shape)
    elif rows.dtype.kind in "iu" and rows.size * into.shape[-1] == into.size:
        check_classes(rows, into.shape[-1], name)
        ids = rows.reshape(into.shape[:-1])
        into[...] = ids[..., None] == np.arange(into.shape[-1])
    else:
        raise UsageError(
            f"target {name!r}: a row of {rows.dtype} has the shape {rows.shape[1:]}, expected "
            f"numbers of the shape {into.shape[1:]}{_or_classes(into.shape)}"
        )


def put_one_hot(into: Array, rows: Array, name: str) -> None:
    """``put_labels`` that takes class numbers which are floats, too.

    Raises:
        UsageError: another shape than the loss needs, or a class that is not there.
    """
    classes = rows.size * into.shape[-1] == into.size
    put_labels(into, numbers(rows) if classes else rows, name)


def put_classes(into: Array, rows: Array, name: str, classes: int) -> None:
    """Writes class numbers as they are.

    Raises:
        UsageError: they are none, of another shape, or out of range.
    """
    if rows.dtype.kind not in "iu" or rows.size != into.size or len(rows) != len(into):
        raise UsageError(
            f"target {name!r}: a row of {rows.dtype} has the shape {rows.shape[1:]}, expected "
            f"class numbers of the shape {into.shape[1:]}"
        )
    check_classes(rows, classes, name)
    into[...] = rows.reshape(into.shape)


def numbers(rows: Array) -> Array:
    """Floats that are whole numbers, which is all that a table has, as such; others as they are."""
    whole = rows.dtype.kind == "f" and (np.isfinite(rows) & (rows == np.rint(rows))).all()
    return rows.astype(np.int64) if whole else rows


def check_classes(ids: Array, classes: int, name: str) -> None:
    """Refuses a class number that is none.

    Raises:
        UsageError: it names the target, the number and the range.
    """
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        raise UsageError(f"target {name!r}: {wrong} is no class; they are 0 to {classes - 1}")


def put_weights(into: Array, rows: Array, name: str) -> None:
    """Writes weights, or a mask; one a row holds for all positions of the row.

    Raises:
        UsageError: another shape, or a weight that is negative or no number.
    """
    fits = rows.dtype.kind in "biuf" and rows.shape == into.shape[: rows.ndim]
    if not fits or not rows.ndim:
        raise UsageError(
            f"weights {name!r}: rows of {rows.dtype} have the shape {rows.shape[1:]}, expected "
            f"numbers of the shape {into.shape[1:]}"
        )
    if not (rows >= 0).all():
        raise UsageError(f"weights {name!r}: one is {_worst(rows)}; they must not be negative")
    into[...] = rows.reshape(rows.shape + (1,) * (into.ndim - rows.ndim))


def _worst(rows: Array) -> Any:
    return rows[~(rows >= 0)][0]


def _or_classes(shape: tuple[int, ...]) -> str:
    if len(shape) < 2 or shape[-1] < 2:
        return ""
    return f", or whole numbers from 0 to {shape[-1] - 1} of the shape {shape[1:-1]}"
