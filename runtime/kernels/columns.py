"""Convolution as a product with the windows written out (im2col), in blocks that stay in the cache.

The columns of a block are made again for the gradient: to copy them anew costs less than to fetch
them from memory, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod

from ..frame import Array, Frame
from ..op import Step
from .blocks import Reused, blocks, length
from .steps import in_turn, summed
from .windows import Windows, region, seen

FEWEST = 256
"""Windows in a block at least: a product of fewer rows does not run at full speed."""


def forward(at: Frame, w: Windows, x: Array, kernel: Array, y: Array) -> Step:
    """Writes y = columns(x) @ kernel."""
    groups = x.shape[-1] // kernel.shape[-2]

    def part(block: Block) -> Step:
        out = matrices(y[block.images, block.rows], groups)
        weights = matrices(kernel, groups)
        return _products(at, block.write, zip(block.columns, weights, out, strict=True))

    return in_turn(part(block) for block in _blocks(at, w, x, groups))


def kernel_gradient(at: Frame, w: Windows, x: Array, dy: Array, dkernel: Array) -> Step:
    """Writes dkernel = columns(x).T @ dy."""
    groups = x.shape[-1] // dkernel.shape[-2]

    def part(block: Block, target: Array) -> Step:
        slopes, out = matrices(dy[block.images, block.rows], groups), matrices(target, groups)
        turned = [columns.T for columns in block.columns]
        return _products(at, block.write, zip(turned, slopes, out, strict=True))

    return summed(at, dkernel, (partial(part, block) for block in _blocks(at, w, x, groups)))


def matrices(array: Array, groups: int) -> list[Array]:
    """An array as (everything else, channels), a matrix for the channels of each group."""
    flat = array.reshape(-1, array.shape[-1])
    each = array.shape[-1] // groups
    return [flat[:, i * each : (i + 1) * each] for i in range(groups)]


def _products(at: Frame, write: Step, products: Iterable[tuple[Array, Array, Array]]) -> Step:
    matmul, every = at.xp.matmul, list(products)

    def step() -> None:
        write()
        for a, b, out in every:
            matmul(a, b, out=out)

    return step


@dataclass(frozen=True, slots=True)
class Block:
    """The windows in ``rows`` of ``images``; ``write`` fills ``columns``, a matrix a group."""

    images: slice
    rows: slice
    write: Step
    columns: Array


def _blocks(at: Frame, w: Windows, x: Array, groups: int) -> Iterator[Block]:
    window = prod(w.kernel) * x.shape[-1]
    memory, padded = Reused(at), Reused(at)
    per_row = prod(w.count[1:]) * window
    for images, rows in blocks(len(x), w.count[0], per_row, FEWEST * window):
        under = region(at.xp, x, w, images, rows, padded)
        view = _by_group(seen(at.xp, under.array, w, (length(rows), *w.count[1:])), groups)
        array = memory.part(*view.shape)
        copy = partial(at.xp.copyto, array, view)
        write = in_turn([under.load, copy] if under.load else [copy])
        yield Block(images, rows, write, array.reshape(groups, -1, window // groups))


def _by_group(windows: Array, groups: int) -> Array:
    """(..., channels) as (groups, ..., channels of a group)."""
    parted = windows.reshape(*windows.shape[:-1], groups, -1)
    return parted.transpose(parted.ndim - 2, *range(parted.ndim - 2), parted.ndim - 1)
