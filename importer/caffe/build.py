"""From the facts of a file to a network: every layer through its converter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...runtime.errors import CortexError, UnreadableFile, Unsupported, UsageError
from ...runtime.network import Network
from ...runtime.tensor import Tensor
from ..builder import Builder, Value
from .converters import families as families  # registers the converters
from .inputs import DATA, Shape, batch, input_shapes, is_data, missing
from .layer import Layer, caffe
from .losses import LOOKS_ON, LOSSES, term
from .net import LayerFacts, NetFacts

NONSENSE = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)
"""What options of a wrong form end in."""


@dataclass(frozen=True)
class Built:
    """A network with what is to be said of it.

    ``writers`` has the layer that each blob's last value is of.
    """

    network: Network
    notes: tuple[str, ...]
    losses: tuple[Mapping[str, Any], ...]
    writers: Mapping[str, str]


def build(net: NetFacts, given: Mapping[str, Shape]) -> Built:
    """The network a file describes; its arrays stay in the file until they are used.

    ``given`` are shapes of inputs that the user says, see ``inputs.input_shapes``.

    Raises:
        UnreadableFile: the file contradicts itself.
        Unsupported: a layer or an option that Cortex cannot compute, by name.
        UsageError: a shape for an input that is none.
    """
    _check_supported(net, given)
    return _Net(net, given).built()


def _check_supported(net: NetFacts, given: Mapping[str, Shape]) -> None:
    """All types that there is no converter for, at once."""
    unknown = Counter(
        layer.kind
        for layer in net.layers
        if layer.kind not in (*caffe, *LOSSES, *LOOKS_ON) and not is_data(layer, given)
    )
    if unknown:
        told = ", ".join(f"{kind} ({n})" if n > 1 else kind for kind, n in unknown.items())
        raise Unsupported(f"layers of Caffe that are not supported: {told}")


@dataclass
class _Net:
    """A network while it is built."""

    facts: NetFacts
    given: Mapping[str, Shape]
    builder: Builder = field(default_factory=Builder)
    blobs: dict[str, Value] = field(default_factory=dict[str, Value])
    writers: dict[str, str] = field(default_factory=dict[str, str])
    open: dict[str, None] = field(default_factory=dict[str, None])
    """Blobs that no layer has read yet, in order."""
    watched: set[str] = field(default_factory=set[str])
    """Blobs that a layer only looks at: outputs only where there are no others."""
    dropped: dict[str, str] = field(default_factory=dict[str, str])
    """Blobs that there are in training only, and the layer that would write each."""
    notes: list[str] = field(default_factory=list[str])
    losses: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    left_out: list[str] = field(default_factory=list[str])
    names: Counter[str] = field(default_factory=Counter[str])

    def __post_init__(self) -> None:
        self.inputs = self._input_shapes()
        self.batch = batch(self.facts)

    def built(self) -> Built:
        for facts in self.facts.layers:
            if not is_data(facts, self.given):
                self._layer(facts)
        unread = [blob for blob in self.open if blob not in self.watched] or list(self.open)
        outputs = {blob: self.builder.plain(self.blobs[blob], "") for blob in unread}
        if not outputs:
            raise UnreadableFile("it describes no layer that computes anything")
        if self.left_out:
            self.notes.append(f"left out, for training alone: {', '.join(self.left_out)}")
        network = self.builder.network(outputs)
        return Built(network, tuple(self.notes), tuple(self.losses), self.writers)

    def _input_shapes(self) -> dict[str, Shape | None]:
        given = dict(self.given)
        if (only := given.pop("", None)) is not None:
            needed = self._needed()
            if len(needed) != 1:
                raise UsageError(
                    f"--input-shape: the network has the inputs {sorted(needed)}; "
                    "say the name, too, as NAME=3,224,224"
                )
            given[needed.pop()] = only
        found = input_shapes(self.facts, given)
        if unknown := given.keys() - found.keys():
            raise UsageError(f"--input-shape: the network has no input {sorted(unknown)[0]!r}")
        return found

    def _needed(self) -> set[str]:
        """The inputs that a layer reads which computes something."""
        known = set(input_shapes(self.facts, {}))
        used = set[str]()
        for layer in self.facts.layers:
            if layer.kind not in LOOKS_ON:
                used.update(layer.bottoms[:1] if layer.kind in LOSSES else layer.bottoms)
        return known & used

    def _layer(self, facts: LayerFacts) -> None:
        if facts.kind in LOOKS_ON or any(blob in self.dropped for blob in facts.bottoms):
            self._leave_out(facts)
        elif facts.kind in LOSSES:
            self._loss(facts)
        else:
            self._convert(facts)

    def _leave_out(self, facts: LayerFacts) -> None:
        self.left_out.append(f"{facts.name} ({facts.kind})")
        self.dropped |= dict.fromkeys(facts.tops, facts.name)
        if facts.kind in LOOKS_ON:
            self.watched.update(facts.bottoms)

    def _convert(self, facts: LayerFacts) -> Sequence[str]:
        """Runs the converter; returns what the graph calls the layer's outputs."""
        name = self._name(facts.name)
        layer = Layer(facts, name, self.builder, self.notes, self.batch)
        bottoms = [self._read(blob, facts) for blob in facts.bottoms]
        try:
            result = caffe[facts.kind](layer, *bottoms)
            layer.finish()
        except CortexError:
            raise
        except NONSENSE as error:
            raise UnreadableFile(
                f"{facts.title}: its options make no sense for {len(bottoms)} bottoms: {error}"
            ) from None
        values = [result] if isinstance(result, Value) else list(result)
        if len(values) != len(facts.tops):
            raise UnreadableFile(f"{facts.title}: {len(facts.tops)} tops, expected {len(values)}")
        titles = [f"{name}#{i}" if i else name for i in range(len(values))]
        for blob, value, title in zip(facts.tops, values, titles, strict=True):
            self.blobs[blob] = value
            self.writers[blob] = title
            self.open[blob] = None
            self.builder.record(title, facts.kind, value)
        return titles

    def _name(self, name: str) -> str:
        self.names[name] += 1
        number = self.names[name]
        return name if number == 1 else f"{name}:{number}"

    def _read(self, blob: str, facts: LayerFacts) -> Value:
        self.open.pop(blob, None)
        if blob not in self.blobs:
            if blob not in self.inputs:
                raise UnreadableFile(f"{facts.title}: nothing before it writes its bottom {blob!r}")
            shape = self.inputs[blob]
            if shape is None:
                raise missing(blob, facts.name)
            self.blobs[blob] = Value(self.builder.declare(blob, Tensor(("N", *shape))))
        return self.blobs[blob]

    def _loss(self, facts: LayerFacts) -> None:
        """In a test, a loss is the activation that it has in itself; or nothing."""
        activation, on = LOSSES[facts.kind].activation, facts.bottoms[0] if facts.bottoms else ""
        if on not in self.blobs:
            raise UnreadableFile(f"{facts.title}: nothing before it writes its bottom {on!r}")
        layer = self.writers.get(on, "")
        if activation:
            top = facts.tops[0] if facts.tops else facts.name
            options = {
                name: {k: v for k, v in value.items() if k in ("axis", "engine")}
                for name, value in facts.options.items()
                if name == "softmax_param"
            }
            inside = replace(
                facts, kind=activation, bottoms=(on,), tops=(top,), options=options, arrays=()
            )
            (layer,) = self._convert(inside)
            self.notes.append(f"{facts.title}: its {activation.lower()} is an output")
            on = top
        else:
            self._leave_out(facts)
        size = math.prod(int(n) for n in self.builder.shape(self.blobs[on])[1:])
        target = facts.bottoms[1] if len(facts.bottoms) > 1 else ""
        weight = 1.0 if facts.loss_weight is None else facts.loss_weight
        found = term(facts.kind, layer, target, weight, size) if layer else None
        if found:
            self.losses.append(found)
        elif layer:
            self.notes.append(f"{facts.title}: a training here has no such loss")


def supported() -> tuple[str, ...]:
    """The types of layers that are read, sorted."""
    return tuple(sorted({*caffe, *LOSSES, *LOOKS_ON, *DATA}))
