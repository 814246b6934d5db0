"""Recurrent layers: simple ones, long short-term memory, gated recurrent units.

Each has inputs (x, mask, *initial states): x (N, steps, inputs), mask (N, steps), a state (N,
units); all but x may be left out. Its outputs are (sequences (N, steps, units), *last states).

The input of a ``projected`` layer is x @ kernel already, all gates of it, and it has no kernel.

Where the mask is false the states are held, and the output repeats the one before it; that is zeros
where there is none, even if there is an initial state. ``reverse`` begins with the last step; the
sequences are in the order of time all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..frame import Frame
from ..kernels import lstm, recurrent
from ..kernels.gru import ResetAfter
from ..kernels.gru_before import ResetBefore
from ..op import Example, Operation, Steps, operation
from ..tensor import Param, Size, Tensor
from .recurrent_activations import CELL_ACTIVATIONS
from .recurrent_cells import MATRIX, LstmCell, RecurrentCell, SimpleCell
from .recurrent_gru import GruCell
from .recurrent_onnx import Native, scan

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["CELL_ACTIVATIONS", "GRU", "LSTM", "SimpleRNN"]


def check_recurrent(
    x: Tensor,
    mask: Tensor | None,
    states: Sequence[Tensor | None],
    state: tuple[Size, ...],
    activations: Sequence[str],
) -> None:
    """Whether these inputs fit a layer whose states have the shape ``state``.

    Raises:
        ValueError: they do not, or an activation is unknown.
    """
    for name in activations:
        if name not in CELL_ACTIVATIONS:
            raise ValueError(f"no cell knows the activation {name!r}")
    if x.dtype != "float":
        raise ValueError(f"needs floats, but its input is {x.dtype}")
    if mask is not None and mask.dtype != "bool":
        raise ValueError(f"needs a mask of bools, but it is {mask.dtype}")
    wanted = [("a mask", mask, x.shape[:2]), *(("a state", given, state) for given in states)]
    for what, given, shape in wanted:
        if given is not None and not _fits(given.shape, shape):
            raise ValueError(f"needs {what} of shape {shape}, but it is {given.shape}")
    if any(given is not None and given.dtype != "float" for given in states):
        raise ValueError("needs states of floats")


def _fits(shape: tuple[Size, ...], wanted: tuple[Size, ...]) -> bool:
    """Whether two shapes may be one; a plan, which has the numbers, proves it of open sizes."""
    return len(shape) == len(wanted) and all(
        n == m or isinstance(n, str) or isinstance(m, str)
        for n, m in zip(shape, wanted, strict=True)
    )


class Recurrent(Operation):
    """What the three have in common."""

    units: int
    activation: str
    use_bias: bool
    reverse: bool
    projected: bool

    @property
    def _cell(self) -> RecurrentCell:
        raise NotImplementedError

    @property
    def _native(self) -> Native:
        raise NotImplementedError

    @property
    def _gates(self) -> Sequence[str]:
        """The names of all activations."""
        return [self.activation]

    def params(self, x: Tensor, *given: Tensor | None) -> Mapping[str, Param]:
        width = self.units * self._cell.gates
        kernel = {} if self.projected else {"kernel": Param((x.shape[-1], width))}
        recurrent_kernel = {"recurrent_kernel": Param((self.units, width))}
        return kernel | recurrent_kernel | ({"bias": self._bias(width)} if self.use_bias else {})

    def _bias(self, width: int) -> Param:
        return Param((width,))

    def infer(
        self, x: Tensor, mask: Tensor | None = None, h: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return self._infer(x, mask, [h])

    def _infer(
        self, x: Tensor, mask: Tensor | None, states: Sequence[Tensor | None]
    ) -> tuple[Tensor, ...]:
        if x.rank != 3:
            raise ValueError("needs a batch of sequences of vectors")
        if self.units < 1:
            raise ValueError(f"{self.units} units are none")
        state = Tensor((x.shape[0], self.units))
        check_recurrent(x, mask, states, state.shape, self._gates)
        width = self.units * self._cell.gates
        if self.projected and x.shape[-1] != width:
            raise ValueError(f"needs what a kernel gave, vectors of {width}, not of {x.shape[-1]}")
        return Tensor((*x.shape[:2], self.units)), *[state] * len(states)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        return recurrent.bind(at, self._cell, None if self.projected else MATRIX, self.reverse)

    def onnx(
        self,
        tape: Tape,
        p: Mapping[str, Value],
        x: Value,
        mask: Value | None = None,
        *given: Value | None,
    ) -> tuple[Value, ...]:
        states = [*given, *[None] * (self._cell.states - len(given))]
        native = self._native
        if native.exists:
            if self.projected:  # ONNX's always have a kernel
                p = {**p, "kernel": tape.constant(np.eye(self.units * self._cell.gates))}
            if mask is None:
                return native.onnx(tape, p, x, states)
            return native.masked(tape, p, x, mask, states)
        z, body = self._given(tape, p, tape.last(x)), self._cell.onnx(tape, p)
        return scan(tape, body, z, mask, states, self.units, self.reverse)

    def _given(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        """Emits what the inputs give the pre-activations."""
        bias = p.get("bias")
        if bias is not None and bias.rank == 2:  # the other is the recurrent product's
            bias = tape.op("Gather", [bias, tape.constant(0)], rank=1, axis=0)
        if not self.projected:
            return MATRIX.onnx(tape, p["kernel"], bias)(x)
        return tape.op("Add", [x, bias]) if bias else x

    @classmethod
    def _tried(cls, *options: Mapping[str, Any]) -> Sequence[Example]:
        """Examples of those options, with and without mask and states."""
        x, open_x = Tensor(("N", 4, 3)), Tensor(("N", "T", 2))
        mask, open_mask = Tensor(("N", 4), "bool"), Tensor(("N", "T"), "bool")
        state = Tensor(("N", 2))
        states = [state] * (2 if cls.kind == "lstm" else 1)
        found: list[Example] = []
        for given in options:
            make = cls(2, **given)  # pyright: ignore[reportCallIssue]
            found += [(make, [x]), (make, [open_x, open_mask])]
        for reverse in (False, True):
            make = cls(2, reverse=reverse)  # pyright: ignore[reportCallIssue]
            found += [(make, [x, None, *states]), (make, [open_x, open_mask, *states])]
        one = cls(2)  # pyright: ignore[reportCallIssue]
        found += [(one, [Tensor(("N", 1, 3))]), (one, [x, mask, *[None] * len(states)])]
        z, open_z = (Tensor((*its.shape[:2], 2 * one._cell.gates)) for its in (x, open_x))
        for given in options:
            make = cls(2, projected=True, **given)  # pyright: ignore[reportCallIssue]
            found += [(make, [z]), (make, [open_z, open_mask, *states])]
        return found


@operation("simple_rnn", any_dtype=True)
class SimpleRNN(Recurrent):
    """h = activation(x @ kernel + h @ recurrent_kernel + bias).

    Parameters: kernel (inputs, units), recurrent_kernel (units, units), bias (units,).
    """

    units: int
    activation: str = "tanh"
    use_bias: bool = True
    reverse: bool = False
    projected: bool = False

    @property
    def _cell(self) -> RecurrentCell:
        return SimpleCell(CELL_ACTIVATIONS[self.activation])

    @property
    def _native(self) -> Native:
        activations = [CELL_ACTIVATIONS[self.activation]]
        return Native("RNN", self.units, (0,), activations, self.reverse)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        options = {"activation": "softplus", "use_bias": False, "reverse": True}
        names = [(cls(2, name), [Tensor(("N", 2, 2))]) for name in CELL_ACTIVATIONS]
        return [*cls._tried({}, options), *names]


@operation("lstm", any_dtype=True)
class LSTM(Recurrent):
    """Long short-term memory, with z = x @ kernel + h @ recurrent_kernel + bias.

    c = s(z_f) * c + s(z_i) * activation(z_c), h = s(z_o) * activation(c), where s is the recurrent
    activation and z is (z_i, z_f, z_c, z_o) along its last axis. Parameters: kernel (inputs, 4 *
    units), recurrent_kernel (units, 4 * units), bias (4 * units,).
    """

    units: int
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    use_bias: bool = True
    reverse: bool = False
    projected: bool = False

    @property
    def _gates(self) -> Sequence[str]:
        return [self.recurrent_activation, self.activation]

    @property
    def _cell(self) -> RecurrentCell:
        gate, activation = (CELL_ACTIVATIONS[name] for name in self._gates)
        return LstmCell(activation, gate)

    @property
    def _native(self) -> Native:
        gate, activation = (CELL_ACTIVATIONS[name] for name in self._gates)
        order = (0, 3, 1, 2)  # i, o, f, c
        return Native("LSTM", self.units, order, [gate, activation, activation], self.reverse)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        usual = (self.activation, self.recurrent_activation) == ("tanh", "sigmoid")
        if usual and not self.projected:
            return lstm.bind(at, self.reverse)
        return super().bind(at)

    def infer(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        h: Tensor | None = None,
        c: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        return self._infer(x, mask, [h, c])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        reverse = {"use_bias": False, "reverse": True}
        return cls._tried(
            {},
            {"activation": "elu", "recurrent_activation": "hard_sigmoid_0.2"},
            {"activation": "silu", "recurrent_activation": "softmax", **reverse},
            {"activation": "softsign", "recurrent_activation": "softplus", **reverse},
        )


@operation("gru", any_dtype=True)
class GRU(Recurrent):
    """Gated recurrent units, with y = x @ kernel + bias, whose parts are z, r, h.

    h = u * h + (1 - u) * activation(y_h + g), where u = s(y_z + h @ R_z), r = s(y_r + h @ R_r), s
    is the recurrent activation, R the recurrent kernel, and g = r * (h @ R_h), or (r * h) @ R_h if
    ``reset_after`` is false; if it is true the products with R have a bias, too. Parameters: kernel
    (inputs, 3 * units), recurrent_kernel (units, 3 * units), bias (2, 3 * units), or (3 * units,).
    """

    units: int
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    reset_after: bool = True
    use_bias: bool = True
    reverse: bool = False
    projected: bool = False

    @property
    def _gates(self) -> Sequence[str]:
        return [self.recurrent_activation, self.activation]

    @property
    def _cell(self) -> RecurrentCell:
        gate, activation = (CELL_ACTIVATIONS[name] for name in self._gates)
        return GruCell(activation, gate, self.reset_after)

    @property
    def _native(self) -> Native:
        activations = [CELL_ACTIVATIONS[name] for name in self._gates]
        return Native(
            "GRU", self.units, (0, 1, 2), activations, self.reverse, int(self.reset_after)
        )

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        usual = (self.activation, self.recurrent_activation) == ("tanh", "sigmoid")
        if usual and not self.projected:
            layer = ResetAfter if self.reset_after else ResetBefore
            return layer(at, self.reverse).bind()
        return super().bind(at)

    def _bias(self, width: int) -> Param:
        return Param((2, width) if self.reset_after else (width,))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        before, plain = {"reset_after": False}, {"use_bias": False, "reverse": True}
        options = {"activation": "softplus", "recurrent_activation": "hard_sigmoid"}
        return cls._tried(
            {}, plain, {**options, **plain}, before, {**before, **options}, {**before, **plain}
        )
