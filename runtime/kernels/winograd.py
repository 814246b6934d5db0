"""Convolution of 3 x 3 with stride one by Winograd's F(2x2, 3x3): 16 products for 36.

Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015. A tile of 2 x 2 outputs
depends on 4 x 4 inputs d and the 3 x 3 kernel g:

    y = A.T [ (G g G.T) * (B.T d B) ] A        * per element, for every tile, channel and filter

Summed over the channels, each of the 16 elements is a matrix product (tiles, channels) @ (channels,
filters). The gradient of the kernel is the transpose of that: G.T [ (B.T d B).T @ (A dy A.T) ] G.
The transforms only add and halve, so results differ from a direct sum by a few roundings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..frame import Array, Frame
from ..op import Step
from .steps import in_turn, summed
from .windows import BLOCK, Reused, Windows, blocks, inside, length

MANY = 32
"""Channels and filters from which the products saved outweigh the transforms."""
TILES = 128
"""Tiles from which the products outweigh the transform of the kernel, and in a block at least."""


def suits(w: Windows, images: int, channels: int, filters: int) -> bool:
    """Whether this form applies, and is cheaper than columns."""
    possible = w.kernel == (3, 3) and w.stride == w.dilation == (1, 1)
    tiles = images * (-(-w.count[0] // 2)) * (-(-w.count[1] // 2))
    return possible and min(channels, filters) >= MANY and tiles >= TILES


def forward(at: Frame, w: Windows, x: Array, kernel: Array, y: Array) -> Step:
    """y = A.T [ (G g G.T) * (B.T x B) ] A."""
    xp, (channels, filters) = at.xp, kernel.shape[-2:]
    half, weights = at.scratch((4, 3, channels, filters)), at.scratch((4, 4, channels, filters))

    def transform() -> None:
        _kernel(xp, kernel, half)
        _kernel(xp, half.swapaxes(0, 1), weights.swapaxes(0, 1))

    def part(block: Block) -> Step:
        inputs, outputs = _matrices(block.inputs), _matrices(block.outputs)
        columns = block.outputs[:2].swapaxes(0, 1)
        pairs = [(to, block.outputs[at]) for at, to in block.tiles(y)]

        def step() -> None:
            block.write()
            xp.matmul(inputs, _matrices(weights), out=outputs)
            _output(xp, block.outputs)
            _output(xp, columns)
            for to, tiles in pairs:
                xp.copyto(to, tiles)

        return step

    return in_turn([transform, *(part(block) for block in _blocks(at, w, x, filters))])


def kernel_gradient(at: Frame, w: Windows, x: Array, dy: Array, dkernel: Array) -> Step:
    """dkernel = G.T [ (B.T x B).T @ (A dy A.T) ] G."""
    xp, (channels, filters) = at.xp, dkernel.shape[-2:]
    half, total = at.scratch((4, 3, channels, filters)), at.scratch((4, 4, channels, filters))

    def part(block: Block, target: Array) -> Step:
        inputs, outputs = _matrices(block.inputs).swapaxes(1, 2), _matrices(block.outputs)
        corners = block.outputs[::3, ::3]
        columns = block.outputs[::3].swapaxes(0, 1)
        pairs = [(corners[at], tiles) for at, tiles in block.tiles(dy)]

        def step() -> None:
            block.write()
            corners.fill(0)
            for to, tiles in pairs:
                xp.copyto(to, tiles)
            _output_gradient(xp, columns)
            _output_gradient(xp, block.outputs)
            xp.matmul(inputs, outputs, out=_matrices(target))

        return step

    def transform() -> None:
        _kernel_gradient(xp, total.swapaxes(0, 1), half.swapaxes(0, 1))
        _kernel_gradient(xp, half, dkernel)

    sums = summed(at, total, (partial(part, block) for block in _blocks(at, w, x, filters)))
    return in_turn([sums, transform])


# The transforms in one dimension, along the first axis; a second call with the first two axes
# exchanged makes them two-dimensional.


def _kernel(xp: Any, g: Array, out: Array) -> None:
    """G g: g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2."""
    xp.copyto(out[0], g[0])
    xp.copyto(out[3], g[2])
    xp.add(g[0], g[2], out=out[1])
    xp.subtract(out[1], g[1], out=out[2])
    xp.add(out[1], g[1], out=out[1])
    xp.multiply(out[1:3], 0.5, out=out[1:3])


def _kernel_gradient(xp: Any, u: Array, out: Array) -> None:
    """G.T u: u0 + (u1 + u2) / 2, (u1 - u2) / 2, (u1 + u2) / 2 + u3."""
    xp.subtract(u[1], u[2], out=out[1])
    xp.add(u[1], u[2], out=out[2])
    xp.multiply(out[1:3], 0.5, out=out[1:3])
    xp.add(u[0], out[2], out=out[0])
    xp.add(u[3], out[2], out=out[2])


def _input(xp: Any, d: tuple[Array, Array, Array, Array], out: Array) -> None:
    """B.T d: d0 - d2, d1 + d2, d2 - d1, d1 - d3."""
    xp.subtract(d[0], d[2], out=out[0])
    xp.add(d[1], d[2], out=out[1])
    xp.subtract(d[2], d[1], out=out[2])
    xp.subtract(d[1], d[3], out=out[3])


def _output(xp: Any, m: Array) -> None:
    """A.T m, over the first half of m: m0 + m1 + m2, m1 - m2 - m3."""
    xp.add(m[0], m[1], out=m[0])
    xp.add(m[0], m[2], out=m[0])
    xp.subtract(m[1], m[2], out=m[1])
    xp.subtract(m[1], m[3], out=m[1])


def _output_gradient(xp: Any, m: Array) -> None:
    """A dy, where m0 and m3 are dy0 and dy1: dy0, dy0 + dy1, dy0 - dy1, -dy1."""
    xp.add(m[0], m[3], out=m[1])
    xp.subtract(m[0], m[3], out=m[2])
    xp.negative(m[3], out=m[3])


def _matrices(a: Array) -> Array:
    """(4, 4, images, rows, columns, channels) as (16, tiles, channels); kernels likewise."""
    return a.reshape(16, -1, a.shape[-1])


@dataclass(frozen=True, slots=True)
class Block:
    """The tiles in ``rows`` of tiles of ``images``.

    ``write`` fills ``inputs`` with B.T d B; ``outputs`` is room for what is multiplied with it. Both
    are (4, 4, images, rows, columns, channels).
    """

    images: slice
    rows: slice
    write: Step
    inputs: Array
    outputs: Array

    def tiles(self, y: Array) -> Iterator[tuple[tuple[Any, ...], Array]]:
        """Each of the 2 x 2 elements of the tiles that lies in y: (its index in 2 x 2 tiles, y)."""
        for row in (0, 1):
            for column in (0, 1):
                first, last = 2 * self.rows.start + row, 2 * self.rows.stop
                part = y[self.images, first:last:2, column::2]
                yield (row, column, slice(None), *map(slice, part.shape[1:3])), part


def _blocks(at: Frame, w: Windows, x: Array, filters: int) -> Iterator[Block]:
    channels, (height, width) = x.shape[-1], (-(-n // 2) for n in w.count)
    padded, half, inputs, outputs = (Reused(at) for _ in range(4))
    per_tile = 16 * (channels + filters)
    most = max(BLOCK, max(TILES, (channels + filters) // 4) * per_tile)
    for images, rows in blocks(len(x), height, width * per_tile, most):
        shape = (length(images), length(rows))
        d = padded.part(shape[0], 2 * shape[1] + 2, 2, width + 1, channels)
        lines = half.part(4, *shape, 2, width + 1, channels)
        tiles = inputs.part(4, 4, *shape, width, channels)
        write = in_turn([_loader(at.xp, w, x[images], rows, d), _transformer(at.xp, d, lines, tiles)])
        yield Block(images, rows, write, tiles, outputs.part(4, 4, *shape, width, filters))


def _loader(xp: Any, w: Windows, x: Array, rows: slice, d: Array) -> Step:
    """Copies the input under some rows of tiles to d: (images, rows, column % 2, column // 2, channels).

    With even and odd columns apart, all that is added below are long runs of memory.
    """
    lines, ys = inside(2 * rows.start - w.before[0], 1, w.size[0], d.shape[1])
    pairs: list[tuple[Array, Array]] = []
    for odd in (0, 1):
        xs, columns = inside(w.before[1] - odd, 2, d.shape[3], w.size[1])
        pairs.append((d[:, lines, odd, columns], x[:, ys, xs]))

    def load() -> None:
        d.fill(0)
        for to, part in pairs:
            xp.copyto(to, part)

    return load


def _transformer(xp: Any, d: Array, lines: Array, tiles: Array) -> Step:
    """tiles = B.T d B: first down the rows, then along them."""
    last = d.shape[1] - 2
    rows = (d[:, 0:last:2], d[:, 1:last:2], d[:, 2::2], d[:, 3::2])
    even, odd = lines[:, :, :, 0], lines[:, :, :, 1]
    columns = (even[:, :, :, :-1], odd[:, :, :, :-1], even[:, :, :, 1:], odd[:, :, :, 1:])

    def transform() -> None:
        _input(xp, rows, lines)
        _input(xp, columns, tiles.swapaxes(0, 1))

    return transform
