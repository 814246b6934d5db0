"""What can be read: every Keras class that has a converter, with the options the converter reads.

The list is taken from the converters themselves, whose source is searched for what they ask of
their layer: so it cannot be out of date.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from . import build as build  # registers the converters
from .layer import CONVERTERS

READS = ("get", "either", "given")
LAYERS = ("layer", "cell", "inner")
"""What converters call the layer that they read."""
OPERATIONS = "ops."


def layers() -> dict[str, tuple[str, ...]]:
    """The options of each class, by name; classes and options are sorted."""
    return {
        kind: tuple(sorted(set(_options(CONVERTERS[kind].convert, set()))))
        for kind in sorted(CONVERTERS)
    }


def as_text() -> str:
    """A line for each class."""
    found = layers()
    width = max(map(len, found))
    return "\n".join(f"{kind:{width}}  {', '.join(found[kind])}".rstrip() for kind in found)


PAGE = """\
# Keras layers that are read

Printed by `make docs` from the converters themselves. Options that matter in training alone
(initializers, regularizers, constraints, `trainable`, …) may stand in a file and are not listed;
any other option is refused by its name. `cortex-import --list-layers` prints the same.

| Layer | Options |
| --- | --- |
{rows}

Operations of `keras.ops` as nodes of a model: {operations}.

What a `TFOpLambda`, a `TensorFlowOpLayer` and an expression of a mapping may call are the functions
that [keras-extending.md](keras-extending.md) lists.
"""


def as_markdown() -> str:
    """A page with a table of the layers, then the operations by name."""
    found = layers()
    rows = [
        f"| {kind} | {', '.join(f'`{option}`' for option in options) or '–'} |"
        for kind, options in found.items()
        if not kind.startswith(OPERATIONS)
    ]
    names = [kind.removeprefix(OPERATIONS) for kind in found if kind.startswith(OPERATIONS)]
    return PAGE.format(rows="\n".join(rows), operations=", ".join(names))


def _options(function: Callable[..., Any], seen: set[Any]) -> Iterator[str]:
    """The options that a function reads of the layer it is given, or has others read."""
    if function in seen:
        return
    seen.add(function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError):  # no function of ours
        return
    known = getattr(function, "__globals__", {})
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(option))) if (
                name in LAYERS
            ):
                yield option
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method), args=args) if (
                name in LAYERS and method in READS
            ):
                yield from _texts(args if method == "either" else args[:1])
            case ast.Call(func=ast.Name(id=name), args=args) if _is_ours(known.get(name)):
                yield from _texts(args[1:2])
                yield from _options(known[name], seen)
            case _:
                pass


def _texts(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _is_ours(function: Any) -> bool:
    """Whether it is a function of the importer that takes a layer first."""
    module = getattr(function, "__module__", "") or ""
    if not inspect.isfunction(function) or not module.startswith(__package__ or "?"):
        return False
    return next(iter(inspect.signature(function).parameters), "") in LAYERS


if __name__ == "__main__":
    print(as_markdown(), end="")
