"""The activations of recurrent cells, by the names that cells know them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..frame import Array, Frame
from ..op import Operation, Step, Steps
from .clipped import HardSigmoid, HardTanh
from .gated import Gelu, HardSilu, Mish, Silu
from .rectifier import Elu, Relu, Selu
from .sigmoid import Exponential, Sigmoid, Softplus, Softsign, Tanh
from .softmax import Softmax

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["CELL_ACTIVATIONS", "CellActivation"]


@dataclass(frozen=True)
class CellActivation:
    """An operation that a cell applies within a step.

    ``native`` is its name, with alpha and beta, in ONNX's own recurrent operators, if they have it.
    ``from_output``: its slope follows from its output, so that this may lie over its input.
    """

    op: Operation
    native: tuple[str, float | None, float | None] | None = None
    from_output: bool = True

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        """Writes y; may be given the same array twice."""
        return _one(self.op.bind(replace(at, x=(x,), y=(y,), grads=False))[0])

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        """Writes dx; may be given the same array for dy and dx."""
        return _one(self.op.bind(replace(at, x=(x,), y=(y,), dy=(dy,), dx=(dx,)))[1])

    def onnx(self, tape: Tape, x: Value) -> Value:
        """Emits it."""
        found = self.op.onnx(tape, {}, x)
        assert not isinstance(found, tuple)
        return found


def _one(steps: Steps) -> Step:
    assert steps is not None
    assert not isinstance(steps, tuple)
    return steps


def _hard_sigmoid(slope: float) -> CellActivation:
    return CellActivation(HardSigmoid(slope), ("HardSigmoid", slope, 0.5))


_SILU = CellActivation(Silu(), from_output=False)

CELL_ACTIVATIONS: Mapping[str, CellActivation] = {
    "elu": CellActivation(Elu(), ("Elu", 1.0, None)),
    "exponential": CellActivation(Exponential()),
    "gelu": CellActivation(Gelu(), from_output=False),
    "hard_sigmoid": _hard_sigmoid(1 / 6),
    "hard_sigmoid_0.2": _hard_sigmoid(0.2),
    "hard_silu": CellActivation(HardSilu(), from_output=False),
    "hard_tanh": CellActivation(HardTanh()),
    "leaky_relu": CellActivation(Relu(negative_slope=0.2), ("LeakyRelu", 0.2, None)),
    "linear": CellActivation(Relu(negative_slope=1.0), ("Affine", 1.0, 0.0)),
    "mish": CellActivation(Mish(), from_output=False),
    "relu": CellActivation(Relu(), ("Relu", None, None)),
    "relu6": CellActivation(Relu(6.0), from_output=False),
    "selu": CellActivation(Selu()),
    "sigmoid": CellActivation(Sigmoid(), ("Sigmoid", None, None)),
    "silu": _SILU,
    "softmax": CellActivation(Softmax()),
    "softplus": CellActivation(Softplus(), ("Softplus", None, None), from_output=False),
    "softsign": CellActivation(Softsign(), ("Softsign", None, None)),
    "swish": _SILU,
    "tanh": CellActivation(Tanh(), ("Tanh", None, None)),
}
"""By name, as in Keras 3; "hard_sigmoid_0.2" is the hard sigmoid of Keras 1 and 2."""
