"""Long short-term memory whose products are convolutions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..frame import Array, Frame
from ..kernels import convolution, recurrent
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Param, Size, Tensor
from .recurrent import check_recurrent
from .recurrent_activations import CELL_ACTIVATIONS
from .recurrent_cells import LstmCell
from .recurrent_onnx import scan
from .sliding import Padding, Sliding

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["ConvLSTM"]


@dataclass(frozen=True)
class Convolved:
    """A convolution over places of these sizes."""

    sliding: Sliding
    sizes: tuple[Size, ...]

    def forward(self, at: Frame, x: Array, kernel: Array, y: Array) -> Step:
        return convolution.forward(at, self._windows(x, y), x, kernel, y)

    def kernel_gradient(self, at: Frame, x: Array, dy: Array, dkernel: Array) -> Step:
        return convolution.kernel_gradient(at, self._windows(x, dy), x, dy, dkernel)

    def input_gradient(self, at: Frame, dy: Array, kernel: Array, dx: Array) -> Step:
        return convolution.input_gradient(at, self._windows(dx, dy), dy, kernel, dx)

    def onnx(
        self, tape: Tape, kernel: Value, bias: Value | None = None
    ) -> Callable[[Value], Value]:
        rank = self.sliding.rank
        turned = tape.op("Transpose", [kernel], perm=(rank + 1, rank, *range(rank)))
        attributes = self.sliding.attributes(Tensor(("N", *self.sizes, 1)))
        return lambda x: tape.op("Conv", [tape.first(x), turned, bias], **attributes)

    def _windows(self, x: Array, y: Array) -> convolution.Windows:
        return self.sliding.windows(x.shape[1:-1], y.shape[1:-1])


@operation("conv_lstm", any_dtype=True)
class ConvLSTM(Operation):
    """An LSTM over sequences of images: the two products are convolutions of all channels.

    The recurrent one has as many outputs as inputs ("same"), and neither strides nor dilation.

    Inputs (x, mask, h, c), all but the first optional: x (N, steps, *places, inputs), mask (N,
    steps), states (N, *outputs, filters). Outputs (sequences (N, steps, *outputs, filters), h, c).
    Mask and ``reverse`` are as of ``lstm``. Parameters: kernel (*kernel_size, inputs, 4 * filters),
    recurrent_kernel (*kernel_size, filters, 4 * filters), bias (4 * filters,).
    """

    filters: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: Padding = "valid"
    dilation: tuple[int, ...] = ()
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    use_bias: bool = True
    reverse: bool = False

    @property
    def _sliding(self) -> Sliding:
        return Sliding.of(self.kernel_size, self.strides, self.padding, self.dilation)

    def _cell(self, sizes: tuple[Size, ...]) -> LstmCell:
        activation, gate = (
            CELL_ACTIVATIONS[name] for name in (self.activation, self.recurrent_activation)
        )
        return LstmCell(
            activation, gate, Convolved(Sliding.of(self.kernel_size, (), "same"), sizes)
        )

    def params(self, x: Tensor, *given: Tensor | None) -> Mapping[str, Param]:
        width = 4 * self.filters
        kernels = {
            "kernel": Param((*self.kernel_size, x.shape[-1], width)),
            "recurrent_kernel": Param((*self.kernel_size, self.filters, width)),
        }
        return kernels | ({"bias": Param((width,))} if self.use_bias else {})

    def infer(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        h: Tensor | None = None,
        c: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        if x.rank < 4:
            raise ValueError("needs a batch of sequences of images")
        if self.filters < 1:
            raise ValueError(f"{self.filters} filters are none")
        sizes = self._sliding.output(_image(x))
        state = Tensor((x.shape[0], *sizes, self.filters))
        check_recurrent(x, mask, [h, c], state.shape, [self.activation, self.recurrent_activation])
        return Tensor((*x.shape[:2], *state.shape[1:])), state, state

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        inputs = Convolved(self._sliding, at.x[0].shape[2:-1])
        return recurrent.bind(at, self._cell(at.y[1].shape[1:-1]), inputs, self.reverse)

    def onnx(
        self,
        tape: Tape,
        p: Mapping[str, Value],
        x: Value,
        mask: Value | None = None,
        h: Value | None = None,
        c: Value | None = None,
    ) -> tuple[Value, ...]:
        x, image = tape.last(x), _image(tape.type())
        product = Convolved(self._sliding, image.shape[1:-1])
        apart = tape.op("Shape", [x], rank=1, start=2)
        shape = tape.op("Concat", [tape.constant([-1]), apart], axis=0)
        images = tape.op("Reshape", [x, shape], rank=x.rank - 1)
        z = product.onnx(tape, p["kernel"], p.get("bias"))(images)
        lead, rest = (
            tape.op("Shape", [value], layout="last", rank=1, start=start, end=end)
            for value, start, end in ((x, 0, 2), (z, 1, None))
        )
        shape = tape.op("Concat", [lead, rest], axis=0)
        z = tape.op("Reshape", [z, shape], layout="last", rank=x.rank)
        body = self._cell(self._sliding.output(image)).onnx(tape, p)
        y, *last = scan(tape, body, z, mask, [h, c], self.filters, self.reverse)
        perm = (0, 1, *range(3, x.rank), 2)
        return tape.op("Transpose", [y], layout="last", perm=perm), *last

    @classmethod
    def examples(cls) -> Sequence[Example]:
        sequence, image = Tensor(("N", 3, 5, 2)), Tensor(("N", 3, 4, 3, 2))
        mask, state = Tensor(("N", 3), "bool"), Tensor(("N", 5, 2))
        small, open_mask = Tensor(("N", 2, 3, 1)), Tensor(("N", "T"), "bool")
        relu, soft = ("relu", "hard_sigmoid"), ("softplus", "softmax")
        return [
            (cls(2, (3,), padding="same"), [sequence]),
            (cls(2, (3,), padding="same"), [sequence, mask, state, state]),
            (cls(2, (2,), (2,)), [sequence, mask]),
            (cls(1, (2, 2)), [image]),
            (cls(1, (3, 2), (2, 1), "same", (), *relu, False, True), [image, mask]),
            (cls(1, (2, 1), dilation=(2, 1), reverse=True), [image, None, small, small]),
            (cls(1, (2,), (), "same", (), *soft), [Tensor(("N", "T", "H", 2)), open_mask]),
            (cls(1, (1, 2, 2), padding="same"), [Tensor(("N", 2, 2, 3, 2, 1))]),
        ]


def _image(x: Tensor) -> Tensor:
    """The images of sequences."""
    return Tensor((x.shape[0], *x.shape[2:]))
