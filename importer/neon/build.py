"""The network that a description of neon becomes, once its layers have their weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ...runtime import ops
from ...runtime.errors import UnreadableFile, Unsupported
from ...runtime.network import Network
from ...runtime.tensor import Size, Tensor
from ..builder import Builder, Value, channels_first
from ..deferred import Deferred
from . import activations as activations  # registers its converters, as the next three do
from . import connected as connected
from . import recurrent as recurrent
from . import spatial as spatial
from .description import CONTAINERS, INPUT, Description, Entry, in_order
from .layer import INERT, Layer, neon

FOLDED = ("Linear", "Convolution", "Deconvolution")
"""Layers that compute the Bias which follows them."""
OF_KNOWN_LENGTH = ("Reshape", "MergeBroadcast")
"""Layers that have to know how many steps there are."""


def build(description: Description) -> Network:
    """The network; every layer can be asked for by its name.

    Raises:
        UnreadableFile: it does not say what its input is, or its parts do not fit together.
        Unsupported: a layer that Cortex cannot compute; all of them are named.
    """
    known = neon.keys() | set(CONTAINERS)
    layers = list(in_order(description.layers))
    if unknown := sorted({entry.kind for entry in layers} - known):
        raise Unsupported(f"{description.path}: no converter for the layers {', '.join(unknown)}")
    network = _Network(description)
    builder = network.builder
    ends = network.chain(description.layers, network.input(checked_input(description)))
    outputs = {name: builder.plain(network.shown(value), name) for name, value in ends}
    return builder.network(outputs)


def checked_input(description: Description) -> tuple[int, ...]:
    """The shape of one example, a single step not being one.

    Raises:
        UnreadableFile: the file does not say it.
    """
    shape = description.input_shape
    if not shape:
        raise UnreadableFile(
            f"{description.path}: it does not say what shape its input has; give it by "
            "--input-shape, such as 3,224,224, with the channels first"
        )
    return shape[:1] if len(shape) == 2 and shape[1] == 1 else shape


@dataclass
class _Network:
    description: Description
    builder: Builder = field(default_factory=Builder)
    branches: dict[str, Value] = field(default_factory=dict[str, Value])
    """What goes into each BranchNode, by its name."""

    def input(self, shape: Sequence[int]) -> Value:
        """Declares the input: channels first, but the features of a step last."""
        layers = list(in_order(self.description.layers))
        sizes: tuple[Size, ...] = tuple(shape)
        is_open = not any(entry.kind in OF_KNOWN_LENGTH for entry in layers)
        if layers[0].kind == "LookupTable":
            ids = Tensor(("N", "T" if is_open else next(iter(sizes))), "int32")
            return Value(self.builder.declare(INPUT, ids))
        if len(sizes) == 2:
            steps: Size = "T" if is_open else sizes[1]
            name = self.builder.declare(INPUT, Tensor(("N", steps, sizes[0])))
            return channels_first(name, 3)
        return Value(self.builder.declare(INPUT, Tensor(("N", *sizes))))

    def chain(self, layers: Sequence[Entry], x: Value) -> list[tuple[str, Value]]:
        """Layers one after the other; the last one's name and output, or those of its branches."""
        ends = [("", x)]
        for entry, bias in with_bias(layers):
            if len(ends) > 1:
                raise Unsupported(f"{self.description.path}: nothing can follow a Tree")
            ends = self.layer(entry, bias, ends[0][1])
            if bias:
                self.record(bias, ends[0][1])
        return ends

    def layer(self, entry: Entry, bias: Entry | None, x: Value) -> list[tuple[str, Value]]:
        """One layer, or container, with the Bias that follows it."""
        if entry.kind in ("Tree", "SingleOutputTree"):
            return self.tree(entry, x)
        if entry.kind == "BranchNode":
            x = self.branches.setdefault(entry.name, x)
        inputs = [self.branch(branch, x) for branch in entry.branches] or [x]
        layer = Layer(
            entry,
            self.builder,
            self.description.caffe,
            self.weights(bias) if bias else None,
            str(self.description.path),
        )
        made = layer.convert(*inputs)
        self.record(entry, made)
        return [(entry.name, made)]

    def branch(self, layers: Sequence[Entry], x: Value) -> Value:
        """What a branch gives, which is one tensor."""
        ends = self.chain(layers, x)
        if len(ends) > 1:
            raise Unsupported(f"{self.description.path}: a branch that ends in a Tree")
        return ends[0][1]

    def weights(self, bias: Entry) -> Deferred:
        """Those of a Bias, which has nothing else."""
        alone = Layer(bias, self.builder, self.description.caffe, None, str(self.description.path))
        alone.options.ignore(*INERT)
        alone.options.finish()
        return alone.array("W", None, None)

    def tree(self, entry: Entry, x: Value) -> list[tuple[str, Value]]:
        """A trunk, and branches that begin at its nodes; a SingleOutputTree gives the trunk."""
        ends = [end for branch in entry.branches for end in self.chain(branch, x)]
        return ends[:1] if entry.kind == "SingleOutputTree" else ends

    def record(self, entry: Entry, made: Value) -> None:
        """Notes that this is the output of a layer."""
        self.builder.record(entry.name, entry.kind, self.shown(made))

    def shown(self, value: Value) -> Value:
        """The tensor in neon's layout, but steps before features, as neon gives its outputs."""
        if self.builder.types[value.name].rank != 3:
            return value
        axes = value.axes or (0, 1, 2)
        order = (axes[0], axes[2], axes[1])
        return Value(value.name, () if order == (0, 1, 2) else order)


def with_bias(layers: Sequence[Entry]) -> Iterator[tuple[Entry, Entry | None]]:
    """Each layer, with the Bias that is computed with it."""
    for i, entry in enumerate(layers):
        after = layers[i + 1] if i + 1 < len(layers) else None
        folds = entry.kind in FOLDED and after is not None and after.kind == "Bias"
        if entry.kind != "Bias" or i == 0 or layers[i - 1].kind not in FOLDED:
            yield entry, after if folds else None


@neon("Bias")
def bias(layer: Layer, x: Value) -> Value:
    raise Unsupported(f"{layer.title}: only a Bias right after {', '.join(FOLDED)} is supported")


@neon("MergeSum")
def merge_sum(layer: Layer, *x: Value) -> Value:
    """The sum of the branches."""
    if len(x) == 1:
        return x[0]
    return layer.tensor(layer.add(ops.Add(), *(layer.features_last(value) for value in x)))


@neon("MergeBroadcast")
def merge_broadcast(layer: Layer, *x: Value) -> Value:
    """The branches one after the other: their channels, all they have, or their steps."""
    settings = layer.options
    how = settings["merge"]
    if how == "stack":
        flat = [layer.add(ops.Flatten(), layer.plain(value)) for value in x]
        return Value(layer.add(ops.Concatenate(), *flat))
    if how not in ("depth", "recurrent"):
        raise settings.refuse("merge")
    values = [layer.features_last(value) for value in x]
    return layer.tensor(layer.add(ops.Concatenate(-1 if how == "depth" else 1), *values))
