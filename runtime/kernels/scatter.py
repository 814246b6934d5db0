"""The gradient of a convolution's input, which a transposed convolution is the forward pass of:
every window adds to the input where it lies. For any stride, dilation and number of groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import groupby, product
from math import prod

from ..frame import Array, Frame
from ..op import Step
from .columns import matrices
from .steps import in_turn
from .windows import BLOCK, Reused, Windows, blocks, inside, length

APART = 32
"""Channels from which the elements of a window are multiplied one by one: with fewer, sums are short."""

Box = tuple[slice, ...]
"""Some elements of a window, per axis."""


def input_gradient(at: Frame, w: Windows, dy: Array, kernel: Array, dx: Array) -> Step:
    """dx[i] = sum of dy[t] @ kernel[k].T over the windows t that have i as their element k."""
    scatter = _Scatter(at, w, kernel, dx.shape[-1] // kernel.shape[-2])
    boxes = list(scatter.boxes())
    elements = prod(length(side) for side in boxes[0]) * dx.shape[-1]
    cut = blocks(len(dy), w.count[0], prod(w.count[1:]) * max(elements, dy.shape[-1]), 2 * BLOCK)
    steps: list[Step] = []
    for images, group in groupby(cut, key=lambda block: block[0]):
        sums, before, after = scatter.sums(dx[images])
        parts = [scatter.part(box, dy[images, rows], rows, sums) for _, rows in group for box in boxes]
        steps += [*before, *parts, *after]
    return in_turn(steps)


class _Scatter:
    """What the blocks have in common."""

    def __init__(self, at: Frame, w: Windows, kernel: Array, groups: int) -> None:
        self.xp, self.w, self.kernel, self.groups = at.xp, w, kernel, groups
        self.padded, self.made = Reused(at), Reused(at)

    def boxes(self) -> Iterator[Box]:
        """The parts of the window that are multiplied at a time."""
        if self.kernel.shape[-2] < APART:
            yield tuple(slice(0, n) for n in self.w.kernel)
        else:
            yield from (tuple(slice(k, k + 1) for k in element) for element in self.w.elements())

    def sums(self, dx: Array) -> tuple[Array, list[Step], list[Step]]:
        """(what the windows add to: dx itself or a padded copy, what runs before, what after)."""
        w = self.w
        if not w.padded:
            return dx, [partial(dx.fill, 0)], []
        sums = self.padded.part(len(dx), *w.span, dx.shape[-1])
        pairs = [inside(-b, 1, n, s) for b, n, s in zip(w.before, w.size, w.span, strict=True)]
        source = sums[(slice(None), *(points for points, _ in pairs))]
        to = dx[(slice(None), *(ts for _, ts in pairs))]
        after = [partial(dx.fill, 0), partial(self.xp.copyto, to, source)]
        return sums, [partial(sums.fill, 0)], after

    def part(self, box: Box, dy: Array, rows: slice, sums: Array) -> Step:
        """Adds what some elements of the windows in ``rows`` contribute."""
        each, xp = self.kernel.shape[-2], self.xp
        made = self.made.part(self.groups, *dy.shape[:-1], *map(length, box), each)
        weights = [k.T for k in matrices(self.kernel[box], self.groups)]
        flat = made.reshape(self.groups, -1, weights[0].shape[1])
        products = list(zip(matrices(dy, self.groups), weights, flat, strict=True))
        pairs = [
            pair
            for g in range(self.groups)
            for pair in self.pairs(box, made[g], rows, sums[..., g * each : (g + 1) * each])
        ]

        def step() -> None:
            for a, b, out in products:
                xp.matmul(a, b, out=out)
            for to, source in pairs:
                xp.add(to, source, out=to)

        return step

    def pairs(
        self, box: Box, made: Array, rows: slice, sums: Array
    ) -> Iterator[tuple[Array, Array]]:
        """(a view of the sums, what is added to it).

        Windows that are ``apart`` from each other along the last axis do not overlap there, so they
        are added at once and with all their elements: long runs of memory.
        """
        w, view = self.w, self.xp.lib.stride_tricks.as_strided
        images, *along, channel = sums.strides
        apart = -(-((length(box[-1]) - 1) * w.dilation[-1] + 1) // w.stride[-1])
        steps = [n * s for n, s in zip(along, (*w.stride[:-1], w.stride[-1] * apart), strict=True)]
        strides = (images, *steps, along[-1] * w.dilation[-1], channel)
        for element in product(*(range(length(side)) for side in box[:-1])):
            for phase in range(min(apart, w.count[-1])):
                source = made[(..., slice(phase, None, apart), *element, slice(None), slice(None))]
                origin = [(side.start + k) * d for side, k, d in zip(box, (*element, 0), w.dilation, strict=True)]
                origin[0] += rows.start * w.stride[0]
                origin[-1] += phase * w.stride[-1]
                first = sums[(slice(None), *(slice(o, None) for o in origin))]
                yield view(first, source.shape, strides), source
