"""NumPy that refuses to make an array: what a step of a plan may use."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np

_armed = False


class StrictArray(np.ndarray[Any, Any]):
    """An array on which, once armed, every function must be told where its result goes."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.get("out")
        if _armed and method != "at" and (out is None or any(o is None for o in out)):
            raise AssertionError(f"{ufunc.__name__}.{method} makes a fresh array")
        plain = [_plain(x) for x in inputs]
        if out is not None:
            kwargs["out"] = tuple(_plain(o) for o in out)
        if "where" in kwargs:
            kwargs["where"] = _plain(kwargs["where"])
        result = getattr(ufunc, method)(*plain, **kwargs)
        return out[0] if out is not None and len(out) == 1 else result

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if _armed and func is not np.copyto and kwargs.get("out") is None:
            raise AssertionError(f"{func.__name__} makes a fresh array")
        return super().__array_function__(func, types, args, kwargs)

    def __array_finalize__(self, obj: Any) -> None:
        if _armed and self.base is None:
            raise AssertionError("a fresh array")


def _plain(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, StrictArray) else x


class Strict:
    """numpy, its allocations being ``StrictArray``s."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty(self, *args: Any, **kwargs: Any) -> Any:
        if _armed:
            raise AssertionError("empty makes a fresh array")
        return np.empty(*args, **kwargs).view(StrictArray)

    def zeros(self, *args: Any, **kwargs: Any) -> Any:
        if _armed:
            raise AssertionError("zeros makes a fresh array")
        return np.zeros(*args, **kwargs).view(StrictArray)

    @contextmanager
    def armed(self) -> Generator[None]:
        global _armed
        _armed = True
        try:
            yield
        finally:
            _armed = False
