"""How long runs take, as far as it is known."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable

KINDS = 256  # of runs whose time is remembered: clients choose the shapes


class Paces:
    """How long runs of each kind and about so many rows took lately; used on the event loop alone.

    A run that others held up says little, one that was quick says much: what is known follows the
    quicker at once and the slower by and by.
    """

    def __init__(self) -> None:
        self._seconds: OrderedDict[tuple[Hashable, int], float] = OrderedDict()

    def seconds(self, kind: Hashable, rows: int) -> float:
        """How long a run takes; infinity where nothing is known."""
        return self._seconds.get((kind, rows.bit_length()), math.inf)

    def ran(self, kind: Hashable, rows: int, seconds: float) -> None:
        """A run of this kind took so long."""
        key = (kind, rows.bit_length())
        known = self._seconds.get(key, math.inf)
        self._seconds[key] = seconds if seconds < known else known + (seconds - known) / 8
        if len(self._seconds) > KINDS:
            self._seconds.popitem(last=False)
