"""What a layer is, and the table of all of them; each is a value that says what it is to be.

    nn.sequential([nn.input(784), nn.dense(128), nn.relu(), nn.dense(10), nn.softmax()])

A layer follows the one before it, unless ``inputs`` names others. Where the seeds disagree on what
a bare number means, the argument has a name and must be given by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeVar, dataclass_transform

from ..op import Operation
from ..optim.update import Treatment
from ..tensor import Tensor
from .net import Initial, Net

Declared = TypeVar("Declared", bound="type[LayerSpec]")

LAYERS: dict[str, type[LayerSpec]] = {}
"""Every layer by the name that code and specs have for it."""


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """What every layer may be told.

    Attributes:
        name: by default its kind and a number, such as linear-1.
        inputs: the names of the layers it follows; by default the one before it.
        initial: what its parameters begin with, by name: an initialiser or an array.
        shares: the name of a layer like it whose parameters it uses.
        frozen: it does not learn.
        rate_factor: what its learning rate is multiplied by.
        l1, l2: λ of penalties on its weights.
        max_norm: the most the weights of one unit may be long.
    """

    name: str = ""
    inputs: tuple[str, ...] = ()
    initial: Mapping[str, Initial] = field(default_factory=dict[str, Initial])
    shares: str = ""
    frozen: bool = False
    rate_factor: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float | None = None

    kind: ClassVar[str] = ""

    def build(self, net: Net, name: str, *x: str) -> str:
        """Adds the layer, called ``name``, to a network; its value.

        Raises:
            ValueError: it does not fit, said without naming the layer.
        """
        return self.add(net, self.op(*(net.types[value] for value in x)), name, *x)

    def op(self, *x: Tensor) -> Operation:
        """The one operation it is, for inputs of these types."""
        raise NotImplementedError

    def add(
        self,
        net: Net,
        op: Operation,
        name: str,
        *x: str,
        params: Mapping[str, str] | None = None,
    ) -> str:
        """Adds an operation with the layer's own options; ``params`` are those of others it uses.

        A node of a layer that has several is called ``LAYER/part``, and ``part/local`` says what
        its parameter begins with where another part has one of that name.
        """
        treatment = Treatment(None, self.rate_factor, self.l1, self.l2, self.max_norm)
        part = name[len(net.layer) + 1 :]
        initial = {local.removeprefix(f"{part}/"): it for local, it in self.initial.items()}
        if self.shares:
            params = net.shared(self.shares, part)
        return net.add(
            op,
            *x,
            name=name,
            initial=initial,
            params=params,
            treatment=treatment,
            frozen=self.frozen,
        )


Layers = Sequence[LayerSpec | Sequence[Any]]
"""Layers one after another; a list among them is a block, whose layers stand in its place."""


@dataclass_transform(frozen_default=True)
def layer(*kinds: str) -> Callable[[Declared], Declared]:
    """Declares a layer under these names, the first its own.

    Raises:
        ValueError: a name is taken.
    """

    def declare(cls: Declared) -> Declared:
        cls.kind = kinds[0]
        made = dataclass(frozen=True)(cls)
        for kind in kinds:
            if kind in LAYERS:
                raise ValueError(f"layer {kind!r} is declared twice")
            LAYERS[kind] = made
        return made

    return declare


@layer("input")
class Input(LayerSpec):
    """What the network is given: ``size`` numbers, or an image, or a sequence.

    An image is height × width × channels. ``shape`` says it outright; a name in it is an open size.
    """

    size: int | None = None
    height: int | None = field(default=None, kw_only=True)
    width: int | None = field(default=None, kw_only=True)
    channels: int | None = field(default=None, kw_only=True)
    shape: tuple[int | str, ...] = field(default=(), kw_only=True)
    dtype: Literal["float", "int32", "int64", "bool"] = field(default="float", kw_only=True)

    def build(self, net: Net, name: str, *x: str) -> str:
        return net.input(name, Tensor(("N", *self._sizes()), self.dtype))

    def _sizes(self) -> tuple[int | str, ...]:
        if self.shape:
            return tuple(self.shape)
        image = (self.height, self.width, self.channels or 1)
        if self.height is not None and self.width is not None:
            return tuple(n for n in image if n is not None)
        if self.size is None or self.height is not None or self.width is not None:
            raise ValueError("give its size, or its height and width, or its shape")
        return (self.size,)


def options(spec: LayerSpec) -> Mapping[str, Any]:
    """What a layer was told that is not the default, for tables and specs."""
    return {
        at.name: value
        for at in fields(spec)
        if (value := getattr(spec, at.name)) != at.default and value
    }
