"""Convolution of images with few channels: only the width of the kernel is written out.

A strip is a row of the input as every column of windows sees it, with the pixels in the last axis:
(kernel width, channels, images * windows in a row). Strips one below the other are then the window
of a whole row of outputs, turned: a matrix that overlaps the next row's and is never copied. What
is written is the kernel's height times less than with full columns, and in runs of pixels
instead of channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..frame import Array, Frame
from ..op import Step
from .steps import in_turn, summed
from .windows import Reused, Windows, blocks, covers, inside, length

FEW = 48
"""Channels from which columns are no dearer."""
LONG = 6
"""Windows in a row, for every element of a window's row at this many, below which columns are no dearer."""


def suits(w: Windows, channels: int) -> bool:
    """Whether strips are possible, and cheaper than columns: few channels, long rows."""
    possible = w.rank == 2 and 1 in (w.dilation[0], w.kernel[0])
    return possible and channels < FEW and w.kernel[1] * channels <= LONG * w.count[1]


@dataclass(frozen=True, slots=True)
class Block:
    """The windows in ``rows`` of ``images``.

    ``write`` fills the strips; ``windows`` is (rows, images * windows in a row, window), a view of
    them.
    """

    images: slice
    rows: slice
    write: Step
    windows: Array


def forward(at: Frame, w: Windows, x: Array, kernel: Array, y: Array) -> Step:
    """y[:, row] = windows[row] @ kernel."""
    xp, memory = at.xp, Reused(at)
    weights = kernel.reshape(-1, kernel.shape[-1])

    def part(block: Block) -> Step:
        rows, apart, turned = _by_row(y[block.images, block.rows], memory)

        def step() -> None:
            block.write()
            xp.matmul(block.windows, weights, out=rows)
            if apart is not None:
                xp.copyto(turned, apart)

        return step

    return in_turn(part(block) for block in _blocks(at, w, x, kernel.shape[-1]))


def kernel_gradient(at: Frame, w: Windows, x: Array, dy: Array, dkernel: Array) -> Step:
    """dkernel = sum over rows of windows[row].T @ dy[:, row]."""
    xp, memory, products = at.xp, Reused(at), Reused(at)
    filters = dkernel.shape[-1]
    weights = dkernel.size // filters

    def part(block: Block, target: Array) -> Step:
        rows, apart, turned = _by_row(dy[block.images, block.rows], memory)
        windows = block.windows.transpose(0, 2, 1)
        made = products.part(length(block.rows), weights, filters)
        total = target.reshape(weights, filters)

        def step() -> None:
            block.write()
            if apart is not None:
                xp.copyto(apart, turned)
            xp.matmul(windows, rows, out=made)
            xp.add.reduce(made, axis=0, out=total)

        return step

    cut = _blocks(at, w, x, filters, dkernel.size)
    return summed(at, dkernel, (partial(part, block) for block in cut))


def _by_row(part: Array, memory: Reused) -> tuple[Array, Array | None, Array]:
    """Outputs (images, rows, columns, channels) as (rows, images * columns, channels).

    Also the copy that is needed unless there is one image, and what it is a copy of.
    """
    turned = part.transpose(1, 0, 2, 3)
    copy = None if len(part) == 1 else memory.part(*turned.shape)
    rows = turned if copy is None else copy
    return rows.reshape(len(rows), -1, rows.shape[-1]), copy, turned


def _blocks(
    at: Frame, w: Windows, x: Array, filters: int, beside: int = 0
) -> Iterator[Block]:
    """The windows of x, block by block; ``beside`` is what else a row takes."""
    memory, (height, width) = Reused(at), w.kernel
    inputs = width * x.shape[-1]
    per_row = (w.stride[0] * inputs + filters) * w.count[1] + beside
    for images, rows in blocks(len(x), w.count[0], per_row):
        seen = (length(rows) - 1) * w.stride[0] + height
        strips = memory.part(seen, width, x.shape[-1], length(images), w.count[1])
        pixels = length(images) * w.count[1]
        one = strips.strides[-1]
        windows = at.xp.lib.stride_tricks.as_strided(
            strips,
            (length(rows), pixels, height * inputs),
            (w.stride[0] * strips.strides[0], one, pixels * one),
        )
        yield Block(images, rows, _writer(at.xp, w, x[images], rows, strips), windows)


def _writer(xp: Any, w: Windows, x: Array, rows: slice, strips: Array) -> Step:
    """Fills the strips: for each element of the kernel's width, the pixels it falls on."""
    start = rows.start * w.stride[0] - w.before[0]
    lines, ys = inside(start, 1, w.size[0], len(strips))
    pairs: list[tuple[Array, Array]] = []
    whole = True
    for element in range(w.kernel[1]):
        xs, ts = w.along(1, element)
        whole = whole and covers((lines, ts), (len(strips), w.count[1]))
        pairs.append((strips[lines, element, :, :, ts], x[:, ys, xs].transpose(1, 3, 0, 2)))

    def write() -> None:
        if not whole:
            strips.fill(0)
        for to, pixels in pairs:
            xp.copyto(to, pixels)

    return write
