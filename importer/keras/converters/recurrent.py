"""Converters: recurrent layers, and their cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....runtime import ops
from ....runtime.op import Operation
from ...deferred import Array, Deferred
from ..arrays import Arrays, Place, snake_case
from ..builder import Value
from ..layer import Layer, keras
from .activations import activation_name

INERT = (
    "dropout", "recurrent_dropout", "unit_forget_bias", "dropout_W", "dropout_U",
    "cell_size", "state_size", "max_batch_size",
)  # fmt: skip
"""Options of layers and cells that matter in training alone, or repeat others."""

GATES = {"GRU": 3, "LSTM": 4}
STATES = {"GRU": 1, "LSTM": 2, "SimpleRNN": 1}


@dataclass(frozen=True)
class Cell:
    """An operation over whole sequences, its arrays, and the shapes of its states."""

    op: Operation
    arrays: dict[str, Deferred]
    states: tuple[tuple[Any, ...], ...]


@keras(
    "SimpleRNN",
    "LSTM",
    "GRU",
    "CuDNNLSTM",
    "CuDNNGRU",
    "UnifiedLSTM",
    "UnifiedGRU",
    "LSTMV2",
    "GRUV2",
)
def recurrent(layer: Layer, x: Value, *states: Value) -> Any:
    return run(layer, [_cell(layer, layer, backwards(layer))], x, given_states(layer, states))


@keras("RNN")
def rnn(layer: Layer, x: Value, *states: Value) -> Any:
    inner = layer.inner(layer["cell"], layer.arrays.part("cell") or layer.arrays)
    if inner.kind != "StackedRNNCells":
        cell = _cell(layer, inner, backwards(layer))
        inner.finish()
        return run(layer, [cell], x, given_states(layer, states))
    entries: list[Any] = inner["cells"]
    cells: list[Cell] = []
    for number, (entry, share) in enumerate(zip(entries, _shares(inner, entries), strict=True)):
        one = layer.inner(entry, share, f"cell_{number}")
        cells.append(_cell(layer, one, backwards(layer)))
        one.finish()
    old = layer.generation < 3 and not layer.origin.is_tf_keras and layer.origin.is_before(2, 2, 5)
    last_first = bool(inner.get("reverse_state_order", old))
    inner.finish()
    return run(layer, cells, x, given_states(layer, states), last_first=last_first)


def _shares(inner: Layer, entries: Sequence[Any]) -> Iterator[Arrays]:
    """The arrays of each of several cells.

    They lie under a name of the cell's class with a number, under the cell's own, or one after the
    other.
    """
    arrays, counts, start = inner.arrays, Counter[str](), 0
    for entry in entries:
        name, config = snake_case(str(entry["class_name"])), entry["config"]
        number = counts[name]
        counts[name] += 1
        size = 2 + bool(config.get("use_bias", True))
        next_ones = arrays.stored[start : start + size]
        following = Arrays([(_uncounted(path), one) for path, one in next_ones], arrays.taken)
        start += size
        numbered = arrays.part(f"{name}_{number}" if number else name)
        named = arrays.part(str(config.get("name")))
        yield next((found for found in (numbered, named) if len(found) == size), following)


def _uncounted(path: Place) -> Place:
    """Up to 2.2.5 Keras calls the kernel of a second cell ``kernel_1``."""
    return (*path[:-1], path[-1].rstrip("0123456789").removesuffix("_") or path[-1])


def backwards(layer: Layer) -> bool:
    """Whether the last step is the first."""
    return bool(layer.get("go_backwards", False))


def _cell(layer: Layer, cell: Layer, reverse: bool) -> Cell:
    """The operation of a layer or of a cell inside one."""
    for option in INERT:
        cell.get(option, None)
    kind = cell.kind.removesuffix("Cell").removesuffix("V2")
    kind = kind.removeprefix("CuDNN").removeprefix("Unified")
    if kind not in STATES:
        raise cell.refuse("cell", cell.kind)
    cudnn = cell.kind.startswith("CuDNN")
    units, bias = int(cell["units"]), bool(cell.get("use_bias", True))
    options: dict[str, Any] = {"activation": function(cell, "activation", "tanh")}
    if kind in GATES:
        gates = "sigmoid" if cudnn or cell.generation > 2 else "hard_sigmoid"
        options["recurrent_activation"] = function(cell, "recurrent_activation", gates)
    arrays = cell.take("kernel", "recurrent_kernel", *["bias"] * bias)
    options |= {"use_bias": bias, "reverse": reverse}
    states = (("N", units),) * STATES[kind]
    if kind == "SimpleRNN":
        return Cell(ops.SimpleRNN(units, **options), arrays, states)
    # Either kind of layer loads what the other one stored: the size of the bias tells whose it is.
    if bias and arrays["bias"].shape == (2 * GATES[kind] * units,):
        arrays = _from_cudnn(arrays, GATES[kind])
    if kind == "LSTM":
        return Cell(ops.LSTM(units, **options), arrays, states)
    # The shape of the bias is surer than the option, which old files lack.
    after = bool(cell.get("reset_after", cudnn or cell.generation > 2))
    if bias:
        after = len(arrays["bias"].shape) == 2
    return Cell(ops.GRU(units, **options, reset_after=after), arrays, states)


def function(cell: Layer, option: str, default: str) -> str:
    """The name that operations over sequences have for an activation."""
    name: Any = activation_name(cell.get(option, default)) or "linear"
    if name == "hard_sigmoid" and cell.generation < 3:
        name = "hard_sigmoid_0.2"  # Keras 3 has another slope
    if name not in ops.CELL_ACTIVATIONS:
        raise cell.refuse(option, name)
    return name


def _from_cudnn(arrays: dict[str, Deferred], gates: int) -> dict[str, Deferred]:
    """The arrays of a layer made for cuDNN: each gate's kernel is stored transposed.

    The two biases of an LSTM only ever occur as their sum (``_convert_rnn_weights`` of Keras 2).
    """

    def each(change: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda array: np.hstack([change(part) for part in np.hsplit(array, gates)])

    made = {
        "kernel": arrays["kernel"].map(each(lambda k: k.T.reshape(k.shape, order="F"))),
        "recurrent_kernel": arrays["recurrent_kernel"].map(each(lambda k: k.T)),
    }
    if "bias" in arrays:
        merged: Callable[[Array], Array] = (
            (lambda bias: bias.reshape(2, -1).sum(0))
            if gates == GATES["LSTM"]
            else (lambda bias: bias.reshape(2, -1))
        )
        made["bias"] = arrays["bias"].map(merged)
    return made


def run(
    layer: Layer, cells: Sequence[Cell], x: Value, given: list[Value], *, last_first: bool = False
) -> Any:
    """Cells over cells; each step's output of one is the input of the next.

    ``given`` are states to begin with, ``last_first`` those of the last cell before the others'.
    """
    states = _first_states(layer, cells, _in_order(given, cells, last_first))
    mask = steps_heeded(layer, x, given)
    y, initial, last = x, list(states), list[list[Value]]()
    for cell in cells:
        own = [initial.pop(0) if initial else None for _ in cell.states]
        y, *after = layer.add_all(cell.op, y, mask, *own, **cell.arrays)
        last.append(after)
    flat = [state for after in last for state in after]
    if layer.get("stateful", False):
        for number, new in enumerate(flat):
            layer.keep(f"state_{number}", new)
    y, is_repeated = _where_masked(layer, y, mask, states[-len(cells[-1].states) :])
    if layer.get("return_sequences", False):
        output = (layer.flipped(y, 1) if backwards(layer) else y).masked(_of_steps(layer, x))
    elif is_repeated:
        output = last[-1][0]
    else:
        output = _step(layer, y, 0 if backwards(layer) else -1)
    if last_first:
        flat = [state for after in reversed(last) for state in after]
    return (output, *flat) if layer.get("return_state", False) else output


def given_states(layer: Layer, more: Sequence[Value]) -> list[Value]:
    """The states that a call was given, after its input or by name.

    Raises:
        Unsupported: it was given constants, which only a user's own cells take.
    """
    if layer.get("num_constants", None) or layer.given("constants"):
        raise layer.refuse("constants", "of a call")
    return list(layer.flat([layer.given("initial_state", list(more))]))


def _of_steps(layer: Layer, x: Value) -> Value | None:
    """The mask of the steps; one that goes into them counts a step that has anything in it."""
    if x.mask is None or layer.rank(x.mask) == 2:
        return x.mask
    return layer.add(ops.ReduceAny(tuple(range(2, layer.rank(x.mask)))), x.mask)


def steps_heeded(layer: Layer, x: Value, states: Sequence[Value]) -> Value | None:
    """The steps that count.

    Keras 3 hands a layer that is given states no mask but one that the call names.
    """
    if states and layer.generation > 2 and layer.given("mask") is None:
        return None
    return _of_steps(layer, x)


def _where_masked(
    layer: Layer, y: Value, mask: Value | None, states: Sequence[Value]
) -> tuple[Value, bool]:
    """The outputs with what Keras puts out where the mask is false.

    That is the output before, or zeros if the layer is told so. Where there is none before: zeros,
    but some backends put out the first state, which they take for the output before. Also whether
    the last output is the last state.
    """
    zeros = bool(layer.get("zero_output_for_mask", False))
    if layer.kind.startswith("ConvLSTM") and layer.generation < 3:
        zeros = False
    if mask is None:
        return y, True
    there = layer.add(ops.ExpandDims(tuple(range(2, layer.rank(y)))), mask)
    if zeros:
        return layer.add(ops.Fill(0.0, where=False), y, there), False
    if not states:
        return y, True
    if not _begins_with_state(layer):
        return y, False
    count = layer.add(ops.CumSum(1, reverse=backwards(layer)), layer.add(ops.Cast("float"), mask))
    before = layer.add(ops.Equal(0.0), count)
    before = layer.add(ops.ExpandDims(tuple(range(2, layer.rank(y)))), before)
    first = layer.add(ops.ExpandDims((1,)), states[0])
    return layer.add(ops.Where(), before, first, y), True


def _begins_with_state(layer: Layer) -> bool:
    """Whether the first state stands for the output before the first step that counts."""
    if layer.get("unroll", False):
        return False
    if layer.generation > 2:
        return layer.origin.backend == "jax"
    external = not layer.origin.is_tf_keras and layer.origin.is_before(2, 3)
    return external and layer.origin.backend != "theano"


def _step(layer: Layer, y: Value, step: int) -> Value:
    """One step of a sequence."""
    rest = (None,) * (layer.rank(y) - 2)
    begins, ends = (None, step, *rest), (None, step + 1 or None, *rest)
    one = layer.add(ops.StridedSlice(begins, ends, (None,) * layer.rank(y)), y)
    return layer.add(ops.Squeeze((1,)), one)


def _in_order(states: list[Value], cells: Sequence[Cell], last_first: bool) -> list[Value]:
    """States in the order of the cells."""
    if not last_first:
        return states
    ordered: list[Value] = []
    for cell in reversed(cells):
        own, states = states[: len(cell.states)], states[len(cell.states) :]
        ordered = own + ordered
    return ordered + states


def _first_states(layer: Layer, cells: Sequence[Cell], given: list[Value]) -> Sequence[Value]:
    """The states to begin with; none if they are zeros."""
    shapes = [shape for cell in cells for shape in cell.states]
    if given and len(given) != len(shapes):
        raise layer.refuse("initial_state", f"of {len(given)} tensors for {len(shapes)} states")
    if not layer.get("stateful", False):
        return given
    kept = [layer.state(f"state_{i}", shape) for i, shape in enumerate(shapes)]
    if not given:
        return kept
    return _unless_zero(layer, kept, given) if layer.origin.is_tf_keras else given


def _unless_zero(layer: Layer, kept: Sequence[Value], given: Sequence[Value]) -> list[Value]:
    """The states that were kept; those given where there are none yet.

    Keras 2 inside TensorFlow asks whether any number of the whole batch is not zero. Here each row
    answers for itself, since rows of several callers may run together.
    """
    there: Value | None = None
    for state in kept:
        rank = layer.rank(state)
        some = layer.add(ops.NotEqual(0), state)
        some = layer.add(ops.ReduceAny(tuple(range(1, rank))), some)
        there = layer.add(ops.LogicalOr(), there, some) if there else some
    chosen: list[Value] = []
    for state, other in zip(kept, given, strict=True):
        assert there
        rows = layer.add(ops.ExpandDims(tuple(range(1, layer.rank(state)))), there)
        chosen.append(layer.add(ops.Where(), rows, state, other))
    return chosen
