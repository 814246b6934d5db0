"""Pooling: the largest, or the mean, of windows or of everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..frame import Array, Frame
from ..kernels import pooling
from ..kernels.largest import Largest
from ..kernels.windows import Windows
from ..op import Example, Operation, Steps, operation
from ..tensor import Size, Tensor
from .sliding import Padding, Sliding

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["AveragePooling", "GlobalAveragePooling", "GlobalMaxPooling", "MaxPooling"]


class Pooling(Operation):
    """What both kinds of windows share. Empty strides are the pool's size, no dilation is 1."""

    pool_size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]

    @property
    def sliding(self) -> Sliding:
        """How the windows slide."""
        strides = self.strides or self.pool_size
        return Sliding.of(self.pool_size, strides, self.padding, self.dilation)

    def infer(self, x: Tensor) -> Tensor:
        sizes = self.sliding.output(x)
        if isinstance(self.padding, tuple) and any(
            max(pair) >= n for pair, n in zip(self.padding, self.pool_size, strict=True)
        ):
            raise ValueError(f"padding {self.padding} would fill windows of {self.pool_size}")
        return Tensor((x.shape[0], *sizes, x.shape[-1]))

    def windows(self, at: Frame) -> Windows:
        """The windows over the first input."""
        return self.sliding.windows(at.x[0].shape[1:-1], at.y[0].shape[1:-1])


@operation("max_pooling")
class MaxPooling(Pooling):
    """y[t] = the largest element of window t, in each channel.

    The slope goes to it; of equal ones to the first.
    """

    pool_size: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: Padding = "valid"
    dilation: tuple[int, ...] = ()

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        x, y, w = at.x[0], at.y[0], self.windows(at)
        forward = pooling.maximum(at, w, x, y)
        if not at.grads:
            return forward, None
        return forward, pooling.maximum_gradient(at, w, x, y, at.dy[0], at.dx[0])

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        x = tape.first(x)
        _keep_zeros(tape, x)
        return tape.op("MaxPool", [x], **self.sliding.attributes(tape.type()))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return _examples(cls)


def _keep_zeros(tape: Tape, x: Value) -> None:
    """Stops onnxruntime 1.31 from making a Pad and the MaxPool after it one MaxPool that pads.

    Zeros are elements, what a MaxPool pads is none. It leaves a Pad alone that names its axes.
    """
    for node in tape.nodes:
        if node.op_type == "Pad" and x.name in node.output and len(node.input) == 2:
            node.input.extend(["", tape.constant(np.arange(x.rank)).name])


@operation("average_pooling")
class AveragePooling(Pooling):
    """y[t] = the mean of window t, in each channel; padding counts as zeros, or does not count."""

    pool_size: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: Padding = "valid"
    count_padding: bool = False
    dilation: tuple[int, ...] = ()

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, y, w = at.xp, at.y[0], self.windows(at)
        factor = self._factor(at, w)
        forward = (pooling.total(at, w, at.x[0], y), lambda: xp.multiply(y, factor, out=y))
        if not at.grads:
            return forward, None
        dy, scaled = at.dy[0], at.scratch(y.shape)
        spread = pooling.total_gradient(at, w, scaled, at.dx[0])
        return forward, (lambda: xp.multiply(dy, factor, out=scaled), spread)

    def _factor(self, at: Frame, w: Windows) -> Any:
        """One over the elements that count: a number, or one for every window."""
        if self.count_padding or not w.padded:
            return 1 / prod(w.kernel)
        factor = at.hold((*w.count, 1), fill=1)
        for axis, counts in enumerate(w.filled()):
            shape = (1,) * axis + (-1,) + (1,) * (w.rank - axis)
            at.xp.divide(factor, at.xp.asarray(counts, at.dtype).reshape(shape), out=factor)
        return factor

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op(
            "AveragePool",
            [tape.first(x)],
            count_include_pad=int(self.count_padding),
            **self.sliding.attributes(tape.type()),
        )

    @classmethod
    def examples(cls) -> Sequence[Example]:
        image = Tensor(("N", 6, 5, 3))
        counted = [cls((3, 2), (2, 1), padding, True) for padding in ("same", ((1, 2), (1, 0)))]
        return [*_examples(cls), *((op, [image]) for op in counted)]


def _examples(cls: Any) -> Sequence[Example]:
    sequence, image = Tensor(("N", 7, 3)), Tensor(("N", 6, 5, 3))
    return [
        (cls((2,)), [sequence]),
        (cls((3,), (2,), "same"), [sequence]),
        (cls((2,), (3,)), [sequence]),
        (cls((2, 2)), [image]),
        (cls((3, 5)), [image]),
        (cls((3, 2), (1, 2)), [image]),
        (cls((3, 3), (2, 2), "same"), [image]),
        (cls((3, 2), (1, 1), "same"), [image]),
        (cls((3, 2), (2, 1), ((1, 2), (0, 1))), [image]),
        (cls((2, 2), padding="same"), [Tensor(("N", "H", "W", 2))]),
        (cls((2, 2), (1, 2), ((1, 0), (0, 1)), dilation=(3, 2)), [image]),
        (cls((2, 1, 2), (1, 1, 2)), [Tensor(("N", 3, 2, 4, 2))]),
    ]


class GlobalPooling(Operation):
    """One number a channel, over all axes between the batch and the channels."""

    keepdims: bool

    def infer(self, x: Tensor) -> Tensor:
        if x.rank < 3:
            raise ValueError(f"needs axes between the batch and the channels; the rank is {x.rank}")
        ones: tuple[Size, ...] = (1,) * (x.rank - 2) if self.keepdims else ()
        return Tensor((x.shape[0], *ones, x.shape[-1]))

    def emit(self, tape: Tape, kind: str, x: Value) -> Value:
        """The reduction ``kind`` over the axes it has in the layout of x."""
        axes = tape.constant([tape.axis(x, axis) for axis in range(1, x.rank - 1)])
        if self.keepdims:
            return tape.op(kind, [x, axes], keepdims=1)
        return tape.op(kind, [x, axes], keepdims=0, rank=2, layout="last")

    @classmethod
    def examples(cls) -> Sequence[Example]:
        shapes = [("N", 4, 3), ("N", "H", "W", 2), ("N", 2, 3, 2, 2)]
        make: Any = cls
        return [(make(keepdims), [Tensor(shape)]) for shape in shapes for keepdims in (False, True)]


@operation("global_max_pooling")
class GlobalMaxPooling(GlobalPooling):
    """The largest element of each channel. The slope goes to it; of equal ones to the first."""

    keepdims: bool = False

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        x, y = _flat(at.x[0]), at.y[0].reshape(len(at.y[0]), 1, -1)

        def forward() -> None:
            at.xp.max(x, axis=1, keepdims=True, out=y)

        if not at.grads:
            return forward, None
        dy, dx = at.dy[0].reshape(y.shape), _flat(at.dx[0])
        return forward, Largest(at, x.shape[1]).gradient(x, y, dy, dx)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return self.emit(tape, "ReduceMax", x)


@operation("global_average_pooling")
class GlobalAveragePooling(GlobalPooling):
    """The mean of each channel."""

    keepdims: bool = False

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, _flat(at.x[0]), at.y[0].reshape(len(at.y[0]), 1, -1)
        factor = 1 / x.shape[1]

        def forward() -> None:
            xp.add.reduce(x, axis=1, keepdims=True, out=y)
            xp.multiply(y, factor, out=y)

        if not at.grads:
            return forward, None
        dy, dx = at.dy[0].reshape(y.shape), _flat(at.dx[0])
        return forward, lambda: xp.multiply(dy, factor, out=dx)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return self.emit(tape, "ReduceMean", x)


def _flat(array: Array) -> Array:
    """(rows, positions, channels)."""
    return array.reshape(len(array), -1, array.shape[-1])
