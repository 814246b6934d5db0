"""A spec as plain values: YAML, with ranges to search, and what ``--set`` changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from ..errors import UnreadableFile, UsageError
from ..files import LARGEST_TEXT, regular

EXPONENT = re.compile(r"^[-+]?[0-9]*\.?[0-9]*[eE][-+]?[0-9]+$")
"""Floats as YAML 1.2 has them; PyYAML takes 1e-4 for a text."""


BOOL = "tag:yaml.org,2002:bool"


@dataclass(frozen=True)
class Range:
    """What ``!hyperopt NAME KIND …`` says: a value that a search is to find.

    Attributes:
        name: of the parameter in the study.
        kind: FLOAT and INT lie between two ``values``, CHOICE is one of them.
        log: whether a number is looked for evenly on a logarithmic scale.
    """

    name: str
    kind: Literal["FLOAT", "INT", "CHOICE"]
    values: tuple[Any, ...]
    log: bool = False


def read(path: Path) -> dict[str, Any]:
    """The mapping that a file holds.

    Raises:
        UsageError: there is no such file.
        UnreadableFile: it is not YAML, or no mapping; the message has the line.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    if regular(path).stat().st_size > LARGEST_TEXT:
        raise UnreadableFile(f"{path}: more than {LARGEST_TEXT} bytes are no spec")
    text = path.read_bytes()
    found = parse(text, str(path))
    if not isinstance(found, dict):
        raise UnreadableFile(f"{path}: a spec is a mapping, such as 'network: […]'")
    return found


def parse(text: str | bytes, where: str) -> Any:
    """The value of a YAML text; ``where`` begins the messages.

    Raises:
        UnreadableFile: it is not YAML.
    """
    try:
        found = yaml.load(text, _Loader)
        ranges(found)  # an anchor within itself has no end
        return found
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise UnreadableFile(f"{where}:{line} {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnreadableFile(f"{where}: not YAML: {str(error).splitlines()[0]}") from None


def overridden(document: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The document with every ``PATH=VALUE`` put in; a value is YAML.

    Raises:
        UsageError: no such place; the message has the path.
    """
    found: dict[str, Any] = dict(document)
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals or not path:
            raise UsageError(f"--set {setting}: write it as PATH=VALUE, such as optimizer.rate=0.1")
        found = _put(found, path.split("."), parse(value, f"--set {path}"), path)
    return found


def ranges(value: Any, path: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], Range]:
    """What a search is to find, by its place in the document."""
    if isinstance(value, Range):
        return {path: value}
    children: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    return {at: it for key, child in children for at, it in ranges(child, (*path, key)).items()}


def replaced(value: Any, choose: Callable[[Range], Any]) -> Any:
    """The document with a chosen value in the place of each range."""
    if isinstance(value, Range):
        return choose(value)
    if isinstance(value, Mapping):
        return {key: replaced(child, choose) for key, child in value.items()}
    if isinstance(value, list):
        return [replaced(child, choose) for child in value]
    return value


def _put(into: Any, keys: Sequence[str], value: Any, path: str) -> Any:
    """A copy with the value at the place; YAML's anchors may share what is copied."""
    if not keys:
        return value
    key, *rest = keys
    if isinstance(into, list):
        if not key.isdigit() or int(key) >= len(into):
            raise UsageError(f"--set {path}: there is no {key!r} among {len(into)} items")
        place = int(key)
        return [*into[:place], _put(into[place], rest, value, path), *into[place + 1 :]]
    if isinstance(into, str):  # as a name alone may stand for what is called that
        into = {"type": into}
    if into is not None and not isinstance(into, Mapping):
        raise UsageError(f"--set {path}: before {key!r} stands {into!r}, which has no parts")
    inner = dict(into or {})
    inner[key] = _put(inner.get(key), rest, value, path)
    return inner


class _Loader(yaml.SafeLoader):
    """Plain values and ``!hyperopt``; a key that stands twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set[Any]()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands twice in one mapping", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _range(loader: yaml.SafeLoader, node: yaml.Node) -> Range:
    words = str(node.value).split() if isinstance(node, yaml.ScalarNode) else []
    try:
        name, kind, *values = words
        log = values[-1:] == ["LOG"]
        return _RANGES[kind](name, values[: len(values) - log], log)
    except (ValueError, KeyError):
        raise yaml.constructor.ConstructorError(
            None,
            None,
            "write '!hyperopt NAME FLOAT LOW HIGH [LOG]', '… INT LOW HIGH [LOG]' or "
            f"'… CHOICE A B …', not {' '.join(words)!r}",
            node.start_mark,
        ) from None


def _numbers(kind: Literal["FLOAT", "INT"], number: type) -> Callable[..., Range]:
    def make(name: str, values: Sequence[str], log: bool) -> Range:
        low, high = (number(value) for value in values)
        if not low < high or (log and low <= 0):
            raise ValueError
        return Range(name, kind, (low, high), log)

    return make


def _choice(name: str, values: Sequence[str], log: bool) -> Range:
    if not values or log:
        raise ValueError
    return Range(name, "CHOICE", tuple(yaml.load(value, _Loader) for value in values))


_RANGES: Mapping[str, Callable[[str, Sequence[str], bool], Range]] = {
    "FLOAT": _numbers("FLOAT", float),
    "INT": _numbers("INT", int),
    "CHOICE": _choice,
}
_Loader.add_constructor("!hyperopt", _range)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789."))
for _first in "yYnNoO":  # YAML 1.2 knows only true and false; a loss is "on" something
    _resolvers = _Loader.yaml_implicit_resolvers
    _resolvers[_first] = [each for each in _resolvers.get(_first, []) if each[0] != BOOL]
