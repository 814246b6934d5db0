"""What every dataset is: a number of examples, and batches of them, anew each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

INPUT, TARGET = "input", "target"
"""What readers call the arrays of data that have one of each."""

Batch: TypeAlias = Mapping[str, Any]
"""An array for each input and target by name; the rows are the examples."""
Task: TypeAlias = Callable[[], Batch]
"""Makes one batch, on whichever thread, and the same one whenever it is called."""


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


@runtime_checkable
class InTasks(Protocol):
    """A dataset whose batches can be made apart from each other, by several threads."""

    def tasks(self, size: int, epoch: int | None = None) -> Iterator[Task]:
        """What makes each of ``batches``."""
        ...


def source_of(dataset: Dataset) -> Any:
    """The dataset that others are made of; each of those has the one it is made of as ``of``."""
    found: Any = dataset
    while (inner := getattr(found, "of", None)) is not None:
        found = inner
    return found


def classes_of(dataset: Dataset) -> tuple[str, ...]:
    """What the classes of the data are called; nothing where nobody knows."""
    return tuple(getattr(source_of(dataset), "classes", ()))


def tasks_of(dataset: Dataset, size: int, epoch: int | None) -> Iterator[Task]:
    """The batches of any dataset as tasks; of one without tasks each is made in the iteration."""
    if isinstance(dataset, InTasks):
        return dataset.tasks(size, epoch)
    return ((lambda made=made: made) for made in dataset.batches(size, epoch))
