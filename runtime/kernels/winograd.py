"""Convolution of 3 x 3 with stride one by Winograd's F(2x2, 3x3): 16 products for 36.

Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015. A tile of 2 x 2 outputs y
depends on 4 x 4 inputs d and the 3 x 3 kernel g:

    y = A.T [ (G g G.T) * (B.T d B) ] A

Summed over the channels, each of the 16 elements is a matrix product, (tiles, channels) @
(channels, filters). The gradient of the kernel is that turned round: G.T [ (B.T d B).T @ (A dy
A.T) ] G. The transforms only add and halve, so results differ from a plain sum by a few roundings.
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

MANY = 32
"""Channels and filters from which the products that are saved outweigh the transforms."""
TILES = 128
"""Tiles from which they outweigh the kernel's transform too, and that a block has at least."""


def suits(w: Windows, images: int, channels: int, filters: int) -> bool:
    """Whether this form is possible, and cheaper than columns."""
    possible = w.kernel == (3, 3) and w.stride == w.dilation == (1, 1)
    tiles = images * (-(-w.count[0] // 2)) * (-(-w.count[1] // 2))
    return possible and min(channels, filters) >= MANY and tiles >= TILES


def forward(at: Frame, w: Windows, x: Array, kernel: Array, y: Array) -> Step:
    """Writes y = A.T [ (G g G.T) * (B.T x B) ] A."""
    xp, (channels, filters) = at.xp, kernel.shape[-2:]
    weights = at.scratch((4, 4, channels, filters))
    flat, pairs = _matrices(weights), list(_elements(weights, kernel))

    def transform() -> None:
        weights.fill(0)
        for to, given in pairs:
            xp.copyto(to, given)
        _kernel(xp, weights)
        _kernel(xp, weights.swapaxes(0, 1))

    def part(block: Block) -> Step:
        inputs, outputs = _matrices(block.inputs), _matrices(block.outputs)
        columns = block.outputs[:2].swapaxes(0, 1)
        pairs = [(to, block.outputs[tiles]) for tiles, to in block.tiles(y)]

        def step() -> None:
            block.write()
            xp.matmul(inputs, flat, out=outputs)
            _output(xp, block.outputs)
            _output(xp, columns)
            for to, tiles in pairs:
                xp.copyto(to, tiles)

        return step

    return in_turn([transform, *(part(block) for block in _blocks(at, w, x, filters))])


def kernel_gradient(at: Frame, w: Windows, x: Array, dy: Array, dkernel: Array) -> Step:
    """Writes dkernel = G.T [ (B.T x B).T @ (A dy A.T) ] G."""
    xp, (channels, filters) = at.xp, dkernel.shape[-2:]
    total = at.scratch((4, 4, channels, filters))
    pairs = list(_elements(total, dkernel))

    def part(block: Block, target: Array) -> Step:
        inputs, outputs = _matrices(block.inputs).swapaxes(1, 2), _matrices(block.outputs)
        corners, columns = block.outputs[::3, ::3], block.outputs[::3].swapaxes(0, 1)
        pairs = [(corners[tiles], slopes) for tiles, slopes in block.tiles(dy)]

        def step() -> None:
            block.write()
            corners.fill(0)
            for to, slopes in pairs:
                xp.copyto(to, slopes)
            _output_gradient(xp, columns)
            _output_gradient(xp, block.outputs)
            xp.matmul(inputs, outputs, out=_matrices(target))

        return step

    def transform() -> None:
        _kernel_gradient(xp, total)
        _kernel_gradient(xp, total.swapaxes(0, 1))
        for slope, to in pairs:
            xp.copyto(to, slope)

    sums = summed(at, total, (partial(part, block) for block in _blocks(at, w, x, filters)))
    return in_turn([sums, transform])


# The transforms in one dimension, along the first axis; a second call with the first two axes
# exchanged makes them two-dimensional. All but that of the input work in place, on 4 places; "-" is
# one that does not matter.


def _kernel(xp: Any, g: Array) -> None:
    """Makes g0, g1, -, g2 into G g: g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2."""
    xp.add(g[0], g[3], out=g[2])
    xp.add(g[2], g[1], out=g[1])
    xp.multiply(g[2], 2, out=g[2])
    xp.subtract(g[2], g[1], out=g[2])
    xp.multiply(g[1:3], 0.5, out=g[1:3])


def _kernel_gradient(xp: Any, u: Array) -> None:
    """Makes u into G.T u: u0 + (u1 + u2) / 2, (u1 - u2) / 2, -, (u1 + u2) / 2 + u3."""
    xp.multiply(u[1:3], 0.5, out=u[1:3])
    xp.add(u[::3], u[1], out=u[::3])
    xp.add(u[::3], u[2], out=u[::3])
    xp.subtract(u[1], u[2], out=u[1])


def _elements(u: Array, kernel: Array) -> Iterator[tuple[Array, Array]]:
    """The elements of a kernel: (where they stand in the 4 x 4 of u, in the 3 x 3)."""
    for row, to_row in enumerate((0, 1, 3)):
        for column, to_column in enumerate((0, 1, 3)):
            yield u[to_row, to_column], kernel[row, column]


def _input(xp: Any, d: tuple[Array, Array, Array, Array], out: Array) -> None:
    """Writes B.T d: d0 - d2, d1 + d2, d2 - d1, d1 - d3."""
    xp.subtract(d[0], d[2], out=out[0])
    xp.add(d[1], d[2], out=out[1])
    xp.subtract(d[2], d[1], out=out[2])
    xp.subtract(d[1], d[3], out=out[3])


def _output(xp: Any, m: Array) -> None:
    """Makes m into A.T m: m0 + m1 + m2, m1 - m2 - m3, -, -."""
    xp.add(m[0], m[1], out=m[0])
    xp.add(m[0], m[2], out=m[0])
    xp.subtract(m[1], m[2], out=m[1])
    xp.subtract(m[1], m[3], out=m[1])


def _output_gradient(xp: Any, m: Array) -> None:
    """Makes y0, -, -, y1 into A y: y0, y0 + y1, y0 - y1, -y1."""
    xp.add(m[0], m[3], out=m[1])
    xp.subtract(m[0], m[3], out=m[2])
    xp.negative(m[3], out=m[3])


def _matrices(a: Array) -> Array:
    """Tiles (4, 4, images, rows, columns, channels), or kernels, as 16 matrices."""
    return a.reshape(16, -1, a.shape[-1])


@dataclass(frozen=True, slots=True)
class Block:
    """The tiles in ``rows`` (of tiles) of ``images``.

    ``write`` fills ``inputs`` with B.T d B; ``outputs`` is room for what it is multiplied with, or
    gives. Both are (4, 4, images, rows, columns, channels).
    """

    images: slice
    rows: slice
    write: Step
    inputs: Array
    outputs: Array

    def tiles(self, y: Array) -> Iterator[tuple[tuple[Any, ...], Array]]:
        """For each of the 2 x 2 elements of a tile: (its index in tiles, where it lies in y).

        The last tiles of an odd number of rows or columns reach beyond y.
        """
        for row in (0, 1):
            for column in (0, 1):
                first, last = 2 * self.rows.start + row, 2 * self.rows.stop
                part = y[self.images, first:last:2, column::2]
                yield (row, column, slice(None), *map(slice, part.shape[1:3])), part


def _blocks(at: Frame, w: Windows, x: Array, filters: int) -> Iterator[Block]:
    channels, (height, width) = x.shape[-1], (-(-n // 2) for n in w.count)
    padded, half, inputs, outputs = (Reused(at) for _ in range(4))
    per_tile = 16 * (channels + filters)
    # The more channels, the more tiles it takes to make up for fetching the kernel.
    least = max(TILES, (channels + filters) // 4) * per_tile
    for images, rows in blocks(len(x), height, width * per_tile, least):
        shape = (length(images), length(rows))
        d = padded.part(shape[0], 2 * shape[1] + 2, 2, width + 1, channels)
        lines = half.part(4, *shape, 2, width + 1, channels)
        tiles = inputs.part(4, 4, *shape, width, channels)
        write = in_turn([*_load(at.xp, w, x[images], rows, d), _transform(at.xp, d, lines, tiles)])
        yield Block(images, rows, write, tiles, outputs.part(4, 4, *shape, width, filters))


def _load(xp: Any, w: Windows, x: Array, rows: slice, d: Array) -> Iterator[Step]:
    """Copies the input under some rows of tiles to d, even and odd columns apart.

    So all that is added after is long runs of memory. d: (images, rows, column % 2, column // 2,
    channels).
    """
    lines, ys = inside(2 * rows.start - w.before[0], 1, w.size[0], d.shape[1])
    yield partial(d.fill, 0)
    for odd in (0, 1):
        xs, columns = inside(w.before[1] - odd, 2, d.shape[3], w.size[1])
        yield partial(xp.copyto, d[:, lines, odd, columns], x[:, ys, xs])


def _transform(xp: Any, d: Array, lines: Array, tiles: Array) -> Step:
    """Writes tiles = B.T d B: first down the rows, then along them."""
    last = d.shape[1] - 2
    rows = (d[:, 0:last:2], d[:, 1:last:2], d[:, 2::2], d[:, 3::2])
    even, odd = lines[:, :, :, 0], lines[:, :, :, 1]
    columns = (even[:, :, :, :-1], odd[:, :, :, :-1], even[:, :, :, 1:], odd[:, :, :, 1:])

    def transform() -> None:
        _input(xp, rows, lines)
        _input(xp, columns, tiles.swapaxes(0, 1))

    return transform
