"""Converters: recurrent layers, and what collapses their steps.

Their weights are one matrix of (inputs + units + 1) rows of ``gates`` · units: the weights of the
input, those of the state, the bias. The first two are read as matrices of gates · units rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime import ops
from ...runtime.errors import Unsupported
from ...runtime.op import Operation
from ..builder import Value
from ..deferred import Array, Deferred
from ..options import Options
from .layer import Layer, neon, rearranged, transform

FUNCTIONS = {
    "Tanh": "tanh",
    "Logistic": "sigmoid",
    "Rectlin": "relu",
    "Rectlinclip": "relu6",
    "Explin": "elu",
    "Identity": "linear",
}
NEUTRAL: Mapping[str, tuple[str, float]] = {
    "Rectlin": ("slope", 0.0),
    "Rectlinclip": ("xcut", 6.0),
    "Explin": ("alpha", 1.0),
}
"""What these activations have to be told to be those that cells know."""


@dataclass(frozen=True)
class Gates:
    """The gates of a cell in our order, as places in neon's; a gate that is turned is 1 - ours."""

    order: tuple[int, ...]
    turned: int | None = None
    states: int = 1

    def arranged(self, matrix: Array, units: int) -> Array:
        """The last axis of what neon stores, gate after gate, in our order."""
        parts = np.split(matrix, len(self.order), axis=-1)
        if self.turned is not None:
            parts[self.turned] = -parts[self.turned]
        return np.concatenate([parts[place] for place in self.order], axis=-1)


GATES = {
    "Recurrent": Gates((0,)),
    "LSTM": Gates((0, 1, 3, 2), states=2),  # i, f, o, g
    "GRU": Gates((1, 0, 2), turned=1),  # r, z, h, where z weighs the new value
}
KINDS = {
    "Recurrent": "Recurrent",
    "LSTM": "LSTM",
    "GRU": "GRU",
    "BiRNN": "Recurrent",
    "BiLSTM": "LSTM",
}


@dataclass(frozen=True)
class Packed:
    """Where a direction's weights lie in the rows of the matrix."""

    inputs: slice
    state: slice
    bias: int

    def arrays(
        self, stored: Deferred, inputs: int, units: int, gates: Gates
    ) -> dict[str, Deferred]:
        """Kernel, recurrent kernel and bias as our operations have them."""
        width = len(gates.order) * units

        def part(rows: slice, size: int) -> Callable[[Array], Array]:
            return lambda w: gates.arranged(w[rows].reshape(width, size).T, units)

        return {
            "kernel": rearranged(stored, (inputs, width), part(self.inputs, inputs)),
            "recurrent_kernel": rearranged(stored, (units, width), part(self.state, units)),
            "bias": rearranged(stored, (width,), lambda w: gates.arranged(w[self.bias], units)),
        }


@neon("Recurrent", "LSTM", "GRU")
def recurrent(layer: Layer, x: Value) -> Value:
    settings = layer.options
    value, inputs, units = *_series(layer, x), settings.whole("output_size", least=1)
    gates = GATES[layer.entry.kind]
    stored = layer.array("W", inputs + units + 1, len(gates.order) * units)
    packed = Packed(slice(inputs), slice(inputs, inputs + units), -1)
    arrays = packed.arrays(stored, inputs, units, gates)
    return layer.tensor(_run(layer, value, units, arrays))


@neon("BiRNN", "BiLSTM")
def bidirectional(layer: Layer, x: Value) -> Value:
    """The series read forwards, and backwards, beside each other."""
    settings = layer.options
    value, inputs, units = *_series(layer, x), settings.whole("output_size", least=1)
    ways = [value, value]
    if settings.get("split_inputs", False):
        inputs //= 2
        ways = [_features(layer, value, i * inputs, (i + 1) * inputs) for i in range(2)]
    gates = GATES[KINDS[layer.entry.kind]]
    stored = layer.array("W", 2 * (inputs + units + 1), len(gates.order) * units)
    begin, ends = 2 * inputs, list[str]()
    for i, way in enumerate(("forward", "backward")):
        rows = slice(i * inputs, (i + 1) * inputs)
        packed = Packed(rows, slice(begin + i * units, begin + (i + 1) * units), i - 2)
        arrays = packed.arrays(stored, inputs, units, gates)
        ends.append(_run(layer, ways[i], units, arrays, way))
    return layer.tensor(layer.add(ops.Concatenate(), *ends))


def _run(layer: Layer, x: str, units: int, arrays: dict[str, Deferred], way: str = "") -> str:
    """The outputs of all steps; a layer that is not told otherwise keeps its states."""
    settings, kind, reverse = layer.options, KINDS[layer.entry.kind], way == "backward"
    function = cell_function(settings, "activation")
    gates = "" if kind == "Recurrent" else cell_function(settings, "gate_activation")
    if kind == "GRU" and gates != "sigmoid":  # 1 - s(x) is s(-x) for it alone
        raise settings.refuse("gate_activation")
    op: Operation = {
        "Recurrent": lambda: ops.SimpleRNN(units, function, reverse=reverse),
        "LSTM": lambda: ops.LSTM(units, function, gates, reverse=reverse),
        "GRU": lambda: ops.GRU(units, function, gates, reset_after=False, reverse=reverse),
    }[kind]()
    names = ("h", "c")[: GATES[kind].states]
    if settings.get("reset_cells", False):
        return layer.add_all(op, [x], arrays, way)[0]
    held = [layer.state("/".join(filter(None, (way, name))), units) for name in names]
    y, *after = layer.add_all(op, [x, "", *held], arrays, way)
    for state, value in zip(held, after, strict=True):
        layer.keep(state, value)
    return y


def cell_function(settings: Options, option: str) -> str:
    """What cells call an activation.

    Raises:
        Unsupported: they do not know it.
    """
    thing, told = transform(settings, option)
    name = FUNCTIONS.get(thing.kind, "")
    number, wanted = NEUTRAL.get(thing.kind, ("", 0.0))
    usual = 20.0 if number == "xcut" else wanted
    if not name or (number and told.number(number, usual) != wanted):
        raise settings.refuse(option)
    if number == "xcut" and told.number("slope", 0.0):
        raise settings.refuse(option)
    told.finish()
    return name


def _series(layer: Layer, x: Value) -> tuple[str, int]:
    """The value (N, steps, features), and how many features a step has.

    Of an image the width is the steps, and channels and height are the features.
    """
    shape = layer.shape(x)
    if len(shape) == 1:
        value = layer.add(ops.ExpandDims((1,)), layer.plain(x))
        return value, layer.sizes(x)[0]
    if len(shape) == 2:
        features: Any = shape[0]
        return layer.features_last(x), int(features)
    if len(shape) != 3:
        raise Unsupported(f"{layer.title}: it cannot take a volume for a series")
    channels, height, width = layer.sizes(x)
    order = (0, 3, 1, 2)
    axes = tuple(x.axes[i] for i in order) if x.axes else order
    value = layer.builder.turned(x.name, axes, layer.entry.name)
    return layer.add(ops.Reshape((width, channels * height)), value), channels * height


def _features(layer: Layer, x: str, begin: int, end: int) -> str:
    return layer.add(
        ops.StridedSlice((None, None, begin), (None, None, end), (None, None, None)), x
    )


@neon("BiSum")
def bi_sum(layer: Layer, x: Value) -> Value:
    """What was read forwards plus what was read backwards."""
    value, size = _series(layer, x)
    halves = [_features(layer, value, 0, size // 2), _features(layer, value, size // 2, size)]
    return layer.tensor(layer.add(ops.Add(), *halves))


@neon("RecurrentSum")
def recurrent_sum(layer: Layer, x: Value) -> Value:
    return layer.tensor(layer.add(ops.ReduceSum((1,)), _series(layer, x)[0]))


@neon("RecurrentMean")
def recurrent_mean(layer: Layer, x: Value) -> Value:
    return layer.tensor(layer.add(ops.ReduceMean((1,)), _series(layer, x)[0]))


@neon("RecurrentLast")
def recurrent_last(layer: Layer, x: Value) -> Value:
    last = layer.add(ops.Take((-1,), 1), _series(layer, x)[0])
    return layer.tensor(layer.add(ops.Squeeze((1,)), last))
