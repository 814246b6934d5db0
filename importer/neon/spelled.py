"""Layers of neon in the words of a cortex-train spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...runtime.errors import Unsupported
from ..options import Options
from ..registry import Registry
from .build import with_bias
from .description import INPUT, Entry, Thing, in_order
from .layer import INERT

Parts = Iterator[dict[str, Any]]
Spelling = Callable[["Spelled", Entry, Options], Parts]

spells = Registry[str, Spelling]("neon")
"""What gives the layers of a spec that take the place of one, by its class."""


@dataclass
class Spelled:
    """Layers in the words of a spec; ``rank`` is that of an example where they have come to."""

    where: str
    caffe: bool
    rank: int = 1
    notes: list[str] = field(default_factory=list[str])
    made: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """A layer of each class."""
    last: str = INPUT

    def input(self, shape: Sequence[int], layers: Sequence[Entry]) -> dict[str, Any]:
        """The input layer; the features of a step, or the channels, last."""
        self.rank = len(shape)
        if layers[0].kind == "LookupTable":
            return {"type": "input", "name": INPUT, "shape": [shape[0]], "dtype": "int32"}
        if len(shape) == 1:
            return {"type": "input", "name": INPUT, "size": shape[0]}
        return {"type": "input", "name": INPUT, "shape": [*shape[1:], shape[0]]}

    def check(self, layers: Sequence[Entry]) -> None:
        """Raises Unsupported, with the names of all layers that no spec has."""
        unknown = {entry.kind for entry in in_order(layers)} - spells.keys()
        if unknown:
            told = ", ".join(sorted(unknown))
            raise Unsupported(f"{self.where}: cortex-train has no such layers: {told}")

    def chain(self, layers: Sequence[Entry]) -> list[Any]:
        """Layers one after the other."""
        return [made for entry, bias in with_bias(layers) for made in self.layer(entry, bias)]

    def layer(self, entry: Entry, bias: Entry | None) -> list[Any]:
        """One layer, with the Bias that follows it."""
        options = Options(f"{self.where}: {entry.title}", entry.options)
        found = list(spells[entry.kind](self, entry, options))
        options.ignore(*INERT)
        options.finish()
        if found and bias:
            begin = found[0].get("initial", {}) | self.initial(bias, "bias")
            found[0] |= {"bias": True, "initial": begin}
        return [self.named(made, entry, last=made is found[-1]) for made in found]

    def named(self, made: dict[str, Any], entry: Entry, *, last: bool) -> dict[str, Any]:
        """A layer with its name: neon's for the last of those that take the place of one."""
        if "name" in made:  # of a branch
            return made
        name = entry.name if last else f"{entry.name}.first"
        made = {"type": made.pop("type"), "name": name, **made}
        self.last, self.made[entry.kind] = name, made
        return {key: value for key, value in made.items() if value != {}}

    def initial(self, entry: Entry, parameter: str, option: str = "init") -> dict[str, Any]:
        """What a parameter begins with; noted if a spec cannot say it, or not all of it."""
        stored = entry.options.get(option)
        if stored is None:
            return {}
        thing = Thing.of(stored, f"{self.where}: {entry.title}: {option}")
        told = Options(f"{self.where}: {entry.title}: {option} {thing.kind}", thing.options)
        if thing.kind not in INITIALIZERS:
            self.notes.append(
                f"the {parameter} of {entry.name!r} begins as usual, not by {thing.kind}"
            )
            return {}
        found = INITIALIZERS[thing.kind](told)
        told.ignore("name", "local")
        if left := told.unread():
            self.notes.append(
                f"the {parameter} of {entry.name!r} begins without the {left[0]} given"
            )
        return {parameter: found}


INITIALIZERS: Mapping[str, Callable[[Options], Any]] = {
    "Gaussian": lambda told: {
        "type": "normal",
        "deviation": told.number("scale", 1.0),
        "mean": told.number("loc", 0.0),
    },
    "Uniform": lambda told: {
        "type": "uniform",
        "low": told.number("low", 0.0),
        "high": told.number("high", 1.0),
    },
    "Constant": lambda told: {"type": "constant", "value": told.number("val", 0.0)},
    "GlorotUniform": lambda _: "glorot_uniform",
    "Xavier": lambda _: "xavier_uniform",
    "Kaiming": lambda _: "he",
    "Orthonormal": lambda _: "orthogonal",
    "IdentityInit": lambda _: "identity",
}
