"""The loss of YOLO9000 (Redmon & Farhadi 2017): boxes and classes of objects on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..errors import UsageError
from ..frame import Array, Frame
from ..op import Step
from ..ops.elementwise import write_sigmoid
from ..tensor import Tensor
from .loss import Loss, Passes

Box = tuple[float, float, float, float]
"""Left, top, right and bottom edge."""
BOX = 5
"""Numbers that say where an object is, and how sure that is: x, y, w, h and confidence."""
ANCHORS = ((1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52))


@dataclass(frozen=True)
class Yolo2(Loss):
    """The mean over images of the sum of weight·(prediction - truth)².

    The value is (N, rows, columns, anchors·(5 + classes)), or that with the anchors as an axis: for
    each cell and anchor x, y, w, h, confidence and a score a class. The prediction is σ of x, y and
    confidence, √(anchor·exp(w, h) / grid), and the softmax of the scores. The target is what
    ``realize_label`` makes of each image: (N, rows, columns, 5 + classes).

    In a cell with an object the anchor whose box overlaps the object's most (the largest
    intersection over union) is responsible: its box, confidence and classes are held against the
    truth. The confidence of all others should be zero.

    Attributes:
        anchors: width and height of typical boxes, in cells.
        box, confidence, classes, no_object: what the squares count, the last that of a confidence
            that should be zero.
    """

    anchors: tuple[tuple[float, float], ...] = field(default=ANCHORS, kw_only=True)
    box: float = field(default=5.0, kw_only=True)
    confidence: float = field(default=5.0, kw_only=True)
    classes: float = field(default=1.0, kw_only=True)
    no_object: float = field(default=0.5, kw_only=True)
    type: Literal["yolo2"] = field(default="yolo2", kw_only=True)

    per = "row"

    def target(self, on: Tensor) -> Tensor:
        *_, last = on.shape
        count = len(self.anchors)
        if on.rank == 4 and isinstance(last, int) and last % count == 0:
            last //= count
        elif on.rank != 5 or on.shape[3] != count:
            last = 0
        if not isinstance(last, int) or last <= BOX:
            raise ValueError(
                f"a row must be rows × columns × {count}·(5 + classes), not {on.shape[1:]}"
            )
        return Tensor((*on.shape[:3], last))

    def passes(self, at: Frame) -> Passes:
        xp = at.xp
        truth = at.x[1][:, :, :, None]
        shape = (*truth.shape[:3], len(self.anchors), truth.shape[-1])
        raw, found, error = at.x[0].reshape(shape), at.keep(shape), at.keep(shape)
        each, weights = at.scratch(shape), at.scratch(shape)
        chosen = at.scratch((*shape[:-1], 1))
        predict = self._predict(at, raw, found)
        choose = self._choose(at, found, truth, chosen)

        def forward() -> None:
            predict()
            choose()
            xp.subtract(found, truth, out=error)
            xp.subtract(found[..., 4:BOX], chosen, out=error[..., 4:BOX])
            xp.multiply(chosen, self.box, out=weights[..., :4])
            xp.multiply(chosen, self.confidence - self.no_object, out=weights[..., 4:BOX])
            xp.add(weights[..., 4:BOX], self.no_object, out=weights[..., 4:BOX])
            xp.multiply(chosen, self.classes, out=weights[..., BOX:])
            xp.multiply(error, weights, out=weights)
            xp.multiply(error, weights, out=each)
            xp.multiply(weights, 2, out=error)  # from here on the slope of the prediction

        return each, forward, self._slope(at, found, error)

    def _predict(self, at: Frame, raw: Array, found: Array) -> Step:
        """Writes what the numbers of the network mean."""
        xp = at.xp
        most = at.scratch((*raw.shape[:-1], 1))
        scores, classes = raw[..., BOX:], found[..., BOX:]
        size = at.hold((len(self.anchors), 2))
        size[...] = xp.asarray(np.sqrt(np.array(self.anchors) / _cells(raw)))

        def predict() -> None:
            write_sigmoid(xp, raw[..., :BOX], found[..., :BOX])
            xp.multiply(raw[..., 2:4], 0.5, out=found[..., 2:4])
            xp.exp(found[..., 2:4], out=found[..., 2:4])
            xp.multiply(found[..., 2:4], size, out=found[..., 2:4])
            xp.max(scores, axis=-1, keepdims=True, out=most)
            xp.subtract(scores, most, out=classes)
            xp.exp(classes, out=classes)
            xp.add.reduce(classes, axis=-1, keepdims=True, out=most)
            xp.divide(classes, most, out=classes)

        return predict

    def _choose(self, at: Frame, found: Array, truth: Array, chosen: Array) -> Step:
        """Writes 1 for the responsible anchor of each cell with an object, else 0."""
        xp, cells = at.xp, at.hold((2,))
        cells[...] = xp.asarray(_cells(found))
        edges, sizes = at.scratch((2, *found.shape[:-1], 2)), at.scratch((*found.shape[:-1], 2))
        true_edges = at.scratch((2, *truth.shape[:-1], 2))
        true_sizes = at.scratch((*truth.shape[:-1], 2))
        shared, area = at.scratch(found.shape[:-1]), at.scratch(found.shape[:-1])
        true_area = at.scratch(truth.shape[:-1])
        best = at.scratch(found.shape[:3], "int64")
        numbers = at.hold((found.shape[3],), "int64")
        numbers[...] = xp.arange(found.shape[3])
        mark = at.scratch(found.shape[:-1], bool)

        def lay(boxes: Array, sizes: Array, edges: Array, area: Array) -> None:
            """In cells: the stored sizes are square roots of parts of the image."""
            xp.multiply(boxes[..., 2:4], boxes[..., 2:4], out=sizes)
            xp.multiply(sizes, cells, out=sizes)
            xp.multiply(sizes[..., 0], sizes[..., 1], out=area)
            xp.multiply(sizes, 0.5, out=sizes)
            xp.subtract(boxes[..., :2], sizes, out=edges[0])
            xp.add(boxes[..., :2], sizes, out=edges[1])

        def choose() -> None:
            lay(found, sizes, edges, area)
            lay(truth, true_sizes, true_edges, true_area)
            xp.maximum(edges[0], true_edges[0], out=edges[0])
            xp.minimum(edges[1], true_edges[1], out=edges[1])
            xp.subtract(edges[1], edges[0], out=sizes)
            xp.maximum(sizes, 0, out=sizes)
            xp.multiply(sizes[..., 0], sizes[..., 1], out=shared)
            xp.add(area, true_area, out=area)
            xp.subtract(area, shared, out=area)
            xp.divide(shared, area, out=shared)
            xp.argmax(shared, axis=-1, out=best)
            xp.equal(best[..., None], numbers, out=mark)
            xp.multiply(mark[..., None], truth[..., 4:BOX], out=chosen)

        return choose

    def _slope(self, at: Frame, found: Array, slope: Array) -> Step:
        """From the slope of the prediction that of what the network gave."""
        xp = at.xp
        dx: Any = None if at.dx[0] is None else at.dx[0].reshape(found.shape)
        mean = at.scratch((*found.shape[:-1], 1))

        def backward() -> None:
            for part in (slice(0, 2), slice(4, BOX)):  # of σ
                into = dx[..., part]
                xp.subtract(1, found[..., part], out=into)
                xp.multiply(into, found[..., part], out=into)
                xp.multiply(into, slope[..., part], out=into)
            xp.multiply(found[..., 2:4], slope[..., 2:4], out=dx[..., 2:4])
            xp.multiply(dx[..., 2:4], 0.5, out=dx[..., 2:4])
            into, classes = dx[..., BOX:], found[..., BOX:]
            xp.multiply(slope[..., BOX:], classes, out=into)
            xp.add.reduce(into, axis=-1, keepdims=True, out=mean)
            xp.subtract(slope[..., BOX:], mean, out=into)
            xp.multiply(into, classes, out=into)

        return backward


def realize_label(
    objects: Sequence[tuple[Box, int]],
    *,
    width: float,
    height: float,
    classes: int,
    grid: tuple[int, int] = (13, 13),
) -> Any:
    """The target of one image: float32 (rows, columns, 5 + classes).

    A cell in which the centre of an object lies says where in the cell that is, the square roots of
    the object's width and height as parts of the image's, 1, and its class, one-hot. Of two objects
    in one cell the later one is kept.

    Args:
        objects: (left, top, right, bottom) and the class of each, in the units of the next two.
        width: of the image.
        height: of the image.
        classes: how many there are.
        grid: rows and columns.

    Raises:
        UsageError: a class that is not there, or a box that is not within the image.
    """
    rows, columns = grid
    label = np.zeros((rows, columns, BOX + classes), np.float32)
    for (left, top, right, bottom), number in objects:
        if not 0 <= number < classes:
            raise UsageError(f"object: {number} is no class; they are 0 to {classes - 1}")
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise UsageError(
                f"object: its box {(left, top, right, bottom)} is not within {width} × {height}"
            )
        x, y = (left + right) / 2 / width * columns, (top + bottom) / 2 / height * rows
        cell = label[int(y), int(x)]
        cell[:] = 0
        cell[:2] = x - int(x), y - int(y)
        cell[2:BOX] = ((right - left) / width) ** 0.5, ((bottom - top) / height) ** 0.5, 1
        cell[BOX + number] = 1
    return label


def _cells(values: Array) -> Any:
    """Columns and rows, as width and height are ordered."""
    return np.array(values.shape[2:0:-1], float)
