"""Pooling to a given size: windows that are spread evenly over the input, whatever its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..frame import Frame
from ..kernels import adaptive
from ..kernels.blocks import length
from ..kernels.separable import Matrix
from ..op import Example, Operation, Steps, operation
from ..tensor import Size, Tensor
from .pooling import AveragePooling, MaxPooling, Pooling
from .separable import Separable, numbers

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["AdaptiveAveragePooling", "AdaptiveMaxPooling"]


class AdaptivePooling(Operation):
    """What both kinds share.

    Of n windows over an axis, t is from floor(t * size / n) up to ceil((t + 1) * size / n), as in
    Keras and PyTorch: neighbours may share an element, and sizes differ by one at most.
    """

    output_size: tuple[int, ...]

    def infer(self, x: Tensor) -> Tensor:
        if len(self.output_size) != x.rank - 2 or min(self.output_size, default=0) < 1:
            raise ValueError(
                f"output size {self.output_size} is not a positive number for each of the "
                f"{x.rank - 2} spatial axes"
            )
        numbers(x)
        return Tensor((x.shape[0], *self.output_size, x.shape[-1]))

    def spans(self, sizes: Sequence[int]) -> list[list[slice]]:
        """What each window takes of each axis."""
        return [
            [slice(t * n // count, -(-(t + 1) * n // count)) for t in range(count)]
            for n, count in zip(sizes, self.output_size, strict=True)
        ]

    def equal(self, kind: type[Pooling], sizes: Sequence[int]) -> Pooling | None:
        """The pooling that this is where all windows are of one size."""
        pairs = list(zip(sizes, self.output_size, strict=True))
        make: Any = kind
        return None if any(n % m for n, m in pairs) else make(tuple(n // m for n, m in pairs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        make: Any = cls
        image, volume = Tensor(("N", 4, 6, 2)), Tensor(("N", 2, 5, 3, 2))
        return [
            (make((3,)), [Tensor(("N", 7, 2))]),
            (make((4,)), [Tensor(("N", 3, 2))]),
            (make((2, 3)), [image]),
            (make((3, 6)), [image]),
            (make((1, 3, 2)), [volume]),
        ]


@operation("adaptive_average_pooling")
class AdaptiveAveragePooling(AdaptivePooling, Separable):
    """The mean of each window, in each channel."""

    output_size: tuple[int, ...]

    def spatial(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        return self.output_size

    def matrices(self, sizes: Sequence[int]) -> Sequence[Matrix | None]:
        found: list[Matrix | None] = []
        for n, spans in zip(sizes, self.spans(sizes), strict=True):
            matrix = np.zeros((len(spans), n))
            for row, span in zip(matrix, spans, strict=True):
                row[span] = 1 / length(span)
            found.append(None if n == len(spans) else matrix)
        return found

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        equal = self.equal(AveragePooling, at.x[0].shape[1:-1])
        return equal.bind(at) if equal else super().bind(at)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        equal: Any = self.equal(AveragePooling, numbers(tape.type()))
        return equal.onnx(tape, p, x) if equal else super().onnx(tape, p, x)


@operation("adaptive_max_pooling")
class AdaptiveMaxPooling(AdaptivePooling):
    """The largest element of each window, in each channel.

    The slope goes to it; of equal ones to the first.
    """

    output_size: tuple[int, ...]

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        x, y = at.x[0], at.y[0]
        if equal := self.equal(MaxPooling, x.shape[1:-1]):
            return equal.bind(at)
        spans = self.spans(x.shape[1:-1])
        forward = adaptive.maximum(at, spans, x, y)
        if not at.grads:
            return forward, None
        return forward, adaptive.maximum_gradient(at, spans, x, y, at.dy[0], at.dx[0])

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        sizes = numbers(tape.type())
        if equal := self.equal(MaxPooling, sizes):
            made: Any = equal.onnx(tape, p, x)
            return made
        x = tape.first(x)
        for axis, spans in enumerate(self.spans(sizes), 2):
            most = max(map(length, spans))
            # A shorter window has its last element more than once.
            places = [[min(span.start + i, span.stop - 1) for i in range(most)] for span in spans]
            windows = tape.op("Gather", [x, tape.constant(places)], axis=axis, rank=x.rank + 1)
            reduced = [windows, tape.constant([axis + 1])]
            x = tape.op("ReduceMax", reduced, keepdims=0, rank=x.rank)
        return x
