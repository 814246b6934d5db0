"""The few things that a pickle of neon may name, each described instead of made."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..deferred import Array, Deferred
from .opcodes import Stored, in_bytes

MOST_AXES = 8
DTYPE = re.compile(r"[<>=|]?[fiub]\d{1,2}")


@dataclass
class Described:
    """What a program is building: ``value`` is none as long as it is not built."""

    what: str
    value: Any = None


@dataclass(frozen=True)
class Named:
    """What a program has named and not called yet."""

    name: str


def fill(into: Any, pairs: Iterable[tuple[Any, Any]]) -> Any:
    """The dict with these items; a key is no tuple, whose hash may take for ever."""
    for key, value in pairs:
        if not isinstance(key, str | int | float | None):
            raise ValueError(f"a key is a {type(key).__name__}")
        into[key] = value
    return into


def array(state: tuple[Any, ...]) -> Deferred:
    """The array of the state (version, shape, dtype, columns first, bytes)."""
    *_, shape, dtype, fortran, data = state
    if not isinstance(dtype, Described) or not isinstance(dtype.value, np.dtype):
        raise ValueError("an array without a dtype")
    sizes: tuple[Any, ...] = shape
    if len(sizes) > MOST_AXES or not all(isinstance(n, int) and n >= 0 for n in sizes):
        raise ValueError("an array of no shape")
    if isinstance(data, str):
        data = data.encode("latin-1")
    count = data.count if isinstance(data, Stored) else len(data)
    kind: np.dtype[Any] = dtype.value
    if math.prod(sizes) * kind.itemsize != count:
        raise ValueError(f"an array of the shape {shape!r} and dtype {kind} has {count:,} bytes")
    order = "F" if fortran else "C"

    def read() -> Array:
        raw = data.read() if isinstance(data, Stored) else in_bytes(data)
        return raw.view(kind).reshape(sizes, order=order)

    return Deferred("", sizes, kind, read)


def _dtype(name: Any, *_: Any) -> Described:
    if name in ("O8", "O4", "O"):
        raise ValueError("an array of Python objects, which may be anything: refused as unsafe")
    if not isinstance(name, str) or not DTYPE.fullmatch(name):
        raise ValueError("a dtype that is none of numbers")
    return Described("dtype", np.dtype(name))


def set_order(dtype: Described, state: tuple[Any, ...]) -> None:
    """Gives a dtype the order of its bytes, from its state."""
    _, order, *rest = state
    if any(each is not None for each in rest[:3]) or order not in ("<", ">", "=", "|"):
        raise ValueError("a dtype of several fields")
    dtype.value = dtype.value.newbyteorder("<" if order == "=" else order)


def _scalar(dtype: Any, data: Any) -> Any:
    (number,) = array(((1,), dtype, False, data)).read().tolist()
    return number


def _encoded(text: Any, encoding: Any = "latin1") -> Any:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError("a text in another encoding than latin1")
    return text.encoded() if isinstance(text, Stored) else text.encode("latin-1")


def _empty_array(*_: Any) -> Described:
    return Described("array")


def _same(items: Any = ()) -> Any:
    return items


def _no_bytes() -> bytes:
    return b""


def _as_dict(pairs: Any = ()) -> Any:
    return fill({}, pairs)


_MULTIARRAY = {
    f"{module} {name}": make
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name, make in (("_reconstruct", _empty_array), ("scalar", _scalar))
}
_BUILTINS = {
    f"{module} {name}": make
    for module in ("__builtin__", "builtins")
    for name, make in (
        ("set", _same),
        ("list", _same),
        ("tuple", _same),
        ("dict", _as_dict),
        ("bytearray", _same),
        ("bytes", _no_bytes),
    )
}
KNOWN: Mapping[str, Callable[..., Any] | None] = {
    **_MULTIARRAY,
    **_BUILTINS,
    "numpy ndarray": None,
    "numpy dtype": _dtype,
    "_codecs encode": _encoded,
    "collections OrderedDict": _as_dict,
}
"""What a pickle may name, as its GLOBAL says it, and what calling it gives here."""
