"""What is told of a version in the repository's index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["READY", "LOADING", "UNAVAILABLE", "UNLOADING"]


@dataclass(frozen=True, slots=True)
class ModelState:
    """One version of one model; ``version`` is empty where none of it is loaded."""

    name: str
    version: str
    state: State
    reason: str = ""
