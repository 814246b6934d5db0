"""What every dataset is: a number of examples, and batches of them, anew each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias

Batch: TypeAlias = Mapping[str, Any]
"""An array for each input and target by name; the rows are the examples."""


class Dataset(Protocol):
    """Examples that come in batches."""

    def __len__(self) -> int:
        """How many examples an epoch has."""
        ...

    def batches(self, size: int, epoch: int | None = None) -> Iterator[Batch]:
        """The examples in batches of ``size``, the last one what is left.

        ``epoch`` chooses the order and what else is random; None: their own order, nothing random.
        """
        ...
