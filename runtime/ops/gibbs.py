"""Sampling in restricted Boltzmann machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Param, Tensor
from .elementwise import write_sigmoid

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["GibbsSampling"]


@operation("gibbs_sampling", detached=True)
class GibbsSampling(Operation):
    """The visible units after ``steps`` turns to the hidden ones, which are binary, and back.

    h = 1 with probability s(v @ kernel + hidden_bias), v = s(h @ kernel.T + visible_bias), where s
    is the sigmoid; ``sample_visible`` makes v binary, too. Hinton 2002. Except while training the
    probabilities are taken for the units: what comes is the reconstruction.

    Parameters: kernel (visible, units), and with ``use_bias`` hidden_bias (units,) and visible_bias
    (visible,).
    """

    units: int
    steps: int = 1
    use_bias: bool = True
    sample_visible: bool = False

    def params(self, x: Tensor) -> Mapping[str, Param]:
        kernel = {"kernel": Param((x.shape[-1], self.units))}
        biases = {"hidden_bias": Param((self.units,)), "visible_bias": Param((x.shape[-1],))}
        return kernel | (biases if self.use_bias else {})

    def infer(self, x: Tensor) -> Tensor:
        if x.rank != 2:
            raise ValueError("needs a batch of vectors")
        if self.steps < 1 or self.units < 1:
            raise ValueError(f"{self.steps} steps of {self.units} units are none")
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        x, y, kernel = at.x[0], at.y[0], at.p["kernel"]
        hidden = at.scratch((len(x), self.units))
        # One draw for all: a node's draws of a step are the same numbers.
        draw = at.random((len(x), self.steps, self.units + x.shape[-1])) if at.training else None
        thresholds: list[Array] = []

        def half(source: Array, kernel: Array, bias: str, to: Array, turn: int) -> Step:
            return self._half(at, source, kernel, at.p.get(bias), to, thresholds, turn)

        turns: list[Step] = []
        for turn in range(self.steps):
            turns += [
                half(y if turn else x, kernel, "hidden_bias", hidden, turn),
                half(hidden, kernel.T, "visible_bias", y, turn),
            ]

        def forward() -> None:
            if draw is not None:
                thresholds[:] = [draw()]
            for step in turns:
                step()

        return forward, None

    def _half(
        self,
        at: Frame,
        x: Array,
        kernel: Array,
        bias: Array | None,
        y: Array,
        thresholds: list[Array],
        turn: int,
    ) -> Step:
        """Half a turn: the probabilities of the other units, or while training those units."""
        xp, up = at.xp, kernel is at.p["kernel"]
        part = slice(self.units) if up else slice(self.units, None)
        binary = at.training and (up or self.sample_visible)

        def step() -> None:
            xp.dot(x, kernel, out=y)
            if bias is not None:
                xp.add(y, bias, out=y)
            write_sigmoid(xp, y, y)
            if binary:
                xp.greater(y, thresholds[0][:, turn, part], out=y)

        return step

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        turned = tape.op("Transpose", [p["kernel"]], perm=(1, 0))
        for _ in range(self.steps):
            for kernel, bias in ((p["kernel"], "hidden_bias"), (turned, "visible_bias")):
                x = tape.op("MatMul", [x, kernel])
                x = tape.op("Sigmoid", [tape.op("Add", [x, p[bias]]) if self.use_bias else x])
        return x

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", 5))
        options = (cls(3), cls(2, steps=3, use_bias=False), cls(4, steps=2, sample_visible=True))
        return [(op, [x]) for op in options]
