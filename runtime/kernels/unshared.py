"""Convolution whose kernel is another at every position: a product for each of them.

Windows are written out for a block of positions at a time, as (position, image, window), and again
for the gradient. Arrays: x (images, *spatial, channels), kernel (positions, window, filters) with a
window as (*kernel, channels), y (images, *spatial, filters).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import prod

from ..frame import Array, Frame
from ..op import Step
from .blocks import Reused, blocks, length
from .steps import in_turn
from .windows import Windows, region, seen


def forward(at: Frame, w: Windows, x: Array, kernel: Array, y: Array) -> Step:
    """Writes y[t] = window t of x @ kernel[t]."""
    steps: list[Step] = []
    for block in _blocks(at, w, x, y):
        product = partial(at.xp.matmul, block.columns, kernel[block.positions], out=block.made)
        steps += [block.write, product, block.store]
    return in_turn(steps)


def kernel_gradient(at: Frame, w: Windows, x: Array, dy: Array, dkernel: Array) -> Step:
    """Writes dkernel[t] = window t of x, turned, @ dy[t]."""
    steps: list[Step] = []
    for block in _blocks(at, w, x, dy):
        turned, to = block.columns.swapaxes(1, 2), dkernel[block.positions]
        steps += [block.write, block.fetch, partial(at.xp.matmul, turned, block.made, out=to)]
    return in_turn(steps)


def input_gradient(at: Frame, w: Windows, dy: Array, kernel: Array, dx: Array) -> Step:
    """Writes dx[i] = sum of (dy[t] @ kernel[t].T)[k] over the windows t with i as element k."""
    xp, steps = at.xp, list[Step]([partial(dx.fill, 0)])
    for block in _blocks(at, w, dx, dy):
        turned = kernel[block.positions].swapaxes(1, 2)
        steps += [block.fetch, partial(xp.matmul, block.made, turned, out=block.columns)]
        for element in w.elements():
            points, ts = w.meet(element, block.rows)
            to, part = dx[(slice(None), *points)], block.windows[(slice(None), *ts, *element)]
            steps.append(partial(xp.add, to, part, out=to))
    return in_turn(steps)


@dataclass(frozen=True, slots=True)
class Block:
    """The windows in ``rows``, which are ``positions`` of all.

    ``write`` fills ``columns`` (positions, images, window); ``windows`` is a view of them as
    (images, *positions, *kernel, channels). ``made`` is room for their outputs (positions, images,
    filters); ``store`` copies it to y, ``fetch`` from there.
    """

    rows: slice
    positions: slice
    write: Step
    columns: Array
    windows: Array
    made: Array
    store: Step
    fetch: Step


def _blocks(at: Frame, w: Windows, x: Array, y: Array) -> Iterator[Block]:
    copy, images, filters = at.xp.copyto, len(x), y.shape[-1]
    memory, padded, made = Reused(at), Reused(at), Reused(at)
    across, window = prod(w.count[1:]), prod(w.kernel) * x.shape[-1]
    for _, rows in blocks(1, w.count[0], across * images * (window + filters)):
        count = (length(rows), *w.count[1:])
        under = region(at.xp, x, w, slice(0, images), rows, padded)
        columns = memory.part(*count, images, *w.kernel, x.shape[-1])
        out = made.part(*count, images, filters)
        windows, outputs = (
            a.transpose(w.rank, *range(w.rank), *range(w.rank + 1, a.ndim)) for a in (columns, out)
        )
        write = partial(copy, windows, seen(at.xp, under.array, w, count))
        yield Block(
            rows,
            slice(rows.start * across, rows.stop * across),
            in_turn([under.load, write]) if under.load else write,
            columns.reshape(-1, images, window),
            windows,
            out.reshape(-1, images, filters),
            partial(copy, y[:, rows], outputs),
            partial(copy, outputs, y[:, rows]),
        )
