"""Functions of several values, element by element."""

from __future__ import annotations

from collections.abc import Callable

from ....runtime import ops
from ....runtime.errors import Unsupported
from ....runtime.op import Operation
from ...builder import Value
from ..call import Call, Given, axis_of, onnx, trimmed
from .reshaping import reshaped

PAIRS: dict[str, Callable[[], Operation]] = {
    "Add": ops.Add,
    "And": ops.LogicalAnd,
    "Div": ops.Divide,
    "Equal": ops.Equal,
    "Greater": ops.Greater,
    "GreaterOrEqual": ops.GreaterEqual,
    "Less": ops.Less,
    "LessOrEqual": ops.LessEqual,
    "Max": ops.Maximum,
    "Mean": ops.Average,
    "Min": ops.Minimum,
    "Mul": ops.Multiply,
    "Or": ops.LogicalOr,
    "Sub": ops.Subtract,
    "Sum": ops.Add,
    "Where": ops.Where,
    "Xor": ops.LogicalXor,
}
VARIADIC = ("Max", "Mean", "Min", "Sum")


@onnx(*PAIRS)
def merge(call: Call) -> Given:
    given = [call.need(i) for i in range(len(call.inputs))]
    if len(given) == 1 and call.kind in VARIADIC:
        return given[0]
    names, axes = call.alike(*_aligned(call, given))
    if call.kind == "Div" and call.builder.types[names[0]].dtype != "float":
        raise Unsupported(f"{call.title}: a division of integers is not supported")
    return trimmed(call.add(PAIRS[call.kind](), *names), axes)


def _aligned(call: Call, given: list[Given]) -> list[Given]:
    """Before version 7 the second's axes stood where ``axis`` said, not at the end."""
    call.options.ignore("consumed_inputs", "broadcast")
    if (axis := call.options.get("axis")) is None or len(given) != 2:
        return given
    first, second = (call.shape(one) for one in given)
    after = len(first) - axis_of(axis, len(first), call.title) - len(second)
    if after < 0:
        raise call.options.refuse("axis")
    shape, b = (*second, *[1] * after), given[1]
    if isinstance(b, Value):
        return [given[0], reshaped(call, b, shape)]
    return [given[0], b.map(lambda array: array.reshape(*array.shape, *[1] * after))]


@onnx("Pow")
def power(call: Call) -> Value:
    exponent = call.scalar(call.given(1))
    if exponent is not None and not call.shape(call.need(1)):
        x = call.value(0)
        op = ops.Square() if exponent == 2 else ops.Power(exponent)
        return Value(call.add(op, x.name), x.axes)
    names, axes = call.alike(*_aligned(call, [call.need(0), call.need(1)]))
    return trimmed(call.add(ops.PowerOf(), *names), axes)


@onnx("Mod")
def mod(call: Call) -> Value:
    if call.options.get("fmod", 0):
        raise call.options.refuse("fmod")
    names, axes = call.alike(call.need(0), call.need(1))
    return trimmed(call.add(ops.Mod(), *names), axes)
