"""Dataclasses in tables as pydantic types: ``{type: NAME, …}``, checked, becomes the value itself.

A table such as ``nn.LAYERS`` is all there is to declare: whatever joins it can be said in a spec.
A name alone, ``relu``, is ``{type: relu}``.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
    model_validator,
)
from pydantic import Field as Options
from pydantic_core import PydanticCustomError

UNKNOWN = "unknown_option"
"""The type of the error for an option that is not there; its context has the ``option``."""


class Strict(BaseModel):
    """Refuses options that it does not know, and says what they could be."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            for key in value:
                if key not in cls.model_fields:
                    facts = {"option": str(key), "known": list(cls.model_fields)}
                    raise PydanticCustomError(UNKNOWN, "no such option", facts)
        return value


class Form(Strict):
    """What is said of one thing from a table."""

    makes: ClassVar[Callable[..., Any]]
    fields: ClassVar[Mapping[str, str]]
    """Those of the thing by their name here, which ends in no _ that keeps it from a keyword."""

    def made(self) -> Any:
        """The thing itself."""
        return self.makes(**{theirs: getattr(self, ours) for ours, theirs in self.fields.items()})


def named(
    table: Mapping[str, type[Any]],
    instead: Mapping[Any, Any] | None = None,
    by_field: Mapping[str, Any] | None = None,
    optional: Mapping[str, Any] | None = None,
) -> Any:
    """The type of a value of one of the table's dataclasses.

    Args:
        table: by name; one class may have several.
        instead: what stands for a type in the fields of the classes.
        by_field: what stands for the type of fields of that name.
        optional: what fields of that name are where nothing is said.
    """
    names: dict[type[Any], list[str]] = {}
    for name, thing in table.items():
        names.setdefault(thing, []).append(name)
    rules = _Rules(instead or {}, by_field or {}, optional or {})
    forms = tuple(_form(thing, kinds, rules) for thing, kinds in names.items())
    union: Any = Annotated[Union[forms], Options(discriminator="type")]  # noqa: UP007  of a tuple
    alone: Any = Literal[tuple(table)]
    things = tuple(names)

    def made(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, things):
            return value
        return check({"type": value} if isinstance(value, str) else value).made()

    return Annotated[union, WrapValidator(made, json_schema_input_type=alone | union)]


@dataclass(frozen=True)
class _Rules:
    instead: Mapping[Any, Any]
    by_field: Mapping[str, Any]
    optional: Mapping[str, Any]


def _form(made: type[Any], kinds: list[str], rules: _Rules) -> type[Form]:
    hints = typing.get_type_hints(made)
    members: dict[str, Any] = {"type": (Literal[tuple(kinds)], ...)}
    names: dict[str, str] = {}
    for at in fields(made):
        if at.name == "type" or not at.init:
            continue
        name = at.name.rstrip("_")
        names[name] = at.name
        annotation = rules.by_field.get(name) or _replaced(hints[at.name], rules.instead)
        members[name] = (annotation, rules.optional.get(name, _default(at)))
    form = create_model(made.__name__, __base__=Form, __doc__=made.__doc__, **members)
    form.makes, form.fields = made, names
    return form


def _default(at: Field[Any]) -> Any:
    if at.default is not MISSING:
        return at.default
    return Options(default_factory=at.default_factory) if at.default_factory is not MISSING else ...


def _replaced(annotation: Any, instead: Mapping[Any, Any]) -> Any:
    """The annotation with what stands for each type in it."""
    if annotation in instead:
        return instead[annotation]
    origin: Any
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal or not arguments:
        return annotation
    if origin in (Union, types.UnionType):
        return Union[tuple(_replaced(each, instead) for each in arguments)]  # noqa: UP007
    if any(isinstance(each, list) for each in arguments):  # the arguments of a Callable
        return annotation
    return origin[tuple(_replaced(each, instead) for each in arguments)]
