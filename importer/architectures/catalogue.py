"""What architectures there are, and which of them a file of weights belongs to."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from ...runtime.errors import UsageError
from .fingerprint import Arrays, by_name, by_order

DATA = Path(__file__).with_name("data")
MOST_LAYERS = 5000
"""More than any of these architectures has."""


def names() -> list[str]:
    """The names of all architectures."""
    return list(_index())


def variants(name: str) -> list[str]:
    """The architecture of this name, and those whose names go on from it: ``vgg16_notop``."""
    return [known for known in _index() if f"{known}_".startswith(f"{name}_")]


def architecture(name: str, layers: Arrays | None = None) -> dict[str, Any]:
    """The parsed JSON of an architecture, as ``Model.to_json`` of Keras 2 writes it.

    Args:
        name: one of ``names``; with ``layers`` also the beginning that several have in common.
        layers: the shapes of each layer's arrays: if they are those of one of the ``variants``,
            it is this one.

    Raises:
        UsageError: there is none of this name, or there are several.
    """
    choices = variants(name)
    if not choices:
        near = get_close_matches(name, _index(), n=3)
        hint = f"; close to it are {', '.join(near)}" if near else ""
        raise UsageError(f"--architecture {name}: there is none of this name{hint}")
    fitting = [one for one in _matches(layers) if one in choices] if layers else []
    if len(fitting) == 1:
        name = fitting[0]
    elif name not in choices:
        raise UsageError(f"--architecture {name}: it may be {', '.join(choices)}; name one")
    return _entry(name)["model"]


def arrays(name: str) -> Arrays:
    """The shapes of each layer's arrays, by the layer's name, in the order of a file of weights."""
    return _entry(name)["arrays"]


def recognise(layers: Arrays) -> str | None:
    """The architecture that arrays belong to, if it is certain.

    Names of layers and their shapes decide; if they are those of none, the order of the shapes:
    many layers are named by counting, and the count depends on the program that built them.

    Args:
        layers: the shapes of each layer's arrays, in the order of the file.
    """
    found = _matches(layers)
    return found[0] if len(found) == 1 else None


def _matches(layers: Arrays) -> list[str]:
    if len(layers) > MOST_LAYERS:
        return []
    for key, fingerprint in (("by_name", by_name(layers)), ("by_order", by_order(layers))):
        if found := [name for name, known in _index().items() if known[key] == fingerprint]:
            return found
    return []


@cache
def _index() -> Mapping[str, Mapping[str, str]]:
    return json.loads((DATA / "index.json").read_text("utf-8"))


def _entry(name: str) -> dict[str, Any]:
    """The line of an architecture in the file of its family."""
    family = lzma.decompress((DATA / f"{_index()[name]['family']}.jsonl.xz").read_bytes())
    begin = f'{{"name":"{name}",'.encode()
    return next(json.loads(line) for line in family.splitlines() if line.startswith(begin))
