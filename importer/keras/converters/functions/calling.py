"""Functions called by name, with options of which none may be lost."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from .....runtime.errors import Unsupported
from ...layer import INERT, NEUTRAL, Layer
from .operand import FUNCTIONS, shown

NAMES = ("name", "validate_indices", "use_cudnn_on_gpu", "synchronized", "flash_attention")
"""Options that change nothing that is computed."""

NOTHING: Mapping[str, tuple[Any, ...]] = {
    **NEUTRAL,
    "adjoint_a": (False,),
    "adjoint_b": (False,),
    "a_is_sparse": (False,),
    "b_is_sparse": (False,),
    "conjugate": (False,),
    "data_format": ("NHWC", "NWC", "NDHWC", *NEUTRAL["data_format"]),
    "optimize": ("greedy",),
}
"""Options that change nothing at these values, or at None."""


@cache
def parameters(name: str) -> tuple[tuple[str, ...], bool]:
    """The options of a function by name, and whether it takes others, too."""
    found = list(inspect.signature(FUNCTIONS[name]).parameters.values())[1:]
    free = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in found)
    return tuple(p.name for p in found), free


def call(layer: Layer, name: str, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """What a function makes of operands and options.

    Raises:
        Unsupported: it does not know an option that may mean something.
    """
    known, free = parameters(name)
    given: dict[str, Any] = {}
    for option, value in options.items():
        if option in known:
            given[option] = value
        elif _is_nothing(option, value):
            continue
        elif free:
            given[option] = value
        else:
            raise Unsupported(
                f"{layer.title}: it sets {option}={shown(value)!r}, which would be lost"
            )
    return FUNCTIONS[name](layer, *args, **given)


def _is_nothing(option: str, value: Any) -> bool:
    if option in NAMES or option in INERT or value is None:
        return True
    return any(value is known or value == known for known in NOTHING.get(option, ()))


def unmasked(result: Any) -> Any:
    """Results of an operation, which hands no mask on."""
    if isinstance(result, tuple | list):
        return tuple(unmasked(one) for one in result)
    return result.masked(None) if hasattr(result, "masked") else result
