"""How a batch is cut into parts that threads work on side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .op import Step


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of a batch: which it is, the rows it has, and where it meets the others."""

    index: int = 0
    count: int = 1
    first_row: int = 0
    total: int = 0
    meet: Step | None = None
    slots: dict[str, Any] = field(default_factory=dict)
    """Arrays that all shards of one set of plans share, by name."""

    def slot(self, name: str, make: Callable[[int], Any]) -> Any:
        """The shared array ``name``; the first shard that asks makes it."""
        if self.count == 1:
            return make(1)
        if name not in self.slots:
            self.slots[name] = make(self.count)
        return self.slots[name]


ALONE = Shard()


def split(rows: int, most: int, meet: Step | None = None) -> list[tuple[Shard, int]]:
    """Cuts ``rows`` into at most ``most`` nearly equal shards: (shard, its number of rows)."""
    count = max(1, min(rows, most))
    slots: dict[str, Any] = {}
    edges = [rows * i // count for i in range(count + 1)]
    return [
        (
            Shard(i, count, edges[i], rows, meet if count > 1 else None, slots),
            edges[i + 1] - edges[i],
        )
        for i in range(count)
    ]
