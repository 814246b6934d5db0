"""Convolution that has another kernel at every position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ..frame import Frame
from ..kernels import unshared
from ..kernels.windows import Windows
from ..op import Example, Operation, Steps, operation
from ..tensor import Param, Tensor, product
from .separable import numbers
from .sliding import Padding, Sliding

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["LocallyConnected"]


@operation("locally_connected")
class LocallyConnected(Operation):
    """y[t] = window t of x @ kernel[t] + bias[t].

    A window is its elements in C order, (*kernel_size, channels). Empty strides are ones.
    Parameters, as in Keras' implementation 1: kernel (positions, window, filters), the positions in
    C order, and bias (*positions, filters).
    """

    filters: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: Padding = "valid"
    use_bias: bool = True

    @property
    def _sliding(self) -> Sliding:
        return Sliding.of(self.kernel_size, self.strides, self.padding)

    def params(self, x: Tensor) -> Mapping[str, Param]:
        positions = self._sliding.output(x)
        window = product((*self.kernel_size, x.shape[-1]))
        kernel = {"kernel": Param((product(positions), window, self.filters))}
        return kernel | ({"bias": Param((*positions, self.filters))} if self.use_bias else {})

    def infer(self, x: Tensor) -> Tensor:
        positions = self._sliding.output(x)
        numbers(x)
        return Tensor((x.shape[0], *positions, self.filters))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y, kernel, bias = at.xp, at.x[0], at.y[0], at.p["kernel"], at.p.get("bias")
        w = self._sliding.windows(x.shape[1:-1], y.shape[1:-1])
        forward = unshared.forward(at, w, x, kernel, y)
        shift = None if bias is None else lambda: xp.add(y, bias, out=y)
        if not at.grads:
            return (forward, shift), None
        dy, dx, dkernel, dbias = at.dy[0], at.dx[0], at.dp.get("kernel"), at.dp.get("bias")
        return (forward, shift), (
            None if dkernel is None else unshared.kernel_gradient(at, w, x, dy, dkernel),
            None if dbias is None else lambda: xp.add.reduce(dy, axis=0, out=dbias),
            None if dx is None else unshared.input_gradient(at, w, dy, kernel, dx),
        )

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        sizes, channels = numbers(tape.type()), tape.type().shape[-1]
        count = [int(n) for n in self._sliding.output(tape.type())]
        w = self._sliding.windows(tuple(sizes), tuple(count))
        x = tape.last(x)
        spans = [max(n, s - b) for n, s, b in zip(w.size, w.span, w.before, strict=True)]
        if w.padded:
            after = [span - n for span, n in zip(spans, w.size, strict=True)]
            x = tape.op("Pad", [x, tape.constant([0, *w.before, 0, 0, *after, 0])])
        padded = [b + span for b, span in zip(w.before, spans, strict=True)]
        flat = tape.constant([0, prod(padded), channels])
        x = tape.op("Reshape", [x, flat], rank=3)
        x = tape.op("Gather", [x, tape.constant(_places(w, padded))], axis=1, rank=4)
        flat = tape.constant([0, prod(count), prod(w.kernel) * int(channels)])
        x = tape.op("Reshape", [x, flat], rank=3)
        x = tape.op("MatMul", [tape.op("Transpose", [x], perm=(1, 0, 2)), p["kernel"]])
        x = tape.op("Transpose", [x], perm=(1, 0, 2))
        shape = tape.constant([0, *count, self.filters])
        x = tape.op("Reshape", [x, shape], rank=len(count) + 2)
        return tape.op("Add", [x, p["bias"]]) if self.use_bias else x

    @classmethod
    def examples(cls) -> Sequence[Example]:
        sequence, image = Tensor(("N", 6, 2)), Tensor(("N", 4, 5, 2))
        return [
            (cls(3, (2,)), [sequence]),
            (cls(2, (3,), (2,), "same"), [sequence]),
            (cls(2, (2, 3), use_bias=False), [image]),
            (cls(3, (3, 2), (1, 2), ((1, 1), (2, 0))), [image]),
            (cls(2, (1, 2), (3, 2)), [image]),
        ]


def _places(w: Windows, padded: Sequence[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """(positions, elements of a window): which element of the padded input, in C order."""
    axes = [
        np.add.outer(np.arange(n) * s, np.arange(k) * d)
        for n, s, k, d in zip(w.count, w.stride, w.kernel, w.dilation, strict=True)
    ]
    places = np.zeros((1, 1), np.int64)
    for axis, size in zip(axes, padded, strict=True):
        added = places[:, None, :, None] * size + axis[:, None, :][None]
        places = added.reshape(len(places) * len(axis), -1)
    return places
