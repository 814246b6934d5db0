"""Forms: recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .....runtime import ops
from .....runtime.check import Array
from ..model import Output
from ..node import Node, form
from .axes import RANKS

OLD = "hard_sigmoid_0.2"
"""The hard sigmoid of Keras 1 and 2."""
STEEPER = 0.2 / (1 / 6)
"""How much steeper it is than that of Keras 3, which it is of as many times the input."""
LARGER = f"weights of gates that are {STEEPER:.4g} times as large, for Keras 3's hard sigmoid"


def _run(
    node: Node,
    op: Any,
    x: Output,
    mask: Output | None,
    states: Sequence[Output | None],
    kind: str,
    scaled: Mapping[str, Array],
    options: Mapping[str, Any],
) -> tuple[Any, ...]:
    """A layer over sequences, with its last states where somebody wants them."""
    begun = [state for state in states if state is not None]
    if begun and len(begun) < len(states):
        raise node.refuse("Keras takes all of its first states, or none")
    given: dict[str, Any] = {"mask": mask} if mask is not None else {}
    if begun:
        given["initial_state"] = begun
    wants_states = any(node.used[1:])
    y = node.layer(
        kind,
        x,
        return_sequences=True,
        return_state=wants_states,
        go_backwards=op.reverse,
        use_bias=op.use_bias,
        **options,
        arrays=scaled,
        inside="cell",
        given=given,
    )
    after = [replace(y, number=i) if wants_states else None for i in range(1, len(node.results))]
    if op.reverse and node.used[0]:
        y = node.operation("numpy.Flip", y, axis=1)
    if begun and mask is not None and node.used[0]:
        y = _from_first(node, op, y, mask)
    return (y, *after)


def _from_first(node: Node, op: Any, y: Output, mask: Output) -> Output:
    """The outputs with zeros before the first step that counts.

    There JAX has the first state, which it takes for the output before; other backends have zeros.
    """
    counts = node.operation("core.Cast", mask, dtype="int32")
    if op.reverse:
        counts = node.operation("numpy.Flip", counts, axis=1)
    counts = node.operation("numpy.Cumsum", counts, axis=1)
    if op.reverse:
        counts = node.operation("numpy.Flip", counts, axis=1)
    begun = node.operation("numpy.Greater", counts, 0)
    for axis in range(2, node.results[0].rank):
        begun = node.operation("numpy.ExpandDims", begun, axis=axis)
    return node.operation("numpy.Where", begun, y, 0.0)


def _gates(node: Node, op: Any, gates: Sequence[bool]) -> tuple[dict[str, Array], str]:
    """The arrays, and the recurrent activation, in the words of Keras 3.

    The hard sigmoid of before is that of Keras 3 of more: the gates' weights are made larger.
    ``gates`` says which parts of the arrays are gates.
    """
    if op.recurrent_activation != OLD:
        return _arrays(node, op), op.recurrent_activation
    node.note(LARGER)
    factors = np.where(gates, STEEPER, 1.0)
    scaled = {name: _times(array, factors) for name, array in _arrays(node, op).items()}
    return scaled, "hard_sigmoid"


def _arrays(node: Node, op: Any) -> dict[str, Array]:
    """Those of a layer of Keras, in its order: it always has a kernel."""
    if node.kind is ops.ConvLSTM or not op.projected:
        return dict(node.arrays)
    width = node.arrays["recurrent_kernel"].shape[-1]
    return {"kernel": np.eye(width, dtype=np.float32), **node.arrays}


def _times(array: Array, factors: Array) -> Array:
    """Each part along the last axis times a number of its own."""
    each = np.repeat(factors, array.shape[-1] // factors.size)
    return (array.astype(np.float64) * each).astype(np.float32)


def _activation(node: Node, name: str) -> str:
    if name == OLD:
        raise node.refuse("Keras 3 has no hard sigmoid of the slope 0.2 for its activation")
    return name


@form(ops.SimpleRNN)
def simple_rnn(
    node: Node, op: ops.SimpleRNN, x: Output, mask: Any = None, *states: Any
) -> tuple[Any, ...]:
    arrays, activation = _arrays(node, op), op.activation
    if activation == OLD:
        activation = "hard_sigmoid"
        node.note(LARGER)
        arrays = {name: _times(array, np.array([STEEPER])) for name, array in arrays.items()}
    options = {"units": op.units, "activation": activation}
    return _run(node, op, x, mask, states, "SimpleRNN", arrays, options)


@form(ops.LSTM)
def lstm(node: Node, op: ops.LSTM, x: Output, mask: Any = None, *states: Any) -> tuple[Any, ...]:
    arrays, gate = _gates(node, op, (True, True, False, True))
    options = {
        "units": op.units,
        "activation": _activation(node, op.activation),
        "recurrent_activation": gate,
    }
    return _run(node, op, x, mask, states, "LSTM", arrays, options)


@form(ops.GRU)
def gru(node: Node, op: ops.GRU, x: Output, mask: Any = None, *states: Any) -> tuple[Any, ...]:
    arrays, gate = _gates(node, op, (True, True, False))
    options = {
        "units": op.units,
        "activation": _activation(node, op.activation),
        "recurrent_activation": gate,
        "reset_after": op.reset_after,
    }
    return _run(node, op, x, mask, states, "GRU", arrays, options)


@form(ops.ConvLSTM)
def conv_lstm(
    node: Node, op: ops.ConvLSTM, x: Output, mask: Any = None, *states: Any
) -> tuple[Any, ...]:
    rank = len(op.kernel_size)
    if rank not in RANKS or op.padding not in ("valid", "same"):
        raise node.refuse(f"Keras has none of {rank} spatial axes padded by {op.padding!r}")
    if mask is not None:
        raise node.refuse("on JAX Keras cannot run it with a mask")
    arrays, gate = _gates(node, op, (True, True, False, True))
    ones = (1,) * rank
    options = {
        "filters": op.filters,
        "kernel_size": list(op.kernel_size),
        "strides": list(op.strides or ones),
        "padding": op.padding,
        "dilation_rate": list(op.dilation or ones),
        "activation": _activation(node, op.activation),
        "recurrent_activation": gate,
    }
    return _run(node, op, x, mask, states, f"ConvLSTM{rank}D", arrays, options)
