"""The YAML of neon's two generations, as plain values.

The first builds Python objects by their names, ``!obj:layers.FCLayer {nout: 10}``. Here that is a
mapping {type: layers.FCLayer, config: {nout: 10}}, as the second generation writes it; nothing is
imported, and only names of neon's own modules are taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ...runtime.errors import UnreadableFile
from ...runtime.files import regular
from ...runtime.spec.document import EXPONENT, parse
from .plain import DEEPEST, bounded

LARGEST = 100_000  # bytes; the largest of neon's own examples has 18,437
MODULES = frozenset({
    "backends", "datasets", "diagnostics", "experiments", "layers", "metrics", "models",
    "optimizers", "params", "transforms",
})  # fmt: skip
DTYPES = frozenset(("numpy.float16", "numpy.float32", "numpy.float64"))
MERGE = "tag:yaml.org,2002:merge"


def read_yaml(path: Path) -> Any:
    """The value of a description of neon: objects are {type, config}, ``!hyperopt`` is a ``Range``.

    Raises:
        UnreadableFile: it is not YAML, or names what is none of neon's.
    """
    if regular(path).stat().st_size > LARGEST:
        raise UnreadableFile(f"{path}: more than {LARGEST:,} bytes are no description of neon")
    try:
        return bounded(yaml.load(path.read_bytes(), _Loader), path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}:" if mark else ""
        raise UnreadableFile(f"{path}:{line} {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path}: not YAML: {str(error).splitlines()[0]}") from None


class _Loader(yaml.SafeLoader):
    """Plain values and the tags of neon.

    A key may stand twice, as in neon's own examples, where the first only carries an anchor.
    """

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuses what is nested deeper than any network, before Python's own limit does."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.constructor.ConstructorError(
                None, None, f"values more than {DEEPEST} deep", self.peek_event().start_mark
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuses merging: it can double a mapping on every line, and neon has no use of it."""
        for key, _ in node.value:
            if key.tag == MERGE:
                raise _problem("merge keys (<<) are not supported", key)


def _problem(message: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, message, node.start_mark)


def _object(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    short = name.removeprefix("neon.")
    module = short.partition(".")[0]
    if module not in MODULES or not isinstance(node, yaml.MappingNode):
        raise _problem(f"!obj:{name} is no object of neon: refused", node)
    return {"type": f"neon.{short}", "config": loader.construct_mapping(node, deep=True)}


def _import(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> str:
    name = name or str(node.value)
    if name.replace("np.", "numpy.") not in DTYPES:
        raise _problem(f"!import {name} is no dtype: refused", node)
    return name


def _imported(loader: yaml.SafeLoader, node: yaml.Node) -> str:
    return _import(loader, "", node)


def _range(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if not isinstance(node, yaml.ScalarNode):
        raise _problem("write '!hyperopt NAME FLOAT LOW HIGH', or INT", node)
    return parse(f"!hyperopt {node.value}", f"line {node.start_mark.line + 1}")


def _float(loader: yaml.SafeLoader, node: yaml.Node) -> float:
    return float(str(node.value))


_Loader.add_multi_constructor("!obj:", _object)
_Loader.add_multi_constructor("!import:", _import)
_Loader.add_constructor("!import", _imported)
_Loader.add_constructor("!hyperopt", _range)
_Loader.add_constructor("!float", _float)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789."))
