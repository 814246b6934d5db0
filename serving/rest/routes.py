"""What a route is: where it is found, what it takes and gives, and who may call it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from ..security.areas import Area

Endpoint: TypeAlias = Callable[[Any, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One route, declared in one place: the server and its OpenAPI document are made of these.

    Attributes:
        path: as Triton has it, what it names in braces.
        endpoint: the method that answers; its docstring is the summary.
        gives, takes: the JSON of the answer, and of the request's body if there is one.
        area: what it is for, and so who may call it.
        also: the same path with a version.
        switches: parameters of the query; each is true or false.
        probe: whether its status, 200 or 503, already is the answer.
        binary: whether binary data may follow the JSON, either way.
    """

    method: Literal["GET", "POST"]
    path: str
    endpoint: Endpoint
    gives: type[BaseModel]
    area: Area = Area.DATA
    takes: type[BaseModel] | None = None
    also: str = ""
    switches: Sequence[str] = ()
    probe: bool = False
    binary: bool = False

    @property
    def paths(self) -> Sequence[str]:
        """Where it is found."""
        return [self.path, self.also] if self.also else [self.path]

    @property
    def summary(self) -> str:
        """What it does."""
        return " ".join((self.endpoint.__doc__ or "").split())
