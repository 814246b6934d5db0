"""What a file of neon describes, whatever its form and generation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...runtime.errors import UnreadableFile
from ..deferred import Deferred

NAME = re.compile(r"\w{1,100}")
INPUT = "input"
"""What the only input is called."""
MOST_LAYERS = 10_000
CONTAINERS = ("MergeSum", "MergeBroadcast", "Tree", "SingleOutputTree", "Sequential")
OF_BATCH_NORM = ("beta", "gamma", "gmean", "gvar")
"""The arrays that neon 1.0 stored in a list."""
NOT_OPTIONS = frozenset(("type", "config", "params", "states", "container"))


@dataclass(frozen=True)
class Thing:
    """Something with options: an activation, an initializer, a cost, an optimizer."""

    kind: str
    options: Mapping[str, Any]

    @classmethod
    def of(cls, stored: Any, where: str) -> Thing:
        """Of a name, of {type, config}, or of {type, OPTION: …}.

        Raises:
            UnreadableFile: it is none of the three.
        """
        if isinstance(stored, str):
            return cls(_short(stored, where), {})
        if not isinstance(stored, dict) or not isinstance(stored.get("type"), str):
            raise UnreadableFile(f"{where} is not a name, nor {{type, config}}")
        facts: dict[str, Any] = stored
        return cls(_short(facts["type"], where), _options(facts, where))


@dataclass(frozen=True)
class Entry:
    """A layer: an elementary one, or a container of branches.

    ``stored`` is what files of neon 0.9 call the layer that it is a part of.
    """

    kind: str
    name: str
    options: Mapping[str, Any]
    arrays: Mapping[str, Deferred] = field(default_factory=dict[str, Deferred])
    branches: tuple[tuple[Entry, ...], ...] = ()
    stored: str = ""

    @property
    def title(self) -> str:
        """How an error names it."""
        return f"neon {self.kind} {self.name!r}"


@dataclass(frozen=True)
class Description:
    """A network of neon.

    Attributes:
        path: the file.
        version: the generation of the file.
        layers: in order.
        input_shape: of one example: (features,), (features, steps) or (channels, height, width);
            none where the file leaves it to a dataset.
        caffe: whether windows are counted, and dropout is scaled, as Caffe does.
        facts: what is said of training: ``cost``, ``optimizer``, ``epochs``, ``batch_size``,
            ``dataset``.
        notes: what was concluded.
    """

    path: Path
    version: str
    layers: tuple[Entry, ...]
    input_shape: tuple[int, ...] | None = None
    caffe: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    notes: tuple[str, ...] = ()


def in_order(layers: Sequence[Entry]) -> Iterator[Entry]:
    """Every layer, and those in branches before what joins them."""
    for entry in layers:
        for branch in entry.branches:
            yield from in_order(branch)
        yield entry


class Names:
    """The names that neon gives layers which have none: the class, and a number."""

    def __init__(self) -> None:
        self._counts, self._again, self._given = Counter[str](), Counter[str](), set[str]()

    def of(self, kind: str, name: Any) -> str:
        """The layer's own name, or one for it; a second layer of a name gets a number."""
        if not isinstance(name, str) or not name:
            name = f"{kind}_{self._counts[kind]}"
        if kind == "BranchNode":  # a second one is the same
            return name
        self._counts[kind] += 1
        free = name
        while free in self._given:
            self._again[name] += 1
            free = f"{name}-{self._again[name] + 1}"
        self._given.add(free)
        if len(self._given) > MOST_LAYERS:
            raise UnreadableFile(f"more than {MOST_LAYERS:,} layers: refused")
        return free


def entries(layers: Any, path: Path, names: Names) -> tuple[Entry, ...]:
    """The layers of a list of {type, config, params}, compound ones in their parts.

    Raises:
        UnreadableFile: it is no such list.
    """
    if not isinstance(layers, list | tuple) or not layers:
        raise UnreadableFile(f"{path}: its layers are not a list of layers")
    items: Sequence[Any] = layers
    return tuple(entry for item in items for entry in _entries(item, path, names))


def _entries(stored: Any, path: Path, names: Names) -> Iterator[Entry]:
    if isinstance(stored, list):  # a list within the list follows in its place
        yield from entries(stored, path, names)
        return
    where = f"{path}: a layer"
    thing = Thing.of(stored, where)
    options = dict(thing.options)
    if thing.kind in COMPOUND:
        yield from _compound(thing, path, names)
        return
    branches = _branches(thing.kind, options.pop("layers", None), path, names)
    name = names.of(thing.kind, options.pop("name", None))
    if thing.kind == "Sequential":
        yield from (entry for branch in branches for entry in branch)
        return
    arrays = arrays_of(stored.get("params"), f"{path}: layer {name!r}")
    yield Entry(thing.kind, name, options, arrays, branches)


def _branches(kind: str, parts: Any, path: Path, names: Names) -> tuple[tuple[Entry, ...], ...]:
    if kind not in CONTAINERS:
        return ()
    if not isinstance(parts, list | tuple) or not parts:
        raise UnreadableFile(f"{path}: a {kind} without layers")
    items: Sequence[Any] = parts
    if kind == "Sequential":
        return (entries(items, path, names),)
    return tuple(
        entries(branch if isinstance(branch, list) else [branch], path, names) for branch in items
    )


def arrays_of(params: Any, where: str) -> dict[str, Deferred]:
    """The arrays of a layer, by name.

    Raises:
        UnreadableFile: they are no arrays.
    """
    if isinstance(params, Deferred):  # neon 1.0 stored the weights by themselves
        params = {"W": params}
    if isinstance(params, list) and len(params) == len(OF_BATCH_NORM):
        items: list[Any] = params
        params = dict(zip(OF_BATCH_NORM, items, strict=True))
    found: Mapping[str, Any] = params if isinstance(params, dict) else {}
    if params is not None and not isinstance(params, dict):
        raise UnreadableFile(f"{where}: its params are no arrays")
    arrays = {name: each for name, each in found.items() if name != "name"}
    if wrong := [name for name, each in arrays.items() if not isinstance(each, Deferred)]:
        raise UnreadableFile(f"{where}: its parameter {wrong[0]!r} is no array")
    return arrays


def _short(name: str, where: str) -> str:
    """The class, without the modules of neon that it is in."""
    *modules, short = name.split(".")
    if (modules and modules[0] != "neon") or not NAME.fullmatch(short):
        raise UnreadableFile(f"{where} is a {name[:100]!r}, which is not of neon: refused")
    return short


def _options(stored: Mapping[str, Any], where: str) -> dict[str, Any]:
    config = stored.get("config")
    if config is not None and not isinstance(config, dict):
        raise UnreadableFile(f"{where}: its config is no mapping")
    beside = {key: value for key, value in stored.items() if key not in NOT_OPTIONS}
    within: Mapping[str, Any] = config or {}
    return beside | {str(key): value for key, value in within.items()}


COMPOUND: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "Affine": ("Linear", "linear_name", ("nout",)),
    "Conv": ("Convolution", "conv_name", ("fshape", "strides", "padding", "dilation")),
    "Deconv": ("Deconvolution", "conv_name", ("fshape", "strides", "padding", "dilation")),
}
"""Macro layers: the layer that each begins with, what its name is called, and its options."""


def _compound(thing: Thing, path: Path, names: Names) -> Iterator[Entry]:
    """A macro layer in its parts, as ``CompoundLayer`` of neon makes them."""
    kind, called, own = COMPOUND[thing.kind]
    options = dict(thing.options)
    name = names.of(kind, options.pop("name", None) or options.pop(called, None))
    first = {key: options.pop(key) for key in (*own, "init", "parallelism") if key in options}
    bias, norm = options.pop("bias", None), options.pop("batch_norm", False)
    activation = options.pop("activation", None)
    told = {part: options.pop(f"{part}_name", None) for part in ("bias", "act", "bn")}
    yield Entry(kind, name, first | options)
    if bias is not None and norm:
        raise UnreadableFile(f"{path}: layer {name!r}: batch_norm and bias cannot be combined")
    if bias is not None:
        yield Entry("Bias", names.of("Bias", told["bias"] or f"{name}_bias"), {"init": bias})
    if norm:
        yield Entry("BatchNorm", names.of("BatchNorm", told["bn"] or f"{name}_bnorm"), {})
    if activation is not None:
        which = Thing.of(activation, f"{path}: layer {name!r}: its activation")
        full = names.of("Activation", told["act"] or f"{name}_{which.kind}")
        yield Entry("Activation", full, {"transform": activation})
