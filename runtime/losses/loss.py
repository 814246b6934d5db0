"""What a loss is: bound like an operation, a mean over a batch of what each part of it costs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ..frame import Array, Frame
from ..op import Operation, Step, Steps
from ..tensor import Tensor
from .labels import put_labels
from .mean import Mean

SIGNED = {
    "batch_normalization", "convolution", "dense", "einsum_dense", "locally_connected",
    "log_softmax", "tanh", "transposed_convolution",
}  # fmt: skip
"""Operations whose outputs, of either sign, are no probabilities."""

Passes = tuple[Array, Step, Step]
"""(each, forward, backward): forward writes the losses into ``each``, backward their slopes."""


class Loss:
    """A mean over the parts of a batch: over its elements, its positions, or its rows.

    ``passes`` finds the value, the target and the weights in ``at.x``, the latter two None where
    there are none, and in ``at.p`` the parameters of the operation that the value comes from.
    """

    per: ClassVar[Literal["element", "position", "row"]] = "element"
    """What the mean is over; a position is all that lies along the last axis."""
    wants: ClassVar[str] = ""
    """The activation whose probabilities it is of; empty: any numbers will do."""
    reads_parameters: ClassVar[bool] = False
    """Whether it needs ``at.p``."""

    def target(self, on: Tensor) -> Tensor | None:
        """The type of the target for a value of type ``on``; None: it needs no target.

        Raises:
            ValueError: it is no loss for such a value.
        """
        return on

    def weights(self, on: Tensor) -> Tensor:
        """The type of the weights of a value of type ``on``: one a row, or a position."""
        return Tensor(on.shape[: 1 if self.per == "row" else max(1, on.rank - 1)])

    def fuses(self, op: Operation, on: Tensor) -> bool:
        """Whether, on the output of ``op``, the loss can give the gradient of ``op``'s *input*.

        ``on`` is that output's type; ``at.fused`` says that it is to.
        """
        return False

    def check_source(self, op: Operation | None) -> None:
        """Refuses the output of an operation of which the loss makes no sense.

        Raises:
            ValueError: it wants probabilities, and these are none.
        """
        if self.wants and op and op.kind in SIGNED:
            raise ValueError(
                f"it is of probabilities, and {op.kind} puts out any numbers; "
                f"let a {self.wants} follow, and the loss be on that"
            )

    def put(self, into: Array, rows: Array, name: str, on: Tensor) -> None:
        """Writes rows of the target ``name`` to where a plan reads them.

        Class numbers are written one-hot. ``on`` is the type of the value, without open sizes.

        Raises:
            UsageError: they do not fit.
        """
        put_labels(into, rows, name)

    def passes(self, at: Frame) -> Passes:
        """The loss of each part, which the mean is then taken of, and the slope into ``at.dx[0]``.

        Both are of a weight of one. ``each`` may be written over by whoever asked.
        """
        raise NotImplementedError

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        """(forward, backward), as an operation's: the mean in ``at.y[0]``, ``at.dx[0]`` written."""
        each, forward, backward = self.passes(at)
        mean = Mean(at, self._parts(at.x[0].shape))
        if at.dx[0] is None:
            return mean.forward(each, forward), None
        return mean.forward(each, forward), mean.backward(backward)

    def _parts(self, shape: tuple[int, ...]) -> int:
        """How many parts a row has."""
        elements = 1
        for size in shape[1:] if self.per == "element" else shape[1:-1]:
            elements *= size
        return 1 if self.per == "row" else elements


def tiny(at: Frame) -> float:
    """The least normal number: what keeps a logarithm or a quotient finite."""
    return float(at.xp.finfo(at.dtype).tiny)


def difference(at: Frame) -> tuple[Any, Step]:
    """Memory that lasts for value - target, and the step that writes it."""
    (value, target), xp = at.x[:2], at.xp
    error = at.keep(value.shape)
    return error, lambda: xp.subtract(value, target, out=error)
