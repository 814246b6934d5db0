"""Recurrent layers in ONNX: its own operators where they compute the same, else a Scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .recurrent_activations import CellActivation
from .recurrent_cells import Body

if TYPE_CHECKING:
    from ..tape import Tape, Value


@dataclass(frozen=True)
class Native:
    """One of ONNX's own operators: RNN, LSTM, GRU.

    ``order`` is that of its gates, as numbers of ours; ``activations`` are as it wants them.
    ``linear_before_reset`` is an attribute of GRU alone.
    """

    kind: str
    units: int
    order: tuple[int, ...]
    activations: Sequence[CellActivation]
    reverse: bool
    linear_before_reset: int | None = None

    @property
    def exists(self) -> bool:
        """Whether it knows the activations."""
        return all(activation.native for activation in self.activations)

    def onnx(
        self,
        tape: Tape,
        p: Mapping[str, Value],
        x: Value,
        states: Sequence[Value | None],
        lengths: Value | None = None,
    ) -> tuple[Value, ...]:
        """Emits it: (sequences, *last states), of x (rows, steps, inputs)."""
        kernels = [
            self._lead(tape, self._ordered(tape, tape.op("Transpose", [p[name]], perm=(1, 0))))
            for name in ("kernel", "recurrent_kernel")
        ]
        given = [state and self._lead(tape, tape.last(state)) for state in states]
        y, *last = tape.op(
            self.kind,
            [
                tape.op("Transpose", [tape.last(x)], perm=(1, 0, 2)),
                *kernels,
                self._bias(tape, p.get("bias")),
                lengths,
                *given,
            ],
            outputs=1 + len(states),
            rank=3,
            hidden_size=self.units,
            direction="reverse" if self.reverse else "forward",
            **self._activations(),
            linear_before_reset=self.linear_before_reset,
        )
        axis = tape.constant([1])
        sequences = tape.op("Transpose", [tape.op("Squeeze", [y, axis])], perm=(1, 0, 2))
        ends = (tape.op("Squeeze", [state, tape.constant([0])], rank=2) for state in last)
        return sequences, *ends

    def masked(
        self,
        tape: Tape,
        p: Mapping[str, Value],
        x: Value,
        mask: Value,
        states: Sequence[Value | None],
    ) -> tuple[Value, ...]:
        """Emits it with a mask (rows, steps).

        The steps that count are moved to the front, since the operator knows lengths but no masks;
        what it gives for each is then handed to the steps that follow without counting. Beyond a
        length it gives zeros, and that is where steps look before any has counted: at -1, or, in a
        reversed layer, at the length.
        """
        counted = tape.cast(mask, "int64")
        axis = tape.constant(1)
        rest = tape.op(
            "CumSum", [counted, axis], reverse=1
        )  # falls from one that counts to the next
        steps = tape.op("Shape", [mask], rank=1, start=1, end=2)
        _, order = tape.op("TopK", [tape.op("Mul", [rest, counted]), steps], outputs=2, axis=1)
        lengths = tape.op("ReduceSum", [counted, tape.constant([1])], rank=1, keepdims=0)
        y, *last = self.onnx(
            tape,
            p,
            _picked(tape, tape.last(x), order),
            states,
            tape.cast(lengths, "int32"),
        )
        index = tape.op("CumSum", [counted, axis], exclusive=int(self.reverse))
        if not self.reverse:
            index = tape.op("Sub", [index, axis])
        none = tape.op("Not", [tape.cast(lengths, "bool")])
        none = tape.op("Unsqueeze", [none, tape.constant([1])], rank=2)
        ends = (
            tape.op("Where", [none, given, state]) if given else state
            for given, state in zip(states, last, strict=True)
        )
        return _picked(tape, y, index), *ends

    def _activations(self) -> Mapping[str, Any]:
        native = [activation.native for activation in self.activations if activation.native]
        alpha = [a for _, a, _ in native if a is not None]
        beta = [b for _, _, b in native if b is not None]
        return {
            "activations": [name for name, _, _ in native],
            "activation_alpha": alpha or None,
            "activation_beta": beta or None,
        }

    def _ordered(self, tape: Tape, value: Value) -> Value:
        """The value with the gates along axis 0 in the operator's order."""
        if self.order == tuple(sorted(self.order)):
            return value
        count = len(self.order)
        parts = tape.op("Split", [value], outputs=count, axis=0, num_outputs=count)
        return tape.op("Concat", [parts[gate] for gate in self.order], axis=0)

    def _bias(self, tape: Tape, bias: Value | None) -> Value | None:
        """The bias of the inputs, then that of the states: ours has both if it has two axes."""
        if bias is None:
            return None
        if bias.rank == 2:
            return tape.op("Reshape", [bias, tape.constant([1, -1])])
        zeros = tape.constant([0.0] * (len(self.order) * self.units))
        return self._lead(tape, tape.op("Concat", [self._ordered(tape, bias), zeros], axis=0))

    def _lead(self, tape: Tape, value: Value) -> Value:
        """With an axis before all others: ONNX's is for directions."""
        return tape.op("Unsqueeze", [value, tape.constant([0])], rank=value.rank + 1)


def _picked(tape: Tape, x: Value, steps: Value) -> Value:
    """X (rows, steps, ...) at those steps of each row."""
    index = tape.op("Unsqueeze", [steps, tape.constant([2])], rank=3)
    return tape.op("GatherND", [x, index], batch_dims=1)


def scan(
    tape: Tape,
    body: Body,
    z: Value,
    mask: Value | None,
    states: Sequence[Value | None],
    units: int,
    reverse: bool,
) -> tuple[Value, ...]:
    """Emits a Scan over z (rows, steps, gates * units, *places): (sequences, *last states).

    Inside, values are (rows, gates * units, *places): channels first, if there are places. Where
    the mask is false, states are handed on and the output is repeated.
    """
    places = z.rank - 3
    inside = replace(z, rank=z.rank - 1, layout="first" if places else "last")
    zeros = None if all(states) and mask is None else _zeros(tape, z, units)
    initial = [zeros if state is None else tape.alike(state, inside)[0] for state in states]
    repeats = [zeros] if mask and states[0] else []  # else the output is the first state
    scanned = [(z, "float")]
    if mask:
        axes = tape.constant(list(range(2, z.rank)))
        scanned.append((tape.op("Unsqueeze", [mask, axes], rank=z.rank), "bool"))

    def emit(values: Sequence[Value]) -> Sequence[Value]:
        before, (z_now, *counted) = values[: len(values) - len(scanned)], values[-len(scanned) :]
        new = [*body(z_now, before[: len(states)])]
        new += [new[0]] * len(repeats)
        if counted:
            new = [
                tape.op("Where", [*counted, after, held], layout=after.layout)
                for after, held in zip(new, before, strict=True)
            ]
        return [*new, new[-1] if repeats else new[0]]

    carried = [*initial, *repeats]
    inputs = [(inside, "float")] * len(carried)
    inputs += [(replace(inside, name=value.name), dtype) for value, dtype in scanned]
    directions = [int(reverse)] * len(scanned)
    *last, y = tape.op(
        "Scan",
        [*carried, *(value for value, _ in scanned)],
        outputs=len(carried) + 1,
        rank=inside.rank,
        layout=inside.layout,
        body=tape.graph(inputs, emit),
        num_scan_inputs=len(scanned),
        scan_input_axes=[1] * len(scanned),
        scan_input_directions=directions,
        scan_output_axes=[1],
        scan_output_directions=[int(reverse)],
    )
    return replace(y, rank=z.rank), *last[: len(states)]


def _zeros(tape: Tape, z: Value, units: int) -> Value:
    """An initial state nobody gave."""
    sizes = [tape.op("Shape", [z], rank=1, start=0, end=1), tape.constant([units])]
    if z.rank > 3:
        sizes.append(tape.op("Shape", [z], rank=1, start=3))
    shape = tape.op("Concat", sizes, axis=0)
    return tape.op("Expand", [tape.constant(0.0), shape], rank=z.rank - 1)
