"""Boxes that were found, against those that are there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortex.runtime.training.detection import Boxes, Detection, matched, overlaps

A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 10, 5]
FAR = [90, 90, 95, 95]


def boxes(*places: Any, classes: Any = None) -> Boxes:
    numbers = [0] * len(places) if classes is None else classes
    return Boxes(np.array(places, float).reshape(-1, 4), np.array(numbers, int))


def test_overlaps_are_areas() -> None:
    found = overlaps(np.array([A, C, FAR], float), np.array([A, B, [5, 5, 5, 5]], float))
    np.testing.assert_allclose(found, [[1, 0, 0], [0.5, 0, 0], [0, 0, 0]])


def test_pairs_that_overlap_most_come_first() -> None:
    assert matched(boxes(C, A), boxes(A)) == [(1, 0)]
    assert matched(boxes(A, C), boxes(C, A)) == [(0, 1), (1, 0)]
    assert matched(boxes(C), boxes(A)) == [(0, 0)]  # just enough
    assert matched(boxes(C), boxes(A), least=0.6) == []
    assert matched(boxes(A, A), boxes(A, A)) == [(0, 0), (1, 1)]
    assert matched(boxes(), boxes(A)) == matched(boxes(A), boxes()) == []


def test_places_and_classes_are_counted() -> None:
    found = Detection.of(
        [
            (boxes(A, B, FAR, classes=[1, 2, 1]), boxes(A, B, classes=[1, 1])),
            (boxes(), boxes(A, classes=[3])),
        ]
    )
    assert (found.found, found.wanted, found.placed, found.right) == (3, 3, 2, 1)
    assert found.location_recall == pytest.approx(2 / 3)
    assert found.location_precision == pytest.approx(2 / 3)
    assert found.location_f1 == pytest.approx(2 / 3)
    assert found.classification == 0.5
    assert found.f1 == pytest.approx(1 / 3)
    assert found.by_class == {1: 2 * 1 / 4, 2: 0.0, 3: 0.0}


def test_nothing_is_nothing() -> None:
    none = Detection.of([])
    assert none.location_f1 == none.f1 == none.classification == none.location_recall == 0
    assert none.location_precision == 0
