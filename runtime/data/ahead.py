"""Batches made by other threads before they are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ..errors import UsageError
from .dataset import Batch, Dataset, tasks_of


class Ahead:
    """The batches of a dataset, in its order, made while the one before is learnt from.

    What goes wrong in a thread is raised where its batch would have come. The threads end with the
    epoch, or when nobody reads on.

    Args:
        of: the dataset.
        workers: threads.
        ahead: batches made or being made, at most.
    """

    def __init__(self, of: Dataset, *, workers: int = 2, ahead: int = 4) -> None:
        if min(workers, ahead) < 1:
            raise UsageError(f"{workers} workers, {ahead} batches ahead: one of each at least")
        self.of, self._workers, self._ahead = of, workers, ahead

    def __len__(self) -> int:
        return len(self.of)

    def batches(self, size: int, epoch: int | None = None) -> Iterator[Batch]:
        """The dataset's."""
        with ThreadPoolExecutor(self._workers, "batches") as pool:
            made = deque[Future[Batch]]()
            try:
                for task in tasks_of(self.of, size, epoch):
                    made.append(pool.submit(task))
                    if len(made) >= self._ahead:
                        yield made.popleft().result()
                while made:
                    yield made.popleft().result()
            finally:
                for each in made:
                    each.cancel()
