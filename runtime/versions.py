"""Which of a model's versions are served: all, the newest few, or those that are named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class Latest(BaseModel):
    """The newest ``latest`` versions of those that pass their checks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latest: Annotated[int, Field(ge=1)]


def _kind(found: Any) -> str | None:
    """Which form a policy has: pydantic would report what is wrong with each of them."""
    if found == "all":
        return "all"
    if isinstance(found, (dict, Latest)):
        return "latest"
    return "list" if isinstance(found, (list, tuple)) and found else None


VersionPolicy: TypeAlias = Annotated[
    Annotated[Literal["all"], Tag("all")]
    | Annotated[Latest, Tag("latest")]
    | Annotated[tuple[Annotated[int, Field(ge=1)], ...], Tag("list")],
    Discriminator(
        _kind,
        custom_error_type="version_policy",
        custom_error_message='use "all", {"latest": 2} or a list of versions such as [1, 3]',
    ),
]


def candidates(policy: VersionPolicy, there: Iterable[int]) -> Sequence[int]:
    """The versions that a policy asks for, newest first; those that are named need not be there.

    Where the newest few are wanted the older ones follow them: they stand in for a version that
    does not pass its check.
    """
    named = policy if isinstance(policy, tuple) else there
    return sorted(set(named), reverse=True)
