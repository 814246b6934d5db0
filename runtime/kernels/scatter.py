"""The gradient of a convolution's input: every window adds to the input where it lies.

This is also the forward pass of a transposed convolution. It takes any stride, dilation and number
of groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import groupby, product
from math import prod

from ..frame import Array, Frame
from ..op import Step
from .blocks import Reused, blocks, length
from .columns import matrices
from .steps import in_turn
from .windows import Slices, Windows, overlap

APART = 32
"""Channels from which the elements of a window are multiplied one by one: fewer make short sums."""


def input_gradient(at: Frame, w: Windows, dy: Array, kernel: Array, dx: Array) -> Step:
    """Writes dx[i] = sum of dy[t] @ kernel[k].T over the windows t that have i as element k."""
    scatter = _Scatter(at, w, kernel, dx.shape[-1] // kernel.shape[-2])
    boxes = list(scatter.boxes())
    per_window = max(prod(map(length, boxes[0])) * dx.shape[-1], dy.shape[-1])
    # Blocks twice the usual size make longer runs of what is added.
    cut = blocks(len(dy), w.count[0], -(-prod(w.count[1:]) * per_window // 2))
    steps: list[Step] = []
    for images, group in groupby(cut, key=lambda block: block[0]):
        sums, before, after = scatter.sums(dx[images])
        steps += before
        for _, rows in group:
            steps += [scatter.add(box, dy[images, rows], rows, sums) for box in boxes]
        steps += after
    return in_turn(steps)


class _Scatter:
    """What the blocks have in common. A box is some elements of a window, a slice an axis."""

    def __init__(self, at: Frame, w: Windows, kernel: Array, groups: int) -> None:
        self._xp, self._w, self._kernel, self._groups = at.xp, w, kernel, groups
        self._padded, self._made = Reused(at), Reused(at)

    def boxes(self) -> Iterator[Slices]:
        """What is multiplied at a time: all elements of a window, or each."""
        if self._kernel.shape[-2] < APART:
            yield tuple(slice(0, n) for n in self._w.kernel)
        else:
            yield from (tuple(slice(k, k + 1) for k in box) for box in self._w.elements())

    def sums(self, dx: Array) -> tuple[Array, list[Step], list[Step]]:
        """(what the windows add to: dx itself or a padded copy, what runs before, what after)."""
        w = self._w
        if not w.padded:
            return dx, [partial(dx.fill, 0)], []
        sums = self._padded.part(len(dx), *w.span, dx.shape[-1])
        source, to = overlap([-b for b in w.before], w.span, w.size)
        copy = partial(self._xp.copyto, dx[(slice(None), *to)], sums[(slice(None), *source)])
        return sums, [partial(sums.fill, 0)], [partial(dx.fill, 0), copy]

    def add(self, box: Slices, dy: Array, rows: slice, sums: Array) -> Step:
        """Adds what a box contributes to the windows in ``rows``."""
        xp, each = self._xp, self._kernel.shape[-2]
        made = self._made.part(self._groups, *dy.shape[:-1], *map(length, box), each)
        weights = [kernel.T for kernel in matrices(self._kernel[box], self._groups)]
        out = made.reshape(self._groups, -1, weights[0].shape[1])
        products = list(zip(matrices(dy, self._groups), weights, out, strict=True))
        pairs = [
            pair
            for group in range(self._groups)
            for pair in self._pairs(
                box, made[group], rows, sums[..., group * each : (group + 1) * each]
            )
        ]

        def step() -> None:
            for a, b, to in products:
                xp.matmul(a, b, out=to)
            for to, more in pairs:
                xp.add(to, more, out=to)

        return step

    def _pairs(
        self, box: Slices, made: Array, rows: slice, sums: Array
    ) -> Iterator[tuple[Array, Array]]:
        """(a view of the sums, what is added to it).

        Windows that are ``apart`` from each other along the last axis do not overlap there, so they
        are added at once, with all elements they have there: long runs of memory.
        """
        w = self._w
        apart = -(-((length(box[-1]) - 1) * w.dilation[-1] + 1) // w.stride[-1])
        image, *along, channel = sums.strides
        steps = [n * s for n, s in zip(along, w.stride, strict=True)]
        strides = (image, *steps[:-1], steps[-1] * apart, along[-1] * w.dilation[-1], channel)
        start = [side.start * d for side, d in zip(box, w.dilation, strict=True)]
        start[0] += rows.start * w.stride[0]
        for element in product(*(range(length(side)) for side in box[:-1])):
            for phase in range(min(apart, w.count[-1])):
                more = made[(..., slice(phase, None, apart), *element, slice(None), slice(None))]
                shift = [k * d for k, d in zip(element, w.dilation, strict=False)]
                shift.append(phase * w.stride[-1])
                first = (slice(a + b, None) for a, b in zip(start, shift, strict=True))
                to = self._xp.lib.stride_tricks.as_strided(
                    sums[(slice(None), *first)], more.shape, strides
                )
                yield to, more
