"""Group normalization, of which instance normalization is a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Frame
from ..kernels.standardization import Standardization, over_groups
from ..op import Example, Operation, Steps, operation
from ..tensor import Param, Tensor
from .layer_normalization import placed

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["GroupNormalization"]


@operation("group_normalization", overwrites=(0,), overwrites_dy=(0,))
class GroupNormalization(Operation):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, by groups of neighbouring channels.

    The statistics of a row are taken over the channels of a group and all other axes; the channels
    are ``axis``. ``groups`` -1: as many as channels, which is instance normalization.

    Parameters, each (channels,): gamma if ``scale``, beta if ``center``.
    """

    groups: int = 32
    axis: int = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def params(self, x: Tensor) -> Mapping[str, Param]:
        shape = (x.shape[self.axis],)
        return {name: Param(shape) for name in ["gamma"] * self.scale + ["beta"] * self.center}

    def infer(self, x: Tensor) -> Tensor:
        if not -x.rank <= self.axis < x.rank:
            raise ValueError(f"has no axis {self.axis}")
        if self.axis % x.rank == 0:
            raise ValueError("axis 0 is the batch")
        channels = x.shape[self.axis]
        parted = isinstance(channels, int) and self.groups > 0 and channels % self.groups == 0
        if not parted and (self.groups != -1 or isinstance(channels, str)):
            raise ValueError(f"{channels} channels cannot be parted into {self.groups} groups")
        return x

    def _groups(self, channels: int) -> int:
        return channels if self.groups == -1 else self.groups

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        shape = at.x[0].shape
        axis = self.axis % len(shape)
        sums = over_groups(at, shape, axis, self._groups(shape[axis]))
        placed = [n if i == axis else 1 for i, n in enumerate(shape)]
        return Standardization(self.epsilon).bind(at, sums, placed)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        axis, rank = self.axis % x.rank, x.rank
        if axis == rank - 1:
            return self._channels_first(tape, p, tape.first(x))
        x = tape.last(x)
        turn = [0, axis, *(i for i in range(1, rank) if i != axis)]
        if axis == 1:
            return self._channels_first(tape, p, x)
        y = self._channels_first(tape, p, tape.op("Transpose", [x], perm=turn))
        return tape.op("Transpose", [y], perm=[turn.index(i) for i in range(rank)])

    def _channels_first(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        groups = self._groups(int(tape.type().shape[self.axis]))
        lines = tape.op("Reshape", [x, tape.constant([0, groups, -1])], rank=3)
        one, zero = tape.constant([1.0] * groups), tape.constant([0.0] * groups)
        epsilon = float(self.epsilon)
        normal = tape.op("InstanceNormalization", [lines, one, zero], epsilon=epsilon)
        y = tape.op("Reshape", [normal, tape.op("Shape", [x], rank=1)], rank=x.rank)
        if self.scale:
            y = tape.op("Mul", [y, placed(tape, p["gamma"], [1], x.rank)])
        return tape.op("Add", [y, placed(tape, p["beta"], [1], x.rank)]) if self.center else y

    @classmethod
    def examples(cls) -> Sequence[Example]:
        image, open_image = Tensor(("N", 2, 3, 4)), Tensor(("N", "H", 3, 4))
        return [
            (cls(2), [image]),
            (cls(3), [Tensor(("N", 6))]),
            (cls(-1, epsilon=0.1), [open_image]),
            (cls(1, center=False), [image]),
            (cls(2, scale=False), [open_image]),
            (cls(2, 1), [Tensor(("N", 4, 3))]),
            (cls(3, -2), [Tensor(("N", 2, 6, "T"))]),
        ]
