"""How well boxes were found: each is matched with a true one, then matches are counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes in one picture: ``places`` [n, 4] as left, top, right, bottom, and ``classes`` [n]."""

    places: Array
    classes: Array


def overlaps(a: Array, b: Array) -> Array:
    """The area that each of n boxes has in common with each of m, over that of both: [n, m]."""
    corner = np.maximum(a[:, None, :2], b[None, :, :2])
    sides = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - corner, 0, None)
    common = sides.prod(-1)
    areas = [np.clip(at[:, 2:] - at[:, :2], 0, None).prod(-1) for at in (a, b)]
    both = areas[0][:, None] + areas[1][None] - common
    return np.divide(common, both, out=np.zeros_like(common, np.float64), where=both > 0)


def matched(found: Boxes, wanted: Boxes, least: float = OVERLAP) -> list[tuple[int, int]]:
    """Pairs (found, wanted), those that overlap most first, each box in one pair at most.

    Of equal overlaps the pair that comes first in both counts first.
    """
    table = overlaps(found.places, wanted.places)
    pairs: list[tuple[int, int]] = []
    for place in np.argsort(-table, axis=None, kind="stable"):
        i, j = divmod(int(place), table.shape[1])
        if table[i, j] < least:
            break
        if all(i != a and j != b for a, b in pairs):
            pairs.append((i, j))
    return pairs


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found in all pictures.

    Attributes:
        found, wanted, placed, right: how many boxes there are, how many have a match, and how many
            of these have its class, too.
        by_class: the F1 of each class that is found or wanted, class and place counting.
    """

    found: int
    wanted: int
    placed: int
    right: int
    by_class: Mapping[int, float]

    @classmethod
    def of(cls, pictures: Iterable[tuple[Boxes, Boxes]], least: float = OVERLAP) -> Detection:
        """From what was found and what is there, picture by picture."""
        there, right = dict[int, int](), dict[int, int]()
        found = wanted = placed = 0
        for ours, theirs in pictures:
            pairs = matched(ours, theirs, least)
            found, wanted = found + len(ours.classes), wanted + len(theirs.classes)
            placed += len(pairs)
            for each in (*ours.classes, *theirs.classes):
                there[int(each)] = there.get(int(each), 0) + 1
            for i, j in pairs:
                if ours.classes[i] == theirs.classes[j]:
                    right[int(ours.classes[i])] = right.get(int(ours.classes[i]), 0) + 1
        by_class = {each: 2 * right.get(each, 0) / there[each] for each in sorted(there)}
        return cls(found, wanted, placed, sum(right.values()), by_class)

    @property
    def location_recall(self) -> float:
        """The part of the true boxes that has a match; the seed's sensitivity."""
        return self.placed / self.wanted if self.wanted else 0.0

    @property
    def location_precision(self) -> float:
        """The part of the boxes found that has a match."""
        return self.placed / self.found if self.found else 0.0

    @property
    def location_f1(self) -> float:
        """The harmonic mean of both."""
        both = self.found + self.wanted
        return 2 * self.placed / both if both else 0.0

    @property
    def classification(self) -> float:
        """The part of the matches whose class is right."""
        return self.right / self.placed if self.placed else 0.0

    @property
    def f1(self) -> float:
        """As ``location_f1``, of matches whose class is right."""
        both = self.found + self.wanted
        return 2 * self.right / both if both else 0.0
