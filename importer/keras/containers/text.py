"""The text of an architecture: JSON or YAML of a stranger, bounded before it is parsed."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ....runtime.errors import UnreadableFile
from ....runtime.hdf5.limits import LARGEST_TEXT
from .yaml_text import parse_yaml

DEEPEST = 200
MOST_VALUES = 10_000_000
MOST_WRAPPINGS = 3
LONGEST_WORDS = 100  # characters of what is found in the place of an architecture
MODELS_OF_KERAS_0 = ("Sequential", "Graph")

# Possessive, and content with a string that does not end: no text makes these slow.
TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def parse_architecture(text: str, where: str) -> Mapping[str, Any]:
    """The architecture of a model: an object with ``class_name`` and ``config``.

    That of Keras 0 has ``name`` and ``layers`` in their place. It may be JSON, YAML, JSON in a
    string of JSON, or one of the values of an object.

    Raises:
        UnreadableFile: it is none of these, too large, or too deep; or YAML that makes objects.
    """
    value = _parse(text, where)
    found = _model(value, where, MOST_WRAPPINGS)
    if found is None:
        raise UnreadableFile(
            f"{where}: it is no architecture of Keras, which is an object with 'class_name' and "
            f"'config': found {_told(value)}"
        )
    return found


def _told(value: Any) -> str:
    """What a text holds, in a few words."""
    match value:
        case dict():
            keys = ", ".join(map(repr, value)) or "nothing"
            return f"one with {textwrap.shorten(keys, LONGEST_WORDS)}"
        case list():
            return "a list"
        case str():
            return "text"
        case _:
            return "no object"


def _model(value: Any, where: str, wrappings: int) -> Mapping[str, Any] | None:
    if wrappings and isinstance(value, str) and "class_name" in value:
        return _model(_parse(value, where), where, wrappings - 1)
    if not isinstance(value, dict):
        return None
    if {"class_name", "config"} <= value.keys() or value.get("name") in MODELS_OF_KERAS_0:
        return value
    if not wrappings:
        return None
    models = {key: _model(each, where, wrappings - 1) for key, each in value.items()}
    found = {key: model for key, model in models.items() if model is not None}
    if len(found) > 1:
        raise UnreadableFile(
            f"{where}: it holds more than one model: {', '.join(map(repr, found))}"
        )
    return next(iter(found.values()), None)


def _parse(text: str, where: str) -> Any:
    if text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[", '"'):
        return parse_json(text, where)
    return parse_yaml(text, where)


def parse_json(text: str, where: str) -> Any:
    """JSON, with NaN and infinities, which Python writes.

    Raises:
        UnreadableFile: it is not, it is too large or too deep, or it has a key twice.
    """
    problem = f"{where}: it is no JSON"
    if len(text) > LARGEST_TEXT or sum(map(text.count, "[{,:")) > MOST_VALUES:
        raise UnreadableFile(f"{problem} of reasonable size")
    if _depth(text) > DEEPEST:
        raise UnreadableFile(f"{problem} that is read: it is more than {DEEPEST} levels deep")
    try:
        found = json.loads(text.lstrip("\ufeff"), object_pairs_hook=_unique)
    except ValueError as error:
        raise UnreadableFile(f"{problem}: {error}") from None
    for string in _strings(found) if "\\u" in text else ():
        if HALF_CHARACTER.search(string):
            raise UnreadableFile(f"{problem}: {string!r} holds half a character")
    return found


def _depth(text: str) -> int:
    """How deep the brackets are, those in strings aside."""
    depth = deepest = 0
    for token in TOKENS.finditer(text):
        first = token[0][0]
        depth += (first in "[{") - (first in "]}")
        deepest = max(deepest, depth)
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; readers differ in which of two values of one key counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} is there twice")
    return found


def _strings(data: Any) -> Iterator[str]:
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
