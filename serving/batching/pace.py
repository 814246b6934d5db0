"""How long runs take, to tell those that are over sooner than they could be handed to a thread."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable

KINDS = 256  # remembered at once: clients choose the shapes
SHORT = 150e-6
"""Seconds below which a run is made on the event loop; handing it over and back costs as much."""
DOUBTFUL = 1e-3
"""Seconds below which a run may only seem long: on a thread it also waits for the interpreter. So
every ``TRIAL``-th is made on the event loop all the same."""
TRIAL = 32


class Paces:
    """How long runs of each kind and about so many rows took lately; used on the event loop alone.

    A run that others held up says little, one that was quick says much: what is known follows the
    quicker at once and the slower by and by.
    """

    def __init__(self) -> None:
        self._seconds: OrderedDict[tuple[Hashable, int], float] = OrderedDict()
        self._doubts = 0

    def short(self, kind: Hashable, rows: int) -> bool:
        """Whether a run is to be made on the event loop."""
        seconds = self._seconds.get((kind, rows.bit_length()), math.inf)
        if not SHORT <= seconds < DOUBTFUL:
            return seconds < SHORT
        self._doubts += 1
        return self._doubts % TRIAL == 0

    def ran(self, kind: Hashable, rows: int, seconds: float) -> None:
        """A run of this kind took so long."""
        key = (kind, rows.bit_length())
        known = self._seconds.get(key, math.inf)
        self._seconds[key] = seconds if seconds < known else known + (seconds - known) / 8
        if len(self._seconds) > KINDS:
            self._seconds.popitem(last=False)
