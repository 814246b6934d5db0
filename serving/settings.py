"""Everything ``cortex-serve`` can be told, each declared once.

A field is an option of the command, an environment variable ``CORTEX_SERVE_FIELD`` and a key of
the file that ``--config`` names. The command line wins over the environment, that over the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import click
from annotated_types import Interval

from ..runtime.errors import UnreadableFile, UsageError

Port: TypeAlias = Annotated[int, Interval(ge=0, le=65535)]
Seconds: TypeAlias = Annotated[float, Interval(ge=0)]


@dataclass(frozen=True, slots=True)
class Settings:
    """What to serve, where, and within which limits. A field's text is its option's help."""

    models: Sequence[str]
    host: Annotated[str, "Address to listen on."] = "127.0.0.1"
    http_port: Annotated[Port, "REST; 0: any."] = 8000
    grpc_port: Annotated[Port, "gRPC; 0: any."] = 8001
    metrics_port: Annotated[Port, "Metrics; 0: any."] = 8002
    drain_seconds: Annotated[
        Seconds, "How long accepted requests may take once the server is told to stop."
    ] = 30.0
    max_message_mb: Annotated[
        int, Interval(ge=1, le=2047), "Largest message, either way, in MiB."
    ] = 256

    @property
    def largest_message(self) -> int:
        """In bytes."""
        return self.max_message_mb << 20


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
        help="A YAML file of these options, such as grpc_port: 9001.",
    )(command)


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
    if get_origin(kind) is Literal:
        return {"type": click.Choice(get_args(kind))}
    if NoneType in get_args(kind):
        (kind,) = set(get_args(kind)) - {NoneType}
    if bounds:
        ranged: Any = click.IntRange if kind is int else click.FloatRange
        return {"type": ranged(min=bounds.ge, max=bounds.le)}
    if kind is bool:
        return {"is_flag": True}
    return {"type": click.Path(path_type=Path) if kind is Path else kind}


def _read_config(context: click.Context, option: Any, path: Path | None) -> None:
    """Makes what the file says the defaults of the options."""
    if path is None:
        return
    known = {each.name for each in fields(Settings)}
    found = _mapping(path)
    if unknown := [key for key in found if key not in known]:
        raise UsageError(f"{path}: no option {unknown[0]!r}; there are {', '.join(sorted(known))}")
    context.default_map = found


def _mapping(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found: Any = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{path}: no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, Mapping):
        raise UnreadableFile(f"{path}: a mapping of options is needed, such as grpc_port: 9001")
    return {str(key): value for key, value in found.items()}
