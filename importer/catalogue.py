"""What can be read: the layers of every format that have a converter, each with its options.

The options are taken from the converters themselves, whose source is searched for what they ask of
their layer: so the list cannot be out of date.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

READS = ("get", "either", "given", "number", "whole")
LAYERS = ("layer", "cell", "inner", "node", "settings", "param", "call")
"""What converters call the layer that they read."""

Layers = Mapping[str, Sequence[str]]
"""The options of each layer, by name."""


def formats() -> dict[str, Layers]:
    """The layers of each format, by what people call it."""
    from .caffe.catalogue import layers as caffe
    from .keras.catalogue import layers as keras
    from .neon.catalogue import layers as neon
    from .nippy.catalogue import layers as nippy
    from .onnx.catalogue import layers as onnx

    return {
        "Keras": keras(),
        "thinktopic/cortex": nippy(),
        "neon": neon(),
        "Caffe": caffe(),
        "ONNX": onnx(),
    }


def as_text() -> str:
    """A heading for each format, and a line for each of its layers."""
    return "\n\n".join(f"{title}\n{_lines(layers)}" for title, layers in formats().items())


def _lines(layers: Layers) -> str:
    width = max(map(len, layers))
    lines = (f"  {name:{width}}  {', '.join(options)}" for name, options in layers.items())
    return "\n".join(line.rstrip() for line in lines)


def options_of(convert: Callable[..., Any]) -> tuple[str, ...]:
    """The options that a converter reads of its layer, or has others read; sorted."""
    return tuple(sorted(set(_options(convert, set()))))


def _options(function: Callable[..., Any], seen: set[Any]) -> Iterator[str]:
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
            case ast.Subscript(value=asked, slice=ast.Constant(value=str(option))) if _is_layer(
                asked
            ):
                yield option
            case ast.Call(func=ast.Attribute(value=asked, attr=method), args=args) if (
                _is_layer(asked) and method in READS
            ):
                yield from _texts(args if method == "either" else args[:1])
            case ast.Call(func=ast.Name(id=name), args=args) if _is_ours(known.get(name)):
                yield from _texts(args[1:2])
                yield from _options(known[name], seen)
            case _:
                pass


def _is_layer(asked: ast.expr) -> bool:
    """Whether it is a layer, or ``.options`` of one."""
    match asked:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id=name), attr="options"):
            return name in LAYERS
        case _:
            return False


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
