"""Values of a file that shares them, a pickle or YAML, bounded as if it did not.

A few lines can name the same value twice on each of a hundred levels: whoever walks over it, or
prints it, comes to no end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.errors import UnreadableFile
from ...runtime.spec.document import Range
from ..deferred import Deferred
from .described import Described
from .opcodes import Stored

DEEPEST = 64
LARGEST = 200_000
"""How many values there may be, where one that stands in many places counts as many times."""


@dataclass(frozen=True)
class _Measured:
    """A value without descriptions, how many it counts as, and how deep it is."""

    value: Any
    size: int = 1
    height: int = 0


def bounded(value: Any, path: Path) -> Any:
    """The value without what describes its arrays.

    Raises:
        UnreadableFile: it is too large, too deep, or within itself.
        ValueError: it holds something that no network is made of.
    """
    made: dict[int, tuple[_Measured, Any]] = {}

    def measured(value: Any, depth: int) -> _Measured:
        if not isinstance(value, dict | list | tuple):
            return _single(value)
        if id(value) not in made:
            found = together(value, depth + 1)
            if found.height > DEEPEST or found.size > LARGEST:
                raise UnreadableFile(
                    f"{path}: it has values more than {DEEPEST} deep, or more than "
                    f"{LARGEST:,} of them: refused"
                )
            # The value is kept, too: its id is another's when it is gone.
            made[id(value)] = found, value
        return made[id(value)][0]

    def together(value: Any, depth: int) -> _Measured:
        if depth > DEEPEST:
            raise UnreadableFile(f"{path}: it has values more than {DEEPEST} deep: refused")
        named: Mapping[Any, Any] = value if isinstance(value, dict) else dict(enumerate(value))
        parts = {key: measured(each, depth) for key, each in named.items()}
        plain: Any = {key: part.value for key, part in parts.items()}
        if not isinstance(value, dict):
            plain = type(value)(plain.values())
        keys = sum(len(key) // 16 for key in parts if isinstance(key, str))
        size = 1 + keys + sum(part.size for part in parts.values())
        return _Measured(plain, size, 1 + max((part.height for part in parts.values()), default=0))

    return measured(value, 0).value


def _single(value: Any) -> _Measured:
    """A value that has no parts.

    Raises:
        ValueError: it is none that a network is made of.
    """
    if isinstance(value, Described):
        if not isinstance(value.value, Deferred):
            raise ValueError(f"a {value.what} by itself")
        return _Measured(value.value)
    if isinstance(value, str | bytes):
        return _Measured(value, 1 + len(value) // 16)
    if isinstance(value, Stored):
        raise ValueError(f"a text of {value.length:,} bytes")
    if value is not None and not isinstance(value, bool | int | float | Range):
        raise ValueError("something that is no value")
    return _Measured(value)
