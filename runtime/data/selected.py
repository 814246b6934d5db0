"""Data that go through a function, or under other names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from .dataset import Batch, Dataset, Task, tasks_of


@dataclass(frozen=True)
class Mapped:
    """A dataset whose batches go through a function, which must give the same for the same."""

    of: Dataset
    function: Callable[[Batch], Batch]

    def __len__(self) -> int:
        return len(self.of)

    def tasks(self, size: int, epoch: int | None = None) -> Iterator[Task]:
        """What makes each of ``batches``."""
        for task in tasks_of(self.of, size, epoch):
            yield lambda task=task: self.function(task())

    def batches(self, size: int, epoch: int | None = None) -> Iterator[Batch]:
        """The dataset's, each through the function."""
        return (task() for task in self.tasks(size, epoch))


def selected(dataset: Dataset, names: Mapping[str, str]) -> Dataset:
    """The arrays under new names: by the new one the old one, which may serve several.

    ``selected(pictures, {"input": "input", "target": "input"})`` teaches an autoencoder.
    """
    return Mapped(dataset, lambda batch: {new: _found(batch, old) for new, old in names.items()})


def _found(batch: Batch, name: str) -> Any:
    if name not in batch:
        raise UsageError(f"the data have no {name!r}; they have {', '.join(sorted(batch))}")
    return batch[name]
