"""What a user says that layers compute whose code Cortex does not have, or will not run.

A mapping (YAML) has an entry for a layer's name, a class, or a function's name: an expression, or
a class of Keras with its options.

    lambda_1: x ** 2
    AttentionWeightedAverage: sum(x * softmax(x @ attention_W, axis=1), axis=1)
    preprocess: {class: Rescaling, scale: 0.00392156862745098}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ....runtime.errors import CortexError, Unsupported, UsageError
from ..builder import Value
from ..containers.yaml_text import parse_yaml
from ..layer import CONVERTERS, Converter, Layer, Result, keras
from .activations import ACTIVATIONS, activation_name
from .expressions import Expression, alike

KNOWN: Mapping[str, str] = {
    "gelu_approximate": "gelu(approximate=True)",
    "gelu_new": "gelu(approximate=True)",
    "h_sigmoid": "relu6(x + 3) / 6",
    "h_swish": "x * relu6(x + 3) / 6",
    "hard_swish": "x * relu6(x + 3) / 6",
    "hsigmoid": "relu6(x + 3) / 6",
    "hswish": "x * relu6(x + 3) / 6",
    "identity": "identity",
    "l2_norm": "l2_normalize(axis=-1)",
    "l2_normalization": "l2_normalize(axis=-1)",
    "l2_normalize": "l2_normalize(axis=-1)",
    "l2norm": "l2_normalize(axis=-1)",
    "relu_6": "relu6",
    "squash": "x * sqrt(sum(x**2, axis=-1, keepdims=True) + 1e-7)"
    " / (1 + sum(x**2, axis=-1, keepdims=True))",
    **{name: name for name in ACTIVATIONS if name not in ("hard_sigmoid", "hard_swish")},
}
"""Functions that mean the same wherever they are met under these names."""


class Described(Protocol):
    """A layer as far as a mapping knows it."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def config(self) -> Any: ...


@dataclass(frozen=True)
class Substitutes:
    """A mapping that was read: a converter for each of its keys."""

    path: str = ""
    converters: Mapping[str, Converter] = field(default_factory=dict[str, Converter])

    @classmethod
    def read(cls, path: Path) -> Substitutes:
        """Reads and checks a mapping.

        Raises:
            UsageError: it cannot be read, or an entry means nothing; it names the entry.
        """
        try:
            entries: Any = parse_yaml(path.read_text("utf-8"), str(path))
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        except (CortexError, UnicodeDecodeError) as error:
            raise UsageError(str(error)) from None
        if not isinstance(entries, dict):
            raise UsageError(f"{path}: a mapping has lines like 'lambda_1: x * 2'")
        found: dict[str, Converter] = {}
        for key, entry in entries.items():
            try:
                found[key] = _converter(f"{path}: {key!r}", entry)
            except UsageError as error:
                raise UsageError(f"{path}: {key!r}: {error}") from None
        return cls(str(path), found)

    def find(self, layer: Described) -> Converter | None:
        """What stands for a layer: the entry of its name, else its class, else its function."""
        for name in _names(layer):
            if name in self.converters:
                return self.converters[name]
        return None

    def activation(self, name: Any) -> Converter | None:
        """What stands for a function of this name."""
        return next((self.converters[n] for n in _spellings(name) if n in self.converters), None)

    def check(self, layers: Iterable[Described]) -> None:
        """Whether every entry has something to stand for.

        Raises:
            UsageError: one has not.
        """
        if not self.converters:
            return
        there = {name for layer in layers for name in (*_names(layer), *_strings(layer.config))}
        for key in self.converters:
            if key not in there:
                raise UsageError(
                    f"{self.path}: {key!r} is no layer, class or function of the model"
                    f"{alike(key, there)}"
                )


NOTHING = Substitutes()


def _names(layer: Described) -> Iterator[str]:
    yield layer.name
    yield from _spellings(layer.key)
    yield from _spellings(layer.kind)
    yield from _spellings(function_name(layer))


def _spellings(name: Any) -> Iterator[str]:
    """A registered name, "package>name", and the name alone."""
    if isinstance(name, str):
        yield name
        yield name.rpartition(">")[2]


def _strings(config: Any) -> Iterator[str]:
    """All strings in a layer's options: the names of functions among them."""
    if isinstance(config, str):
        yield from _spellings(config)
    elif isinstance(config, dict | list):
        for value in config.values() if isinstance(config, dict) else config:
            yield from _strings(value)


def function_name(layer: Described) -> str | None:
    """The name of the function that a layer is made of, as far as it is written as a name.

    A function of Keras 2 is code ("lambda") but for a few that are names; that of Keras 3 is an
    object that has a name, or code.
    """
    config = layer.config if isinstance(layer.config, dict) else {}
    given: Any = config.get("function")
    if isinstance(given, dict):
        given = activation_name(given) if given.get("class_name") != "__lambda__" else None
    if layer.kind == "Lambda" and config.get("function_type", "function") != "function":
        return None
    return given if isinstance(given, str) else None


def _converter(where: str, entry: Any) -> Converter:
    """The converter of an entry."""
    if isinstance(entry, int | float) and not isinstance(entry, bool):
        entry = str(entry)
    options: Any = {"expression": entry} if isinstance(entry, str) else entry
    if not isinstance(options, dict) or len({"class", "expression"} & options.keys()) != 1:
        raise UsageError("it is neither an expression nor an object with a 'class'")
    if "class" in options:
        return _class(where, dict(options))
    options = dict(options)
    text, masks = options.pop("expression"), options.pop("masks", False)
    if options or not isinstance(text, str) or not isinstance(masks, bool):
        raise UsageError("an expression has no options but 'masks', true or false")
    return _expression(where, text, masks)


def _expression(where: str, text: str, masks: bool = False) -> Converter:
    expression = Expression.parse(text)

    def convert(layer: Layer, *inputs: Value) -> Result:
        layer.read_all()
        with Blaming(where, layer):
            return expression.apply(layer, inputs)

    return Converter(convert, masks=masks, structured=False)


def _class(where: str, options: dict[str, Any]) -> Converter:
    """Another class: the layer's own options, and those given over them."""
    kind, ignored = options.pop("class"), options.pop("ignore", [])
    if kind not in CONVERTERS:
        raise UsageError(f"there is no class {kind!r}{alike(str(kind), CONVERTERS)}")
    if not isinstance(ignored, list):
        raise UsageError("'ignore' is a list of options")

    def convert(layer: Layer, *args: Any, **more: Any) -> Any:
        layer.read_all()
        own = {k: v for k, v in layer.config.items() if k not in (*ignored, *LAMBDA)}
        with Blaming(where, layer):
            return layer.instead(kind, {**own, **options}).convert_by(
                CONVERTERS[kind], *args, **more
            )

    return Converter(convert, masks=False, structured=True)


LAMBDA = ("arguments", "function", "function_type", "module", "output_shape", "output_shape_type",
          "output_shape_module")  # fmt: skip
"""The options of a Lambda, which mean nothing to another class."""


class Blaming:
    """Errors inside it name the entry of the mapping, too."""

    def __init__(self, where: str, layer: Layer) -> None:
        self._where, self._layer = where, layer

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, CortexError | TypeError | ValueError | IndexError):
            title = "" if self._layer.title in str(error) else f"{self._layer.title}: "
            raise UsageError(f"{self._where}: {title}{error}") from None


@keras("Lambda")
def known_function(layer: Layer, *inputs: Value) -> Result:
    """A function that everybody means the same by; no other, since it is code."""
    name = function_name(layer)
    expression = next((KNOWN[n] for n in _spellings(name) if n in KNOWN), None)
    if expression is None:
        raise Unsupported(refusal([layer]))
    layer.read_all()
    axis = (layer.config.get("arguments") or {}).get("axis")
    if isinstance(axis, int) and expression.startswith("l2_normalize"):
        expression = f"l2_normalize(axis={axis})"
    elif layer.config.get("arguments"):
        raise layer.refuse("arguments", layer.config["arguments"])
    return Expression.parse(expression).apply(layer, inputs)


def is_known(layer: Described) -> bool:
    """Whether a layer can be converted without a mapping."""
    if layer.kind != "Lambda":
        return layer.key in CONVERTERS
    return any(name in KNOWN for name in _spellings(function_name(layer)))


def refusal(unknown: Sequence[Described]) -> str:
    """What is wrong with layers that nobody knows, and the way out."""
    first: dict[str, Described] = {}
    for layer in unknown:
        first.setdefault(layer.name if layer.kind == "Lambda" else layer.key, layer)
    named = ", ".join(map(_described, first.values()))
    one = next(iter(first.values()))
    example = function_name(one) or (one.name if one.kind == "Lambda" else one.key)
    return (
        f"no converter for the Keras layers {named}; code in a file is never run: say what they "
        f"compute by --substitute FILE.yaml, with a line like '{example}: x * 2' for each"
    )


def _described(layer: Described) -> str:
    name = function_name(layer) if layer.kind == "Lambda" else None
    return f"{layer.key} ({layer.name!r}{f', function {name!r}' if name else ''})"
