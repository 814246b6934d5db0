"""Functions of each element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper

from ....runtime import ops
from ....runtime.errors import UnreadableFile, Unsupported
from ....runtime.op import Operation
from ....runtime.tensor import product
from ...builder import Value
from ..call import Call, Given, axis_of, onnx, places
from ..known import Known
from ..weights import DTYPES
from .reshaping import reshaped

UNARY: dict[str, Callable[[], Operation]] = {
    "Abs": ops.Abs,
    "Acos": ops.Arccos,
    "Acosh": ops.Arccosh,
    "Asin": ops.Arcsin,
    "Asinh": ops.Arcsinh,
    "Atan": ops.Arctan,
    "Atanh": ops.Arctanh,
    "Ceil": ops.Ceil,
    "Cos": ops.Cos,
    "Cosh": ops.Cosh,
    "Erf": ops.Erf,
    "Exp": ops.Exponential,
    "Floor": ops.Floor,
    "HardSwish": ops.HardSilu,
    "Log": ops.Log,
    "Mish": ops.Mish,
    "Neg": ops.Negative,
    "Not": ops.LogicalNot,
    "Reciprocal": ops.Reciprocal,
    "Relu": ops.Relu,
    "Round": ops.Round,
    "Sigmoid": ops.Sigmoid,
    "Sign": ops.Sign,
    "Sin": ops.Sin,
    "Sinh": ops.Sinh,
    "Softplus": ops.Softplus,
    "Softsign": ops.Softsign,
    "Sqrt": ops.Sqrt,
    "Tan": ops.Tan,
    "Tanh": ops.Tanh,
}


@onnx(*UNARY)
def unary(call: Call) -> Value:
    return each(call, UNARY[call.kind]())


def each(call: Call, op: Operation) -> Value:
    """A function of each element, in whichever order of axes the input is."""
    x = call.value(0)
    return Value(call.add(op, x.name), x.axes)


ALPHA: dict[str, tuple[float, Callable[[float], Operation]]] = {
    "Celu": (1.0, ops.Celu),
    "Elu": (1.0, ops.Elu),
    "LeakyRelu": (0.01, lambda alpha: ops.Relu(negative_slope=alpha)),
    "ThresholdedRelu": (1.0, lambda alpha: ops.Threshold(alpha, 0.0)),
}
"""The default of the one attribute, and what is made of it."""


@onnx(*ALPHA)
def with_alpha(call: Call) -> Value:
    default, operation = ALPHA[call.kind]
    return each(call, operation(exact(call.options.number("alpha", default))))


def exact(number: float) -> float:
    """An attribute, which the file has as float32, as it was meant: 0.1 is no 0.10000000149."""
    return float(str(np.float32(number)))


@onnx("Selu")
def selu(call: Call) -> Value:
    alpha = call.options.number("alpha", SELU_ALPHA)
    gamma = call.options.number("gamma", SELU_GAMMA)
    if abs(alpha - SELU_ALPHA) < ROUNDING and abs(gamma - SELU_GAMMA) < ROUNDING:
        return each(call, ops.Selu())
    x = call.value(0)
    curved = call.add(ops.Elu(exact(alpha)), x.name)
    return Value(call.add(ops.Scale(exact(gamma)), curved), x.axes)


SELU_ALPHA, SELU_GAMMA, ROUNDING = 1.67326319217681884765625, 1.05070102214813232421875, 1e-6


@onnx("HardSigmoid")
def hard_sigmoid(call: Call) -> Value:
    slope, offset = call.options.number("alpha", 0.2), call.options.number("beta", 0.5)
    return each(call, ops.HardSigmoid(exact(slope), exact(offset)))


@onnx("Gelu")
def gelu(call: Call) -> Value:
    match call.options.get("approximate", "none"):
        case b"none" | "none":
            return each(call, ops.Gelu())
        case b"tanh" | "tanh":
            return each(call, ops.Gelu(approximate=True))
        case _:
            raise call.options.refuse("approximate")


@onnx("Shrink")
def shrink(call: Call) -> Value:
    threshold, bias = call.options.number("lambd", 0.5), call.options.number("bias", 0.0)
    if bias == 0:
        return each(call, ops.HardShrink(exact(threshold)))
    if bias == threshold:
        return each(call, ops.SoftShrink(exact(threshold)))
    raise call.options.refuse("bias")


@onnx("Clip")
def clip(call: Call) -> Given:
    low, high = (_bound(call, i, name) for i, name in ((1, "min"), (2, "max")))
    if low is None and high is None:
        return call.need(0)
    x = call.value(0)
    if (dtype := call.builder.types[x.name].dtype) != "float":
        return _clip_wholes(call, x, (low, high), dtype)
    if low == 0 and high is None:
        return each(call, ops.Relu())
    return each(call, ops.Clip(low, high))


def _clip_wholes(
    call: Call, x: Value, bounds: tuple[float | None, float | None], dtype: str
) -> Value:
    name = x.name
    for bound, op in zip(bounds, (ops.Maximum(), ops.Minimum()), strict=True):
        if bound is not None:
            limit = call.add(ops.Literal((int(bound),), (1,) * len(call.shape(x)), dtype))
            name = call.add(op, name, limit)
    return Value(name, x.axes)


def _bound(call: Call, i: int, attribute: str) -> float | None:
    if call.given(i) is None and attribute not in call.options:
        return None
    (bound,) = call.numbers(i, attribute)
    return None if abs(bound) >= LARGEST_FLOAT else exact(bound)


LARGEST_FLOAT = 3.4e38


BROADCASTING = 7
"""Before this version what had one axis stood for the channels, axis 1."""
ALWAYS_A_TEST = 7
"""Before this version an option said whether a model was being trained."""


@onnx("Identity", "Dropout")
def identity(call: Call) -> Given:
    """Dropout is for training, where a model that was exported is not."""
    call.options.ignore("ratio", "seed", "consumed_inputs")
    if not call.options.get("is_test", call.kind == "Identity" or call.opset >= ALWAYS_A_TEST):
        raise call.options.refuse("is_test")
    if len([name for name in call.outputs if name]) > 1:
        raise Unsupported(f"{call.title}: its mask is wanted")
    mode = call.given(2)
    if mode is not None and not (isinstance(mode, Known) and not mode.here().any()):
        raise Unsupported(f"{call.title}: it is in training mode")
    return call.need(0)


@onnx("Cast")
def cast(call: Call) -> Value:
    call.options.ignore("saturate")
    dtype = _dtype(call, call.options.whole("to"))
    x = call.value(0)
    if call.builder.types[x.name].dtype == dtype:
        return x
    return each(call, ops.Cast(dtype))


def _dtype(call: Call, to: int) -> str:
    try:
        name = helper.tensor_dtype_to_np_dtype(to).name
    except KeyError:
        raise UnreadableFile(f"{call.title}: no type has the number {to}") from None
    if name not in DTYPES:
        raise Unsupported(f"{call.title}: a cast to {name} is not supported")
    return DTYPES[name]


@onnx("PRelu")
def prelu(call: Call) -> Value:
    """The slopes are the parameter of one row, if they are the same for all rows."""
    x, slope = call.value(0), call.known(1)
    rank = len(call.shape(x))
    shape = (1,) * (rank - len(slope.shape)) + slope.shape
    if call.opset < BROADCASTING and len(slope.shape) == 1:
        shape = (1, *slope.shape, *[1] * (rank - 2))
    order = places(x, rank)
    back = [order.index(i) for i in range(rank)]
    if len(shape) > rank or shape[back[0]] != 1:
        raise Unsupported(f"{call.title}: a slope of shape {slope.shape} is not the same for rows")
    shared = tuple(i for i in range(1, rank) if shape[back[i]] == 1)

    def row(array: Any) -> Any:
        return array.reshape(shape).transpose(back)[0]

    return Value(
        call.add(ops.Prelu(shared), x.name, alpha=call.weight(slope, row, f"alpha{back}")), x.axes
    )


SOFTMAX: dict[str, Callable[[int], Operation]] = {
    "Softmax": ops.Softmax,
    "LogSoftmax": ops.LogSoftmax,
}
FIRST_OF_ONE_AXIS = 13
"""Before this version the axes from ``axis`` on were one."""


@onnx(*SOFTMAX)
def softmax(call: Call) -> Value:
    x = call.value(0)
    shape = call.shape(x)
    newer = call.opset >= FIRST_OF_ONE_AXIS
    axis = axis_of(call.options.get("axis", -1 if newer else 1), len(shape), call.title)
    if not newer and any(n != 1 for n in shape[axis + 1 :]):
        return _of_all(call, x, axis)
    place = places(x, len(shape))[axis]
    return Value(call.add(SOFTMAX[call.kind](place), x.name), x.axes)


def _of_all(call: Call, x: Value, axis: int) -> Value:
    """Over all axes from this one on."""
    shape = call.shape(x)
    flat = reshaped(call, x, (*shape[:axis], product(shape[axis:])))
    name = call.builder.plain(flat, call.layer)
    return reshaped(call, Value(call.add(SOFTMAX[call.kind](-1), name)), shape)
