"""The fields of ``Settings`` as options of a command, and as keys of the file of ``--config``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
from annotated_types import Interval
from click.core import ParameterSource

from ..runtime.errors import UnreadableFile, UsageError
from .settings import Settings

TEXTS = (str, int, float)
"""What YAML makes of one value that is neither true nor false."""
FROM_FILE = (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command an option for each field of ``Settings`` that has a default."""
    hints = get_type_hints(Settings, include_extras=True)
    for each in reversed(fields(Settings)):
        if each.default is not MISSING:
            command = _option(each, hints[each.name])(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,
        callback=_read_config,
        help="A YAML file of these options, such as grpc_port: 9001; SIGHUP reads it again.",
    )(command)


def reread(context: click.Context) -> Settings:
    """The settings that the command would start with now.

    ``context`` is that of the command as it was started: what its command line and its environment
    said stands, the rest is read from the file of ``--config`` again.

    Raises:
        UsageError: the file has an unknown option or a wrong value.
        UnreadableFile: it is no YAML.
    """
    _read_config(context, None, context.params["config"])
    known = {each.name for each in fields(Settings)}
    given = {name: value for name, value in context.params.items() if name in known}
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in known and context.get_parameter_source(name) in FROM_FILE:
            given[name] = parameter.type_cast_value(context, parameter.get_default(context))
    return Settings(**given)


def _option(at: Field[Any], hint: Any) -> Callable[[Any], Any]:
    kind, *told = get_args(hint)
    bounds = next((each for each in told if isinstance(each, Interval)), None)
    return click.option(
        f"--{at.name.replace('_', '-')}",
        default=at.default,
        show_default=at.default not in (None, "", (), False),
        help=next(each for each in told if isinstance(each, str)),
        **_kind(kind, bounds),
    )


def _kind(kind: Any, bounds: Interval | None) -> dict[str, Any]:
    """How click reads a value."""
    if get_origin(kind) is tuple:
        return {**_kind(get_args(kind)[0], bounds), "multiple": True}
    if NoneType in get_args(kind):
        (kind,) = set(get_args(kind)) - {NoneType}
    if get_origin(kind) is Literal:
        return {"type": click.Choice(get_args(kind))}
    if bounds:
        ranged: Any = click.IntRange if kind is int else click.FloatRange
        return {"type": ranged(min=bounds.ge, max=bounds.le)}
    if kind is bool:
        return {"is_flag": True}
    return {"type": click.Path(path_type=Path) if kind is Path else kind}


def _read_config(context: click.Context, option: Any, path: Path | None) -> Path | None:
    """Makes what the file says the defaults of the options."""
    if path is not None:
        parameters = {each.name: each for each in context.command.params}
        known = sorted(each.name for each in fields(Settings) if each.name in parameters)
        found = _mapping(path)
        if unknown := [key for key in found if key not in known]:
            raise UsageError(f"{path}: no option {unknown[0]!r}; there are {', '.join(known)}")
        context.default_map = {
            key: _value(context, parameters[key], value, f"{path}: {key}")
            for key, value in found.items()
        }
    return path


def _value(context: click.Context, parameter: click.Parameter, value: Any, where: str) -> Any:
    """A value of the file as its option takes it; ``where`` names both in errors.

    It is read as the command line would: YAML's own idea of it may lose what int() drops.
    """
    if parameter.multiple or parameter.nargs != 1:
        several: list[Any] = value if isinstance(value, list) else [value]
        return [_single(context, parameter, each, where) for each in several]
    return _single(context, parameter, value, where)


def _single(context: click.Context, parameter: click.Parameter, value: Any, where: str) -> Any:
    if value is None:
        raise UsageError(f"{where}: it has no value; leave the line out for the default")
    if isinstance(parameter, click.Option) and parameter.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{where}: true or false is needed, found {value!r}")
        return value
    if isinstance(value, bool) or not isinstance(value, TEXTS):
        raise UsageError(f"{where}: a text or a number is needed, found {value!r}")
    try:
        return parameter.type.convert(str(value), parameter, context)
    except click.UsageError as error:
        raise UsageError(f"{where}: {error.message.rstrip('.')}") from None


def _mapping(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text()
        found: Any = yaml.safe_load(text)
        pairs: Any = yaml.compose(text, yaml.SafeLoader)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path}: no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, Mapping):
        raise UnreadableFile(f"{path}: a mapping of options is needed, such as grpc_port: 9001")
    keys = [key.value for key, _ in pairs.value]
    if twice := [key for key in keys if keys.count(key) > 1]:  # YAML would let the last one win
        raise UsageError(f"{path}: {twice[0]} is there more than once")
    return {str(key): value for key, value in found.items()}
