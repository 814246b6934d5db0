"""YAML of a stranger: plain data only, whatever its tags say."""

from __future__ import annotations

from typing import Any

import yaml

from ....runtime.errors import UnreadableFile
from . import yaml_numpy

LARGEST_YAML = 2 << 20  # bytes: the parser is in Python
DEEPEST = 100
MOST_VALUES = 200_000  # with every alias written out

STANDARD = "tag:yaml.org,2002:"
ALIKE = {
    "python/tuple": "seq",
    "python/unicode": "str",
    "python/str": "str",
    "python/int": "int",
    "python/long": "int",
    "python/float": "float",
    "python/bool": "bool",
    "python/none": "null",
    "python/list": "seq",
    "python/dict": "map",
}
"""The tags PyYAML writes for plain values of Python, and what they are in YAML."""
PLAIN = {"seq", "map", "str", "int", "float", "bool", "null"}
READ = frozenset({*ALIKE, *PLAIN, *yaml_numpy.CONSTRUCTORS, "!"})


def parse_yaml(text: str, where: str) -> Any:
    """The values of a document: mappings with strings as keys, lists, and scalars as JSON has them.

    Numbers and arrays of NumPy are numbers and lists of them.

    Raises:
        UnreadableFile: it is no YAML, or too large, or holds any other kind of object.
    """
    problem = f"{where}: it is no YAML"
    if len(text) > LARGEST_YAML:
        raise UnreadableFile(f"{problem} of reasonable size")
    try:
        _check_events(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise UnreadableFile(f"{problem}: {_said(error)}") from None
    except (ValueError, TypeError, LookupError) as error:
        raise UnreadableFile(f"{problem}: {' '.join(str(error).split())}") from None


def _said(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f" in line {mark.line + 1}" if mark else ""
    return f"{' '.join(str(getattr(error, 'problem', None) or error).split())}{line}"


class _Loader(yaml.SafeLoader):
    """Makes what JSON can say, and nothing else."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge keys ("<<") are not in any architecture."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, if its keys are strings and each is there once."""
        found = super().construct_mapping(node, deep=deep)
        if len(found) < len(node.value) or not all(isinstance(key, str) for key in found):
            raise ValueError("a mapping has a key twice, or one that is no string")
        return found


for _tag, _plain in {**ALIKE, "timestamp": "str"}.items():
    _Loader.add_constructor(
        f"{STANDARD}{_tag}", yaml.SafeLoader.yaml_constructors[f"{STANDARD}{_plain}"]
    )

yaml_numpy.register(_Loader, STANDARD)


def _check_events(text: str) -> None:
    """Reads the document without making anything, which takes no recursion.

    Raises:
        ValueError: too deep, too large with its aliases written out, or with a tag that is no data.
    """
    sizes: dict[str, int] = {}  # of what an alias can stand for
    inside: list[tuple[str | None, int]] = [(None, 0)]  # the anchor and size of each collection
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        _check_tag(getattr(event, "tag", None))
        if isinstance(event, yaml.CollectionStartEvent):
            inside.append((event.anchor, 1))
            if len(inside) > DEEPEST:
                raise ValueError(f"it is more than {DEEPEST} levels deep")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = inside.pop()
        elif isinstance(event, yaml.AliasEvent):
            anchor, size = None, sizes.get(event.anchor, 0)
            if not size:
                raise ValueError(f"the alias {event.anchor!r} names nothing complete")
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1
        else:
            continue
        if anchor is not None:
            sizes[anchor] = size
        outer, total = inside[-1]
        inside[-1] = outer, total + size
        if total + size > MOST_VALUES:
            raise ValueError(f"it has more than {MOST_VALUES:,} values, its aliases written out")


def _check_tag(tag: str | None) -> None:
    name = (tag or f"{STANDARD}str").removeprefix(STANDARD)
    if name not in READ:
        raise ValueError(f"the tag {name!r} makes an object, which is refused as unsafe")
