"""What operators make of inputs that are known before the model runs.

Exporters write the arithmetic of shapes as nodes; and weights may be turned, cut and cast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from ...runtime.errors import UnreadableFile, Unsupported
from ...runtime.tensor import Size, broadcast
from .call import Call, axis_of, folds
from .known import MOST, Filled, Known
from .sizes import plain, tidy
from .slices import axes_of, open_end, parts_of, slices

Array = NDArray[Any]
Constant = Known | Filled


@folds("Identity", "Dropout")
def identity(call: Call, x: Constant, *_: Constant) -> Constant:
    return x


@folds("Transpose")
def transpose(call: Call, x: Constant) -> Constant:
    order = call.options.get("perm") or tuple(range(len(x.shape)))[::-1]
    if sorted(order) != list(range(len(x.shape))):
        raise UnreadableFile(f"{call.title}: {tuple(order)} is no order of {len(x.shape)} axes")
    return x.map(lambda array: array.transpose(order))


@folds("Reshape")
def reshape(call: Call, x: Constant, *_: Constant) -> Constant | None:
    if isinstance(x, Filled):
        return None
    shape, keep_zeros = call.wholes(1, "shape"), call.options.whole("allowzero", 0)
    sizes = [x.shape[i] if n == 0 and not keep_zeros else n for i, n in enumerate(shape)]
    known = math.prod(n for n in sizes if n != -1)
    whole = math.prod(x.shape)
    if sizes.count(-1) > 1 or (whole % max(known, 1) if -1 in sizes else whole != known):
        raise UnreadableFile(f"{call.title}: {x.shape} cannot take the shape {shape}")
    return x.map(lambda array: array.reshape(sizes))


@folds("Flatten")
def flatten(call: Call, x: Constant) -> Constant:
    axis = call.options.whole("axis", 1, -len(x.shape)) % (len(x.shape) + 1)
    return x.map(lambda array: array.reshape(math.prod(array.shape[:axis]), -1))


@folds("Squeeze")
def squeeze(call: Call, x: Constant, *_: Constant) -> Constant:
    given = call.wholes(1, "axes", ()) or [i for i, n in enumerate(x.shape) if n == 1]
    axes = axes_of(call, given, len(x.shape))
    if any(x.shape[axis] != 1 for axis in axes):
        raise UnreadableFile(f"{call.title}: the axes {axes} of {x.shape} are not all 1")
    return x.map(lambda array: np.squeeze(array, axes))


@folds("Unsqueeze")
def unsqueeze(call: Call, x: Constant, *_: Constant) -> Constant:
    given = call.wholes(1, "axes")
    axes = axes_of(call, given, len(x.shape) + len(given))
    return x.map(lambda array: np.expand_dims(array, axes))


@folds("Cast")
def cast(call: Call, x: Constant, *_: Constant) -> Constant | None:
    to = helper.tensor_dtype_to_np_dtype(call.options.whole("to"))
    if to.kind not in "fiub":
        return None
    if isinstance(x, Known) and x.array.dtype == object:  # a size stays a size
        return x if to.kind in "iuf" else None
    return x.map(lambda array: array.astype(to))


@folds("Slice")
def cut(call: Call, x: Constant, *_: Constant) -> Constant | None:
    parts = slices(call, x.shape)
    if any(map(open_end, parts)):
        return None
    if isinstance(x, Filled) or x.is_small or not any(x.shape):
        return x.map(lambda array: array[parts])
    return None


@folds("Split")
def split(call: Call, x: Constant, *_: Constant) -> Sequence[Constant]:
    axis = axis_of(call.options.get("axis", 0), len(x.shape), call.title)
    size = x.shape[axis]
    if not isinstance(size, int):
        raise Unsupported(f"{call.title}: an open size cannot be split")
    found: list[Constant] = []
    start = 0
    for count in parts_of(call, size):
        part = (*(slice(None),) * axis, slice(start, start + count))
        found.append(x.map(lambda array, part=part: array[part]))
        start += count
    return found


@folds("Gather")
def gather(call: Call, x: Constant, ids: Constant) -> Constant | None:
    axis = axis_of(call.options.get("axis", 0), len(x.shape), call.title)
    if isinstance(ids, Filled) or not ids.is_small:
        return None
    places, size = ids.here(), x.shape[axis]
    if places.dtype == object or not isinstance(size, int):
        return None
    if places.size and not -size <= places.min() <= places.max() < size:
        raise UnreadableFile(f"{call.title}: an axis of {size} has not all of its indices")
    if isinstance(x, Known) and (not x.is_small or _large(x.shape, places.size)):
        return None
    if isinstance(x, Filled) and places.ndim > 0:
        return None
    return x.map(lambda array: np.take(array, places, axis))


def _large(shape: Sequence[int], times: int) -> bool:
    return math.prod(shape) * max(times, 1) > MOST


@folds("Concat")
def concat(call: Call, *x: Constant) -> Constant | None:
    axis = axis_of(call.options["axis"], len(x[0].shape), call.title)
    arrays = [one.here() for one in x if isinstance(one, Known) and one.is_small]
    if len(arrays) < len(x) or sum(array.size for array in arrays) > MOST:
        return None
    objects = any(array.dtype == object for array in arrays)
    joined = [array.astype(object) for array in arrays] if objects else arrays
    return Known(tidy(np.concatenate(joined, axis)))


@folds("Expand")
def expand(call: Call, x: Constant, shape: Constant) -> Constant | None:
    wanted: tuple[Size, ...] = tuple(plain(n) for n in call.numbers(1))
    return filled(x, broadcast((x.shape, wanted)))


def filled(x: Constant, shape: Sequence[Size]) -> Constant | None:
    """It, broadcast; of one number where it would be open, or large."""
    numbers = [n for n in shape if isinstance(n, int)]
    if isinstance(x, Known) and len(numbers) == len(shape) and math.prod(numbers) <= MOST:
        return Known(np.broadcast_to(x.here(), numbers))
    if isinstance(x, Filled):
        return Filled(x.number, tuple(shape))
    if math.prod(x.shape) == 1 and x.array.dtype != object:
        return Filled(x.here().reshape(()), tuple(shape))
    return None


@folds("ConstantOfShape")
def constant_of_shape(call: Call, shape: Constant) -> Constant | None:
    number = call.options.get("value", np.zeros(1, np.float32))
    if np.size(number) != 1:
        raise UnreadableFile(f"{call.title}: its value is no single number")
    one = Known(np.asarray(number).reshape(()))
    return filled(one, tuple(plain(n) for n in call.numbers(0)))


@folds("Tile")
def tile(call: Call, x: Constant, repeats: Constant) -> Constant | None:
    times = call.numbers(1)
    if isinstance(x, Filled) or not all(isinstance(n, int) and n >= 0 for n in times):
        return None
    if not x.is_small or _large(x.shape, math.prod(times)):
        return None
    return Known(np.tile(x.here(), times))


@folds("Range")
def arange(call: Call, *x: Constant) -> Constant | None:
    numbers: list[Any] = [call.known(i).here().reshape(()) for i in range(3)]
    start, limit, step = numbers
    if object in (start.dtype, limit.dtype, step.dtype):
        return None
    if step == 0 or not (limit - start) / step <= MOST:
        raise UnreadableFile(f"{call.title}: a range from {start} to {limit} by {step}")
    return Known(np.arange(start, limit, step, dtype=start.dtype))


@folds("Trilu")
def triangle(call: Call, x: Constant, *_: Constant) -> Constant | None:
    if isinstance(x, Filled) or not x.is_small or len(x.shape) < 2:
        return None
    (k,) = call.wholes(1, default=(0,))
    shape = np.triu if call.options.get("upper", 1) else np.tril
    return Known(shape(x.here(), k))
