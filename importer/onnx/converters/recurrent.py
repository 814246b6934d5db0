"""Recurrent layers. Theirs are time first with an axis for directions; ours are batch first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....runtime import ops
from ....runtime.errors import UnreadableFile, Unsupported
from ....runtime.op import Operation
from ...builder import Value
from ..call import Call, Given, onnx, places, trimmed
from ..known import Filled, Known
from .reshaping import inserted, reshaped

Array = NDArray[np.float32]
Axes = tuple[int, ...]

WITH_ALPHA: dict[str, float] = {
    "affine": 1.0,
    "elu": 1.0,
    "hardsigmoid": 0.2,
    "leakyrelu": 0.01,
    "scaledtanh": 1.0,
    "thresholdedrelu": 1.0,
}
WITH_BETA: dict[str, float] = {"affine": 0.0, "hardsigmoid": 0.5, "scaledtanh": 1.0}
"""The activations that take one, in the order they stand in, and the default."""
ROUNDING = 1e-6
GATES = {
    "LSTM": (0, 2, 3, 1),  # theirs is i, o, f, c, ours i, f, c, o
    "GRU": (0, 1, 2),
    "RNN": (0,),
}
DEFAULT = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@dataclass(frozen=True)
class Direction:
    """One direction of a layer: which it is, and what it computes with."""

    index: int
    reverse: bool
    activations: Sequence[str]


@onnx("LSTM", "GRU", "RNN")
def recurrent(call: Call) -> list[Value]:
    units = call.options.whole("hidden_size", call.known(2).shape[-1], 1)
    if call.options.get("layout", 0):
        raise call.options.refuse("layout")
    for option in ("clip", "input_forget"):
        if call.options.get(option, 0):
            raise call.options.refuse(option)
    if call.given(7) is not None:
        raise Unsupported(f"{call.title}: peepholes are not supported")
    x = call.value(0)
    shape = call.shape(x)
    if len(shape) != 3:
        raise UnreadableFile(f"{call.title}: an input of {shape} is no batch of sequences")
    _check_lengths(call, shape[0])
    axes = places(x, 3)
    name = call.builder.turned(x.name, (axes[1], axes[0], axes[2]), call.layer)
    found = [_run(call, name, units, direction) for direction in _directions(call)]
    sequences = _joined(call, [one[0] for one in found], axis=2)
    states = [_joined(call, [one[i] for one in found], axis=1) for i in range(1, len(found[0]))]
    return [trimmed(sequences, (1, 2, 0, 3)), *(trimmed(state, (1, 0, 2)) for state in states)]


def _directions(call: Call) -> Sequence[Direction]:
    text = _text(call.options.get("direction", "forward"))
    if text not in DIRECTIONS:
        raise UnreadableFile(f"{call.title}: direction {text!r} is none")
    reverse, default = DIRECTIONS[text], DEFAULT[call.kind]
    names = [_text(one) for one in call.options.get("activations", ())] or default * len(reverse)
    if len(names) != len(default) * len(reverse):
        raise UnreadableFile(f"{call.title}: {len(names)} activations")
    alpha, beta = (iter(call.options.get(f"activation_{n}", ())) for n in ("alpha", "beta"))
    ours = [_activation(call, name, alpha, beta) for name in names]
    each = len(default)
    return [Direction(i, way, ours[i * each : (i + 1) * each]) for i, way in enumerate(reverse)]


def _activation(call: Call, name: str, alpha: Iterator[float], beta: Iterator[float]) -> str:
    """Our name for an activation of theirs."""
    kind = name.lower()
    a = next(alpha, WITH_ALPHA[kind]) if kind in WITH_ALPHA else None
    b = next(beta, WITH_BETA[kind]) if kind in WITH_BETA else None
    for ours, activation in ops.CELL_ACTIVATIONS.items():
        if activation.native is None:
            continue
        theirs, *numbers = activation.native
        if theirs.lower() == kind and all(map(_is_near, numbers, (a, b))):
            return ours
    given = [n for n in (a, b) if n is not None]
    raise Unsupported(f"{call.title}: the activation {name} {given or ''} is not supported")


def _is_near(a: float | None, b: float | None) -> bool:
    return a is b if a is None or b is None else abs(a - b) < ROUNDING


def _text(found: str | bytes) -> str:
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found


def _check_lengths(call: Call, steps: int | str) -> None:
    given = call.given(4)
    if given is None:
        return
    if isinstance(given, Filled) and isinstance(steps, int) and int(given.number) == steps:
        return
    if not isinstance(given, Known) or any(n != steps for n in given.here().tolist()):
        raise Unsupported(f"{call.title}: sequences of different lengths are not supported")


def _run(call: Call, x: str, units: int, direction: Direction) -> tuple[str, ...]:
    kernel, recurrent = call.known(1), call.known(2)
    gates = GATES[call.kind]
    if kernel.shape[1] != len(gates) * units or recurrent.shape[1:] != (kernel.shape[1], units):
        raise UnreadableFile(
            f"{call.title}: weights of {kernel.shape} and {recurrent.shape} for {units} units"
        )
    op = _operation(call, units, direction)
    i = direction.index

    def ordered(array: Array) -> Array:
        return _in_order(array[i], gates).T

    params = {
        "kernel": call.weight(kernel, ordered, f"direction {i}"),
        "recurrent_kernel": call.weight(recurrent, ordered, f"direction {i}"),
    }
    if call.given(3) is not None:
        params["bias"] = call.weight(call.known(3), _bias(call, units, direction), f"bias {i}")
    states = [_state(call, j, i) for j in ((5, 6) if call.kind == "LSTM" else (5,))]
    given = [x, "", *states] if any(states) else [x]
    return call.append(op, *given, **params)


def _in_order(array: Array, gates: Sequence[int]) -> Array:
    """Of its first axis, the gates in another order."""
    parts = np.split(array, len(gates))
    return np.concatenate([parts[gate] for gate in gates])


def _bias(call: Call, units: int, direction: Direction) -> Callable[[Array], Array]:
    """Theirs is that of the inputs, then that of the states."""
    gates = GATES[call.kind]

    def of(array: Array) -> Array:
        inputs, states = (_in_order(part, gates) for part in np.split(array[direction.index], 2))
        if call.kind == "GRU" and call.options.get("linear_before_reset", 0):
            return np.stack([inputs, states])
        return inputs + states

    return of


def _operation(call: Call, units: int, direction: Direction) -> Operation:
    use_bias, reverse = call.given(3) is not None, direction.reverse
    match call.kind:
        case "LSTM":
            gate, inner, outer = direction.activations
            if inner != outer:
                raise Unsupported(f"{call.title}: the activations {inner} and {outer} in one layer")
            return ops.LSTM(units, inner, gate, use_bias, reverse)
        case "GRU":
            gate, inner = direction.activations
            after = bool(call.options.get("linear_before_reset", 0))
            return ops.GRU(units, inner, gate, after, use_bias, reverse)
        case _:
            return ops.SimpleRNN(units, direction.activations[0], use_bias, reverse)


def _state(call: Call, i: int, direction: int) -> str:
    """An initial state (rows, units); none if it is zeros."""
    given = call.given(i)
    if given is None or _is_zero(given):
        return ""
    x = call.as_value(given)
    directions, rows, units = call.shape(x)
    if directions != 1:
        place = places(x, 3)[0]
        x = Value(call.add(ops.Take((direction,), place), x.name), x.axes)
    return call.builder.plain(reshaped(call, x, (rows, units)), call.layer)


def _is_zero(given: Given) -> bool:
    if isinstance(given, Filled):
        return float(given.number) == 0
    return isinstance(given, Known) and given.is_small and not given.here().any()


def _joined(call: Call, names: Sequence[str], axis: int) -> str:
    """The directions along an axis of their own."""
    apart: list[Any] = []
    for name in names:
        sizes = call.builder.types[name].shape
        apart.append(reshaped(call, Value(name), inserted(sizes, [axis])).name)
    return call.add(ops.Concatenate(axis), *apart) if len(apart) > 1 else apart[0]
