"""The layers a network is described with; each is a value that says what it is to be.

    nn.sequential([nn.input(784), nn.dense(128), nn.relu(), nn.dense(10), nn.softmax()])

A layer follows the one before it, unless ``inputs`` names others. Where the seeds disagree on what
a bare number means, the argument has a name and must be given by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeVar, dataclass_transform

from .. import ops
from ..op import Operation
from ..optim.update import Treatment
from ..tensor import Tensor
from .net import Initial, Net

Pair = int | tuple[int, int]
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
        frozen: it does not learn.
        rate_factor: what its learning rate is multiplied by.
        l1, l2: λ of penalties on its weights.
        max_norm: the most the weights of one unit may be long.
    """

    name: str = ""
    inputs: tuple[str, ...] = ()
    initial: Mapping[str, Initial] = field(default_factory=dict[str, Initial])
    frozen: bool = False
    rate_factor: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float | None = None

    kind: ClassVar[str] = ""

    def build(self, net: Net, name: str, *x: str) -> str:
        """Adds the layer, called ``name``, to a network; its value."""
        return self.add(net, self.op(*(net.types[value] for value in x)), name, *x)

    def op(self, *x: Tensor) -> Operation:
        """The one operation it is, for inputs of these types."""
        raise NotImplementedError

    def add(self, net: Net, op: Operation, name: str, *x: str) -> str:
        """Adds an operation with the layer's own options."""
        treatment = Treatment(None, self.rate_factor, self.l1, self.l2, self.max_norm)
        return net.add(
            op, *x, name=name, initial=self.initial, treatment=treatment, frozen=self.frozen
        )


@dataclass_transform(frozen_default=True)
def layer(*kinds: str) -> Callable[[Declared], Declared]:
    """Declares a layer under these names, the first its own."""

    def declare(cls: Declared) -> Declared:
        cls.kind = kinds[0]
        made = dataclass(frozen=True)(cls)
        for kind in kinds:
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
            return self.shape
        image = (self.height, self.width, self.channels or 1)
        if self.height is not None and self.width is not None:
            return tuple(n for n in image if n is not None)
        if self.size is None or self.height is not None or self.width is not None:
            raise ValueError("give its size, or its height and width, or its shape")
        return (self.size,)


@layer("linear", "dense", "affine")
class Linear(LayerSpec):
    """y = x @ kernel + bias over all of an example; with ``flatten=False`` over the last axis."""

    units: int
    bias: bool = field(default=True, kw_only=True)
    flatten: bool = field(default=True, kw_only=True)

    def build(self, net: Net, name: str, *x: str) -> str:
        if self.flatten and net.types[x[0]].rank > 2:
            x = (net.add(ops.Flatten(), x[0], name=f"{name}/flat"),)
        return self.add(net, ops.Dense(self.units, self.bias), name, *x)


@layer("convolutional", "convolution", "conv")
class Convolutional(LayerSpec):
    """A convolution of images; ``pad`` is on all sides, "same" what keeps the size."""

    kernel: Pair
    filters: int = field(kw_only=True)
    pad: int | Literal["same"] = field(default=0, kw_only=True)
    stride: Pair = field(default=1, kw_only=True)
    dilation: Pair = field(default=1, kw_only=True)
    groups: int = field(default=1, kw_only=True)
    bias: bool = field(default=True, kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        rank = x[0].rank - 2
        return ops.Convolution(
            self.filters,
            per_axis(self.kernel, rank),
            per_axis(self.stride, rank),
            padding(self.pad, rank),
            per_axis(self.dilation, rank),
            self.groups,
            self.bias,
        )


@layer("transposed_convolutional", "deconvolution", "deconv")
class TransposedConvolutional(LayerSpec):
    """The transpose of a convolution; ``pad`` is what is cut off on all sides."""

    kernel: Pair
    filters: int = field(kw_only=True)
    pad: int | Literal["same"] = field(default=0, kw_only=True)
    stride: Pair = field(default=1, kw_only=True)
    bias: bool = field(default=True, kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        rank = x[0].rank - 2
        return ops.TransposedConvolution(
            self.filters,
            per_axis(self.kernel, rank),
            per_axis(self.stride, rank),
            padding(self.pad, rank),
            use_bias=self.bias,
        )


@layer("max_pooling")
class MaxPooling(LayerSpec):
    """The largest of windows, which follow each other unless ``stride`` says otherwise."""

    size: Pair
    stride: Pair | None = field(default=None, kw_only=True)
    pad: int | Literal["same"] = field(default=0, kw_only=True)

    pooling: ClassVar[Any] = ops.MaxPooling

    def op(self, *x: Tensor) -> Operation:
        rank = x[0].rank - 2
        stride = per_axis(self.stride, rank) if self.stride is not None else ()
        return self.pooling(per_axis(self.size, rank), stride, padding(self.pad, rank))


@layer("average_pooling")
class AveragePooling(MaxPooling):
    """The mean of windows, without what is padded."""

    pooling: ClassVar[Any] = ops.AveragePooling


@layer("dropout")
class Dropout(LayerSpec):
    """Sets a part of its input to zero while training, and scales up the rest.

    Give ``rate``, the part that is dropped, or ``keep``, the part that is not.
    """

    rate: float | None = field(default=None, kw_only=True)
    keep: float | None = field(default=None, kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        if (self.rate is None) == (self.keep is None):
            raise ValueError("give either rate, the part dropped, or keep, the part kept")
        rate = self.rate if self.rate is not None else 1 - (self.keep or 0.0)
        if not 0 <= rate < 1:
            raise ValueError(f"a part of {rate} cannot be dropped")
        return ops.Dropout(rate)


@layer("batch_normalization")
class BatchNormalization(LayerSpec):
    """Normalises each channel, or with ``per_element`` each element, over the batch.

    ``keep_factor`` is the weight of the old moving average.
    """

    per_element: bool = field(default=False, kw_only=True)
    keep_factor: float = field(default=0.9, kw_only=True)
    epsilon: float = field(default=1e-4, kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        axes = tuple(range(1, x[0].rank)) if self.per_element else (-1,)
        return ops.BatchNormalization(axes, self.epsilon, self.keep_factor)


@layer("flatten")
class Flatten(LayerSpec):
    """All of an example as one axis."""

    def op(self, *x: Tensor) -> Operation:
        return ops.Flatten()


@layer("softmax")
class Softmax(LayerSpec):
    """Probabilities over the last axis."""

    def op(self, *x: Tensor) -> Operation:
        return ops.Softmax()


@layer("prelu")
class Prelu(LayerSpec):
    """x above zero, and a slope that is learnt, one a channel, times x below."""

    def op(self, *x: Tensor) -> Operation:
        return ops.Prelu(tuple(range(1, x[0].rank - 1)))


@layer("join")
class Join(LayerSpec):
    """The sum or the product of its inputs."""

    operation: Literal["+", "*"] = "+"

    def op(self, *x: Tensor) -> Operation:
        return ops.Add() if self.operation == "+" else ops.Multiply()


@layer("concatenate")
class Concatenate(LayerSpec):
    """Its inputs one after the other along the last axis."""

    def op(self, *x: Tensor) -> Operation:
        return ops.Concatenate()


@layer("embedding", "lookup_table")
class Embedding(LayerSpec):
    """A vector for each id."""

    vocabulary: int = field(kw_only=True)
    units: int = field(kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        return ops.Embedding(self.vocabulary, self.units)


def _activation(kind: str, op: Operation, *others: str) -> None:
    """Declares a layer without options."""

    def made(self: LayerSpec, *x: Tensor) -> Operation:
        return op

    members = {"__doc__": type(op).__doc__, "op": made, "__module__": __name__}
    layer(kind, *others)(type(kind.title().replace("_", ""), (LayerSpec,), members))


for _kind, _op, *_others in (
    ("relu", ops.Relu()),
    ("logistic", ops.Sigmoid(), "sigmoid"),
    ("tanh", ops.Tanh()),
    ("swish", ops.Silu(), "silu"),
    ("selu", ops.Selu()),
    ("elu", ops.Elu()),
    ("gelu", ops.Gelu()),
    ("mish", ops.Mish()),
    ("softplus", ops.Softplus()),
):
    _activation(_kind, _op, *_others)


def per_axis(size: Pair, rank: int) -> tuple[int, ...]:
    """A size for each axis."""
    sizes = (size,) * rank if isinstance(size, int) else tuple(size)
    if len(sizes) != rank:
        raise ValueError(f"{size} has not a size for each of {rank} axes")
    return sizes


def padding(pad: int | Literal["same"], rank: int) -> Any:
    """As the operations have it."""
    if pad == "same":
        return "same"
    return ((pad, pad),) * rank if pad else "valid"


def options(spec: LayerSpec) -> Mapping[str, Any]:
    """What a layer was told that is not the default, for tables and specs."""
    return {
        at.name: value
        for at in fields(spec)
        if (value := getattr(spec, at.name)) != at.default and value
    }
