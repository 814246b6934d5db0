"""Convolution of images with few channels: only the width of the kernel is written out.

A strip is a row of the input as every column of windows sees it, with the pixels in the last axis:
(kernel width, channels, images * windows in a row). Strips one below the other are the windows of a
whole row of outputs, turned: a matrix that overlaps that of the next row and is never copied.
What is written is less than full columns by the kernel's height, and in runs of pixels instead of
channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..frame import Array, Frame
from ..op import Step
from .blocks import Reused, blocks, length
from .steps import in_turn, summed
from .windows import Windows, inside

FEW = 48
"""Channels from which columns are no dearer."""
LONG = 6
"""Columns are no dearer either where a row of a window is longer than so many rows of windows."""


def suits(w: Windows, channels: int) -> bool:
    """Whether strips are possible, and cheaper than columns."""
    possible = w.rank == 2 and 1 in (w.dilation[0], w.kernel[0])
    return possible and channels < FEW and w.kernel[1] * channels <= LONG * w.count[1]


def forward(at: Frame, w: Windows, x: Array, kernel: Array, y: Array) -> Step:
    """Writes y[:, row] = windows[row] @ kernel."""
    xp, memory = at.xp, Reused(at)
    weights = kernel.reshape(-1, kernel.shape[-1])

    def part(block: Block) -> Step:
        rows, copy, turned = _by_row(y[block.images, block.rows], memory)

        def step() -> None:
            block.write()
            xp.matmul(block.windows, weights, out=rows)
            if copy is not None:
                xp.copyto(turned, copy)

        return step

    return in_turn(part(block) for block in _blocks(at, w, x, kernel.shape[-1]))


def kernel_gradient(at: Frame, w: Windows, x: Array, dy: Array, dkernel: Array) -> Step:
    """Writes dkernel = sum of windows[row].T @ dy[:, row] over the rows."""
    xp, memory, products = at.xp, Reused(at), Reused(at)
    filters = dkernel.shape[-1]

    def part(block: Block, target: Array) -> Step:
        rows, copy, turned = _by_row(dy[block.images, block.rows], memory)
        windows, total = block.windows.transpose(0, 2, 1), target.reshape(-1, filters)
        made = products.part(len(rows), *total.shape)

        def step() -> None:
            block.write()
            if copy is not None:
                xp.copyto(copy, turned)
            xp.matmul(windows, rows, out=made)
            xp.add.reduce(made, axis=0, out=total)

        return step

    cut = _blocks(at, w, x, filters, dkernel.size)
    return summed(at, dkernel, (partial(part, block) for block in cut))


def _by_row(part: Array, memory: Reused) -> tuple[Array, Array | None, Array]:
    """Outputs (images, rows, columns, channels) as (rows, images * columns, channels).

    Also the copy that this is, which one image or one row does not need, and what it is a copy of.
    """
    turned = part.transpose(1, 0, 2, 3)
    copy = None if 1 in part.shape[:2] else memory.part(*turned.shape)
    rows = turned if copy is None else copy
    return rows.reshape(len(rows), -1, rows.shape[-1]), copy, turned


@dataclass(frozen=True, slots=True)
class Block:
    """The windows in ``rows`` of ``images``.

    ``write`` fills the strips; ``windows``, a view of them, is (rows, images * windows in a row,
    window).
    """

    images: slice
    rows: slice
    write: Step
    windows: Array


def _blocks(at: Frame, w: Windows, x: Array, filters: int, beside: int = 0) -> Iterator[Block]:
    """The windows of x, block by block; ``beside`` is what else a row of them takes."""
    memory, (height, width), channels = Reused(at), w.kernel, x.shape[-1]
    per_row = (w.stride[0] * width * channels + filters) * w.count[1] + beside
    for images, rows in blocks(len(x), w.count[0], per_row):
        lines = (length(rows) - 1) * w.stride[0] + height
        strips = memory.part(lines, width, channels, length(images), w.count[1])
        line, _, pixels, _, pixel = strips.strides
        windows = at.xp.lib.stride_tricks.as_strided(
            strips,
            (length(rows), length(images) * w.count[1], height * width * channels),
            (w.stride[0] * line, pixel, pixels),
        )
        yield Block(images, rows, _writer(at.xp, w, x[images], rows, strips), windows)


def _writer(xp: Any, w: Windows, x: Array, rows: slice, strips: Array) -> Step:
    """Fills the strips: for each element of the kernel's width, the pixels it falls on."""
    start = rows.start * w.stride[0] - w.before[0]
    lines, ys = inside(start, 1, w.size[0], len(strips))
    columns = [w.along(1, element) for element in range(w.kernel[1])]
    steps: list[Step] = []
    if length(lines) < len(strips) or any(length(ts) < w.count[1] for _, ts in columns):
        steps.append(partial(strips.fill, 0))
    for element, (xs, ts) in enumerate(columns):
        pixels = x[:, ys, xs].transpose(1, 3, 0, 2)
        steps.append(partial(xp.copyto, strips[lines, element, :, :, ts], pixels))
    return in_turn(steps)
