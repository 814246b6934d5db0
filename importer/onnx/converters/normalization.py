"""Normalizations."""

from __future__ import annotations

import numpy as np

from ....runtime import ops
from ....runtime.errors import UnreadableFile, Unsupported
from ...builder import Value, channels_first
from ..call import Call, axis_of, onnx, places, trimmed
from ..known import Known
from .elementwise import ALWAYS_A_TEST, exact


def _per_channel(call: Call, x: Value) -> tuple[str, int]:
    """(the input with its channels last, its rank)."""
    rank = len(call.shape(x))
    return call.builder.channels_last(x, call.layer) if rank > 2 else call.plain(0), rank


def _first(name: str, rank: int) -> Value:
    return channels_first(name, rank) if rank > 2 else Value(name)


@onnx("BatchNormalization")
def batch_normalization(call: Call) -> Value:
    call.options.ignore("consumed_inputs")
    if call.options.get("training_mode", 0):
        raise call.options.refuse("training_mode")
    if call.options.get("spatial", 1) != 1:
        raise call.options.refuse("spatial")
    if not call.options.get("is_test", call.opset >= ALWAYS_A_TEST):
        raise call.options.refuse("is_test")
    name, rank = _per_channel(call, call.value(0))
    epsilon, momentum = call.options.number("epsilon", 1e-5), call.options.number("momentum", 0.9)
    roles = ("gamma", "beta", "moving_mean", "moving_variance")
    params = {role: call.weight(call.known(i)) for i, role in enumerate(roles, 1)}
    op = ops.BatchNormalization((-1,), exact(epsilon), exact(momentum))
    return _first(call.add(op, name, **params), rank)


@onnx("InstanceNormalization")
def instance_normalization(call: Call) -> Value:
    name, rank = _per_channel(call, call.value(0))
    op = ops.GroupNormalization(-1, -1, exact(call.options.number("epsilon", 1e-5)))
    return _first(_scaled(call, op, name), rank)


def _scaled(call: Call, op: ops.GroupNormalization, name: str) -> str:
    channels = call.builder.types[name].shape[-1]
    weights = [_repeated(call, call.known(i), channels) for i in (1, 2)]
    return call.add(op, name, gamma=weights[0], beta=weights[1])


def _repeated(call: Call, weight: Known, channels: int | str) -> str:
    """One of the channels, of which version 18 of GroupNormalization stores one of each group."""
    (count,) = weight.shape
    if count == channels:
        return call.weight(weight)
    if not isinstance(channels, int) or channels % count:
        raise UnreadableFile(f"{call.title}: weights of {weight.shape} for {channels} channels")
    return call.weight(weight, lambda array: np.repeat(array, channels // count), "by channel")


@onnx("GroupNormalization")
def group_normalization(call: Call) -> Value:
    call.options.ignore("stash_type")
    name, rank = _per_channel(call, call.value(0))
    groups = call.options.whole("num_groups", least=1)
    op = ops.GroupNormalization(groups, -1, exact(call.options.number("epsilon", 1e-5)))
    return _first(_scaled(call, op, name), rank)


@onnx("LayerNormalization")
def layer_normalization(call: Call) -> Value:
    call.options.ignore("stash_type")
    if len([name for name in call.outputs if name]) > 1:
        raise Unsupported(f"{call.title}: its mean is wanted")
    name, rank = call.plain(0), len(call.shape(call.value(0)))
    axis = axis_of(call.options.get("axis", -1), rank, call.title)
    shape = call.sizes_from(call.value(0), axis)
    gamma, beta = call.known(1), call.given(2)
    params = {"gamma": _whole(call, gamma, shape)}
    if beta is not None:
        params["beta"] = _whole(call, call.known(2), shape)
    epsilon = exact(call.options.number("epsilon", 1e-5))
    op = ops.LayerNormalization(tuple(range(axis, rank)), epsilon, beta is not None)
    return Value(call.add(op, name, **params))


def _whole(call: Call, weight: Known, shape: tuple[int, ...]) -> str:
    if weight.shape == shape:
        return call.weight(weight)
    return call.weight(weight, lambda array: np.broadcast_to(array, shape), f"as {shape}")


@onnx("LRN")
def response_normalization(call: Call) -> Value:
    """ONNX divides alpha by the number of channels summed over."""
    size = call.options.whole("size", least=1)
    alpha, beta, bias = (
        exact(call.options.number(name, default))
        for name, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    if size % 2 == 0:
        raise call.options.refuse("size")
    name, rank = _per_channel(call, call.value(0))
    return _first(
        call.add(ops.LocalResponseNormalization(size, bias, alpha / size, beta), name), rank
    )


@onnx("LpNormalization")
def lp_normalization(call: Call) -> Value:
    if call.options.get("p", 2) != 2:
        raise call.options.refuse("p")
    x = call.value(0)
    rank = len(call.shape(x))
    axis = places(x, rank)[axis_of(call.options.get("axis", -1), rank, call.title)]
    return trimmed(call.add(ops.UnitNormalization((axis,)), x.name), places(x, rank))
