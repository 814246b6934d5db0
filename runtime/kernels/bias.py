"""Adding a bias to every position, and its gradient.

Both work on whole lines of positions: NumPy is slow where the last axis is short.
"""

from __future__ import annotations

from ..frame import Array, Frame
from ..op import Step


def add_bias(at: Frame, y: Array, bias: Array) -> Step:
    """Writes y += bias, over the last axis."""
    xp, line = at.xp, at.scratch(y.shape[-2:])
    lines, flat = y.reshape(-1, line.size), line.reshape(-1)

    def step() -> None:
        xp.copyto(line, bias)
        xp.add(lines, flat, out=lines)

    return step


def bias_gradient(at: Frame, dy: Array, dbias: Array) -> Step:
    """Writes dbias = the sum of dy over all axes but the last."""
    xp, line = at.xp, at.scratch(dy.shape[-2:])
    lines, flat = dy.reshape(-1, line.size), line.reshape(-1)

    def step() -> None:
        xp.add.reduce(lines, axis=0, out=flat)
        xp.add.reduce(line, axis=0, out=dbias)

    return step
