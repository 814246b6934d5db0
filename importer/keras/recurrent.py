"""Converters: recurrent layers, their cells, and what wraps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime import ops
from ...runtime.op import Operation
from ..deferred import Array, Deferred
from .activations import activation_name
from .arrays import Arrays, snake_case
from .axes import has_channels_first, per_axis
from .convolution import oriented
from .layer import Layer, Value, keras

INERT = (
    "dropout", "recurrent_dropout", "unit_forget_bias", "dropout_W", "dropout_U",
    "cell_size", "state_size", "max_batch_size",
)  # fmt: skip
"""Options of layers and cells that matter in training alone, or repeat others."""


@dataclass(frozen=True)
class Cell:
    """An operation over whole sequences, its arrays, and the shapes of its states."""

    op: Operation
    arrays: dict[str, Deferred]
    states: tuple[tuple[Any, ...], ...]


@keras("SimpleRNN", "LSTM", "GRU", "CuDNNLSTM", "CuDNNGRU")
def recurrent(layer: Layer, x: Value, *states: Value) -> Any:
    return _run(layer, [_cell(layer, layer, _backwards(layer))], x, states)


@keras("RNN")
def rnn(layer: Layer, x: Value, *states: Value) -> Any:
    entry = layer["cell"]
    inner = layer.inner(entry, layer.arrays.part("cell") or layer.arrays)
    if inner.kind != "StackedRNNCells":
        return _run(layer, [_cell(layer, inner, _backwards(layer))], x, states)
    if inner.get("reverse_state_order", False) and (states or layer.get("return_state", False)):
        raise inner.refuse("reverse_state_order", True)
    cells: list[Cell] = []
    entries: list[Any] = inner["cells"]
    for number, cell in enumerate(entries):
        share = _share_of_cell(inner, number, len(entries), str(cell["class_name"]))
        one = layer.inner(cell, share, f"cell_{number}")
        cells.append(_cell(layer, one, _backwards(layer)))
        one.finish()
    inner.finish()
    return _run(layer, cells, x, states)


def _share_of_cell(inner: Layer, number: int, count: int, kind: str) -> Arrays:
    """The arrays of one of several cells, which are stored one after the other."""
    name = snake_case(kind)
    if found := inner.arrays.part(f"{name}_{number}" if number else name):
        return found
    each = len(inner.arrays) // count
    return Arrays(inner.arrays.stored[number * each : (number + 1) * each], inner.arrays.taken)


def _backwards(layer: Layer) -> bool:
    return bool(layer.get("go_backwards", False))


def _cell(layer: Layer, cell: Layer, reverse: bool) -> Cell:
    """The operation of a layer or of a cell inside one."""
    for option in INERT:
        cell.get(option, None)
    kind = cell.kind.removesuffix("Cell").removeprefix("CuDNN")
    if kind not in ("SimpleRNN", "LSTM", "GRU"):
        raise cell.refuse("cell", cell.kind)
    cudnn = cell.kind.startswith("CuDNN")
    units, bias = int(cell["units"]), bool(cell.get("use_bias", True))
    options: dict[str, Any] = {"activation": _function(cell, "activation", "tanh")}
    if kind != "SimpleRNN":
        gates = "sigmoid" if cudnn or cell.generation > 2 else "hard_sigmoid"
        options["recurrent_activation"] = _function(cell, "recurrent_activation", gates)
    arrays = cell.take("kernel", "recurrent_kernel", *["bias"] * bias)
    if kind == "SimpleRNN":
        return Cell(ops.SimpleRNN(units, **options, use_bias=bias, reverse=reverse), arrays,
                    (("N", units),))  # fmt: skip
    count = {"LSTM": 4, "GRU": 3}[kind]
    if cudnn or (bias and arrays["bias"].shape == (2 * count * units,)):
        arrays = _from_cudnn(arrays, count)
    if kind == "LSTM":
        op = ops.LSTM(units, **options, use_bias=bias, reverse=reverse)
        return Cell(op, arrays, (("N", units), ("N", units)))
    # The shape of the bias is surer than the option, which old files lack.
    after = bool(cell.get("reset_after", cudnn))
    if bias:
        after = len(arrays["bias"].shape) == 2
    op = ops.GRU(units, **options, reset_after=after, use_bias=bias, reverse=reverse)
    return Cell(op, arrays, (("N", units),))


def _function(cell: Layer, option: str, default: str) -> str:
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
            if gates == 4
            else (lambda bias: bias.reshape(2, -1))
        )
        made["bias"] = arrays["bias"].map(merged)
    return made


def _run(layer: Layer, cells: Sequence[Cell], x: Value, more: Sequence[Value]) -> Any:
    """Cells over cells; each step's output of one is the input of the next."""
    states, kept = _first_states(layer, cells, more)
    mask, y = x.mask, x
    initial, last = list(states), list[Value]()
    for cell in cells:
        own = [initial.pop(0) if initial else None for _ in cell.states]
        y, *after = layer.add_all(cell.op, y, mask, *own, **cell.arrays)
        last += after
    for state, new in zip(kept, last, strict=False):
        layer.keep(state, new)
    sequences = bool(layer.get("return_sequences", False))
    backwards = _backwards(layer)
    if sequences:
        output = (reversed_in_time(layer, y) if backwards else y).masked(mask)
    elif mask and states:  # a row without any step puts out zeros, not its first state
        step = 0 if backwards else -1
        one = layer.add(ops.StridedSlice(*_at(layer.rank(y), step)), y)
        output = layer.add(ops.Squeeze((1,)), one)
    else:
        output = last[-len(cells[-1].states)]
    return (output, *last) if layer.get("return_state", False) else output


def _at(rank: int, step: int) -> tuple[Any, Any, Any]:
    """The bounds of a slice that is one step of a sequence."""
    rest = (None,) * (rank - 2)
    return (None, step, *rest), (None, step + 1 or None, *rest), (None,) * rank


def _first_states(
    layer: Layer, cells: Sequence[Cell], more: Sequence[Value]
) -> tuple[Sequence[Value], Sequence[Value]]:
    """The states to begin with, and those of them that live on to the next call."""
    stateful = bool(layer.get("stateful", False))
    if layer.get("num_constants", None):
        raise layer.refuse("num_constants", layer["num_constants"])
    given = layer.given("initial_state", list(more))
    states = list(layer.flat([given]))
    count = sum(len(cell.states) for cell in cells)
    if states and len(states) != count:
        raise layer.refuse("initial_state", f"of {len(states)} tensors for {count} states")
    if not stateful:
        return states, ()
    shapes = [shape for cell in cells for shape in cell.states]
    kept = [layer.state(f"state_{i}", shape) for i, shape in enumerate(shapes)]
    if not states:
        return kept, kept
    return _unless_zero(layer, kept, states) if layer.origin.is_tf_keras else states, kept


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


def reversed_in_time(layer: Layer, x: Value) -> Value:
    """The steps from the last to the first; what was reversed before is as it was."""
    return layer.flipped(x, 1)


@keras("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
def conv_lstm(layer: Layer, x: Value, *more: Value) -> Any:
    for option in INERT:
        layer.get(option, None)
    count = int(layer.kind[-2])
    gates = "sigmoid" if layer.generation > 2 else "hard_sigmoid"
    op = ops.ConvLSTM(
        layer["filters"],
        kernel_size=per_axis(layer, "kernel_size"),
        strides=per_axis(layer, "strides", 1),
        padding=layer.get("padding", "valid"),
        dilation=per_axis(layer, "dilation_rate", 1),
        activation=_function(layer, "activation", "tanh"),
        recurrent_activation=_function(layer, "recurrent_activation", gates),
        use_bias=bool(layer.get("use_bias", True)),
        reverse=_backwards(layer),
    )
    arrays = layer.take("kernel", "recurrent_kernel", *["bias"] * op.use_bias)
    for name in ("kernel", "recurrent_kernel"):
        arrays[name] = oriented(layer, arrays[name], count)
    first = has_channels_first(layer)
    turned = _turned(x, (0, 1, *range(3, count + 3), 2)) if first else x
    states = [_turned(s, (0, *range(2, count + 2), 1)) if first else s for s in more]
    whole = Value(layer.plain(turned), (), x.mask)
    _, *after = op.infer(layer.tensor(whole))
    cell = Cell(op, arrays, tuple(state.shape for state in after))
    result = _run(layer, [cell], whole, states)
    if not first:
        return result
    parts = result if isinstance(result, tuple) else (result,)
    back = [
        _turned(part, (*range(layer.rank(part) - count - 1), layer.rank(part) - 1,
                       *range(layer.rank(part) - count - 1, layer.rank(part) - 1)))
        for part in parts
    ]  # fmt: skip
    return tuple(back) if isinstance(result, tuple) else back[0]


def _turned(x: Value, order: tuple[int, ...]) -> Value:
    """The tensor with its axes in another order."""
    axes = x.axes or tuple(range(len(order)))
    return Value(x.name, tuple(axes[axis] for axis in order), x.mask)


MERGES = {"sum": ops.Add, "ave": ops.Average, "mul": ops.Multiply}


@keras("Bidirectional")
def bidirectional(layer: Layer, x: Value, *more: Value) -> Any:
    entry: Any = layer["layer"]
    other: Any = layer.get("backward_layer", None) or _turned_round(entry)
    states = list(layer.flat([layer.given("initial_state", list(more))]))
    half = len(states) // 2
    name = entry["config"].get("name", "layer")
    forward = layer.inner(entry, _half(layer, 0), f"forward_{name}")
    backward = layer.inner(other, _half(layer, 1), f"backward_{name}")
    outputs = [
        _outputs(inner.convert(x, *own))
        for inner, own in ((forward, states[:half]), (backward, states[half:]))
    ]
    (y, *after), (z, *after_z) = outputs
    sequences = bool(entry["config"].get("return_sequences", False))
    if sequences:
        z = reversed_in_time(layer, z)
    mode: Any = layer.get("merge_mode", "concat")
    mask = x.mask if sequences else None
    if mode is None:
        return (y.masked(mask), z.masked(mask), *after, *after_z)
    if mode == "concat":
        merged = layer.add(ops.Concatenate(layer.rank(y) - 1), y, z)
    elif mode in MERGES:
        merged = layer.add(MERGES[mode](), y, z)
    else:
        raise layer.refuse("merge_mode", mode)
    merged = merged.masked(mask)
    return (merged, *after, *after_z) if after else merged


def _half(layer: Layer, index: int) -> Arrays:
    """The arrays of one direction: named, or the first or second half."""
    name = ("forward", "backward")[index]
    return layer.arrays.part(f"{name}_layer", name) or layer.arrays.half(index)


def _turned_round(entry: Any) -> Any:
    config = {**entry["config"], "go_backwards": not entry["config"].get("go_backwards", False)}
    return {**entry, "config": config}


def _outputs(result: Any) -> list[Value]:
    return list(result) if isinstance(result, tuple) else [result]


DIRECT = frozenset({"Activation", "Dense", "Dropout", "ELU", "LeakyReLU", "ReLU", "Rescaling"})
"""Layers that do to each step what they do to all of them."""


@keras("TimeDistributed", masks=True)
def time_distributed(layer: Layer, x: Value) -> Any:
    inner = layer.inner(layer["layer"], layer.arrays.part("layer") or layer.arrays)
    if inner.kind in DIRECT:
        return inner.convert(Value(x.name, x.axes))
    whole = Value(layer.plain(x))
    result = _outputs(inner.convert(layer.add(ops.MergeAxes(0, 2), whole)))
    split = [layer.add(ops.SplitBatch(), part, whole) for part in result]
    return split[0] if len(split) == 1 else tuple(split)
