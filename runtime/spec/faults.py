"""What pydantic found wrong in a spec, as one line that begins with the place."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .forms import UNKNOWN

if TYPE_CHECKING:
    from pydantic import ValidationError

MISSING = "missing"
MEANT = ("value_error", UNKNOWN, MISSING)
"""What only a member of a union says that fits but for a detail."""
UNTOLD = {"no_type": "union_tag_not_found", "tag": "union_tag_invalid"}


def fault(error: ValidationError, document: Any) -> str:
    """The first thing that is wrong: ``network.3.filters: …``."""
    found: list[Mapping[str, Any]] = [*error.errors()]
    told = [(*_told(each, document), each["type"]) for each in found]
    where = told[0][0]
    # Of a union every member says what it misses: the one that got furthest into it was meant.
    same = [each for each in told if _within(each[0], where) or _within(where, each[0])]
    if isinstance(found[0]["input"], (Mapping, list)):
        where, what, _ = max(same, key=lambda each: (each[0].count("."), each[2] in MEANT))
    else:
        where, what, _ = told[0]
    more = len({place for place, *_ in told} - {place for place, *_ in same})
    return f"{where}: {what}{f' (and {more} more)' if more else ''}".removeprefix(": ")


def _told(error: Mapping[str, Any], document: Any) -> tuple[str, str]:
    kind, facts = error["type"], error.get("ctx", {})
    path = _place(error["loc"], document, absent=kind == MISSING)
    if kind == UNKNOWN:
        return _joined([*path, facts["option"]]), _no_such(
            "option", facts["option"], facts["known"]
        )
    if kind == UNTOLD["tag"]:
        known = [tag.strip(" '") for tag in facts["expected_tags"].split(",")]
        key = ["type"] if isinstance(_at(document, path), Mapping) else []
        return _joined([*path, *key]), _no_such("type", facts["tag"], known)
    if kind == UNTOLD["no_type"]:
        return _joined(path), "say what it is: type is missing"
    if kind == MISSING:
        return _joined(path), "is missing"
    message = error["msg"].removeprefix("Value error, ")
    found = error["input"]
    plain = isinstance(found, (str, int, float)) and kind != "value_error"
    return _joined(path), f"{message[:1].lower()}{message[1:]}" + (f", not {found!r}" * plain)


def _no_such(what: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"no such {what}: {name!r}; did you mean {close[0]!r}?"
    return f"no such {what}: {name!r}; there are {', '.join(sorted(known))}"


def _place(loc: Sequence[str | int], document: Any, absent: bool) -> list[str]:
    """The parts of pydantic's path that are in the document: not the names of forms and unions."""
    path: list[str] = []
    here = document
    for index, part in enumerate(loc):
        if _has(here, part):
            here = here[part]
        elif not (absent and index == len(loc) - 1):
            continue
        path.append(str(part))
    return path


def _has(here: Any, part: str | int) -> bool:
    if isinstance(here, list):
        return isinstance(part, int) and part < len(here)  # type: ignore[reportUnknownArgumentType]
    return isinstance(here, Mapping) and part in here


def _at(document: Any, path: Sequence[str]) -> Any:
    for part in path:
        document = document[int(part) if isinstance(document, list) else part]
    return document


def _within(place: str, whole: str) -> bool:
    return f"{place}.".startswith(f"{whole}.")


def _joined(path: Sequence[str]) -> str:
    return ".".join(path)
