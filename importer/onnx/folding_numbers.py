"""Arithmetic with numbers that are known before the model runs, and with sizes as objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import UnreadableFile
from .call import Call, folds
from .known import MOST, Filled, Known
from .sizes import Open, tidy
from .slices import axes_of

Array = NDArray[Any]
Constant = Known | Filled


def _numbers(call: Call, x: Sequence[Constant], function: Callable[..., Any]) -> Known | None:
    """The function of small arrays; sizes are computed with as objects."""
    if not all(isinstance(one, Known) and one.is_small for one in x):
        return None
    arrays = [call.known(i).here() for i in range(len(x))]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    if math.prod(shape) > MOST:
        return None
    if any(array.dtype == object for array in arrays):
        arrays = [array.astype(object) for array in arrays]
    with np.errstate(all="ignore"):
        found = np.asarray(function(*arrays))
    return Known(tidy(found))


def _division(a: Array, b: Array) -> Array:
    """Of integers towards zero, as ONNX has it."""
    if object in (a.dtype, b.dtype):
        return a // b
    if a.dtype.kind == "f":
        return a / b
    if not b.all():
        raise UnreadableFile("an integer is divided by zero")
    return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)


def _whether(relation: Callable[[Any, Any], Any]) -> Callable[..., Array]:
    def compare(a: Array, b: Array) -> Array:
        return np.asarray(relation(a, b), bool)

    return compare


def _choice(condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition.astype(bool), a, b)


def _power(a: Array, b: Array) -> Array:
    return np.power(a, b).astype(a.dtype)


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _division,
    "Neg": np.negative,
    "Equal": _whether(np.equal),
    "Greater": _whether(np.greater),
    "GreaterOrEqual": _whether(np.greater_equal),
    "Less": _whether(np.less),
    "LessOrEqual": _whether(np.less_equal),
    "And": np.logical_and,
    "Or": np.logical_or,
    "Not": np.logical_not,
    "Where": _choice,
}
NUMERIC: dict[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Sqrt": np.sqrt,
    "Reciprocal": np.reciprocal,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.rint,
    "Pow": _power,
    "Min": lambda *x: np.minimum.reduce(np.broadcast_arrays(*x)),
    "Max": lambda *x: np.maximum.reduce(np.broadcast_arrays(*x)),
}
"""Those that sizes, as objects, have not; rounding leaves them as they are."""


def _declare(kind: str, function: Callable[..., Any], of_sizes: bool) -> None:
    @folds(kind)
    def fold(call: Call, *x: Constant) -> Known | None:
        objects = any(isinstance(one, Known) and one.array.dtype == object for one in x)
        if objects and not of_sizes:
            return x[0] if kind in ("Floor", "Ceil", "Round") and isinstance(x[0], Known) else None
        return _numbers(call, x, function)


for _kind, _function in ELEMENTWISE.items():
    _declare(_kind, _function, True)
for _kind, _function in NUMERIC.items():
    _declare(_kind, _function, False)


@folds("Mod")
def modulo(call: Call, *x: Constant) -> Known | None:
    if any(isinstance(one, Known) and one.array.dtype == object for one in x):
        return None
    return _numbers(call, x, np.fmod if call.options.get("fmod", 0) else np.mod)


@folds("ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin")
def reduce(call: Call, x: Constant, *_: Constant) -> Known | None:
    if isinstance(x, Filled) or not x.is_small:
        return None
    given = call.wholes(1, "axes", ())
    array, keepdims = x.here(), bool(call.options.get("keepdims", 1))
    axes = None if not given else axes_of(call, given, array.ndim)
    function: Any = {
        "ReduceProd": np.multiply,
        "ReduceSum": np.add,
        "ReduceMax": np.maximum,
        "ReduceMin": np.minimum,
    }[call.kind]
    if array.dtype == object and function in (np.maximum, np.minimum):
        return None
    if not given and call.options.get("noop_with_empty_axes", 0):
        return x
    if not array.size:
        return None
    places = axes if axes is not None else tuple(range(array.ndim))
    for axis in reversed(places):
        array = np.asarray(function.reduce(array, axis=axis, keepdims=True))
    found = array if keepdims else np.squeeze(array, places)
    return Known(tidy(np.asarray(found, object if _is_open(found) else x.array.dtype)))


def _is_open(array: Array) -> bool:
    return any(isinstance(element, Open) for element in array.flat)
