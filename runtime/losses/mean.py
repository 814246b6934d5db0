"""The mean of losses over the rows of all shards, each part of a row having a weight or none."""

from __future__ import annotations

from ..frame import Array, Frame
from ..op import Step, Steps


class Mean:
    """Σ w·loss / Σ w times the term's weight, and its slope.

    Weights of 0 and 1 are a mask: the mean is over what counts, and zero where nothing does. The
    weights of all shards are added up where the shards meet, between the two steps of ``forward``.

    Args:
        at: the frame of the loss; ``at.x[2]`` has the weights.
        parts: how many losses a row has.
    """

    def __init__(self, at: Frame, parts: int) -> None:
        self._at, self._xp, self._weights = at, at.xp, at.x[2]
        self._total = at.y[0].reshape(())
        self._share = at.hold((), fill=at.weight / parts)
        self._parts = parts

    def forward(self, each: Array, write: Step) -> Steps:
        """``write`` writes the losses into ``each``; then their mean."""
        xp, total, share = self._xp, self._total, self._share

        def plain() -> None:
            write()
            xp.add.reduce(each, axis=None, out=total)
            xp.multiply(total, share, out=total)

        return plain if self._weights is None else self._weighted(each, write)

    def backward(self, write: Step) -> Step:
        """``write`` writes the slopes of the losses into ``at.dx[0]``; then those of the mean."""
        xp, share, dx = self._xp, self._share, self._at.dx[0]

        def plain() -> None:
            write()
            xp.multiply(dx, share, out=dx)

        if self._weights is None:
            return plain
        weights = _aligned(self._weights, dx)

        def weighted() -> None:
            write()
            xp.multiply(dx, weights, out=dx)
            xp.multiply(dx, share, out=dx)

        return weighted

    def _weighted(self, each: Array, write: Step) -> Steps:
        at, xp, total, share = self._at, self._xp, self._total, self._share
        weights = _aligned(self._weights, each)
        mine, every = at.exchange((1,))
        sum_here = mine.reshape(())
        # Each weight counts for so many losses, and the term's own for all rows.
        scale = at.weight * at.total * self._weights[0].size / self._parts
        least = float(xp.finfo(at.dtype).tiny)

        def here() -> None:
            write()
            xp.multiply(each, weights, out=each)
            xp.add.reduce(each, axis=None, out=total)
            xp.add.reduce(weights, axis=None, dtype=at.dtype, out=sum_here)

        def together() -> None:
            xp.add.reduce(every, axis=None, out=share)
            xp.maximum(share, least, out=share)
            xp.divide(scale, share, out=share)
            xp.multiply(total, share, out=total)

        return here, at.meet, together


def _aligned(weights: Array, like: Array) -> Array:
    """The weights with an axis for each of ``like``, to be broadcast over the last ones."""
    return weights.reshape(weights.shape + (1,) * (like.ndim - weights.ndim))
