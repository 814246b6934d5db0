"""From a message to the layers of a network: every generation of Caffe ends here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...runtime.errors import UnreadableFile, Unsupported
from ..deferred import Deferred
from .schema import Message

Arrays = Callable[[Message, str], Deferred]
"""The array of a blob; the text is what messages call it."""

V1_KINDS: Mapping[str, str] = {
    "ABSVAL": "AbsVal", "ARGMAX": "ArgMax", "BNLL": "BNLL", "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output", "LRN": "LRN", "MVN": "MVN", "PRELU": "PReLU", "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss", "TANH": "TanH",
}  # fmt: skip
"""What the types of the first form are called in the second, where not alike but for the case."""

STRUCTURE = (
    "name", "type", "bottom", "top", "blobs", "include", "exclude", "phase", "loss_weight",
    "param", "propagate_down", "blobs_lr", "weight_decay", "blob_share_mode",
)  # fmt: skip
"""Fields of a layer that are no options of what it computes."""
MOST_LAYERS = 10_000


@dataclass(frozen=True)
class LayerFacts:
    """A layer as the file has it.

    ``options`` are its other fields: messages such as convolution_param by their names.
    """

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    options: Mapping[str, Any]
    arrays: tuple[Deferred, ...] = ()
    loss_weight: float | None = None

    @property
    def title(self) -> str:
        """The layer as an error names it."""
        return f"Caffe {self.kind} {self.name!r}"


@dataclass(frozen=True)
class NetFacts:
    """A network as a file describes it: the inputs it declares itself, and its layers in order."""

    name: str
    layers: tuple[LayerFacts, ...]
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])


def read_net(message: Message, arrays: Arrays, *, everything: bool = False) -> NetFacts:
    """The layers that take part in a test, with their arrays.

    ``everything``: take all, as a caffemodel has those of the phase that wrote it.

    Raises:
        UnreadableFile: it describes no network.
        Unsupported: by an older Caffe than is known.
    """
    for name in message:
        if name.startswith("field ") or name not in KNOWN:
            raise Unsupported(f"the network sets {name!r}, whose meaning is not known")
    raw = [_renamed(one) for one in message.get("layers", [])] + message.get("layer", [])
    if len(raw) > MOST_LAYERS:
        raise UnreadableFile(f"{len(raw):,} layers are more than {MOST_LAYERS:,}")
    state = _state(message.get("state", {}))
    kept = [one for one in raw if everything or _takes_part(one, state)]
    if not kept:
        raise UnreadableFile("it describes no layer that takes part in a test")
    layers = tuple(_layer(one, number, arrays) for number, one in enumerate(kept, 1))
    return NetFacts(message.get("name", ""), layers, _inputs(message))


KNOWN = ("name", "layers", "layer", "input", "input_dim", "input_shape", "force_backward", "state",
         "debug_info")  # fmt: skip


def _layer(message: Message, number: int, arrays: Arrays) -> LayerFacts:
    name = message.get("name") or f"layer {number}"
    if "type" not in message:
        raise UnreadableFile(f"the layer {name!r} has no type")
    if not (name + str(message["type"])).isprintable():
        raise UnreadableFile(f"the layer {name!r} of the type {message['type']!r} is damaged")
    blobs = enumerate(message.get("blobs", []))
    return LayerFacts(
        name,
        str(message["type"]),
        tuple(message.get("bottom", [])),
        tuple(message.get("top", [])),
        {option: value for option, value in message.items() if option not in STRUCTURE},
        tuple(arrays(blob, f"{name}/blobs[{i}]") for i, blob in blobs),
        next(iter(message.get("loss_weight", [])), None),
    )


def _renamed(message: Message) -> Message:
    """A layer of the first form with its type in words: POOLING is Pooling."""
    if "layer" in message:
        raise Unsupported(
            "its layers are of Caffe's form of 2013; upgrade_net_proto_text and "
            "upgrade_net_proto_binary, which come with Caffe, make newer files of it"
        )
    kind = str(message.get("type", "NONE"))
    words = "".join(part.capitalize() for part in kind.split("_"))
    return {**message, "type": V1_KINDS.get(kind, words)}


def _state(message: Message) -> Message:
    return {"phase": "TEST", "level": 0, "stage": [], **message}


def _takes_part(layer: Message, state: Message) -> bool:
    """Caffe's rules: any that includes it, or none that excludes it."""
    if include := layer.get("include"):
        return any(_meets(rule, state) for rule in include)
    return not any(_meets(rule, state) for rule in layer.get("exclude", []))


def _meets(rule: Message, state: Message) -> bool:
    stages = set(state["stage"])
    return (
        rule.get("phase", state["phase"]) == state["phase"]
        and rule.get("min_level", state["level"]) <= state["level"]
        and rule.get("max_level", state["level"]) >= state["level"]
        and stages.issuperset(rule.get("stage", []))
        and stages.isdisjoint(rule.get("not_stage", []))
    )


def _inputs(message: Message) -> Mapping[str, tuple[int, ...]]:
    """The inputs that the network declares outside of its layers."""
    names: Sequence[str] = message.get("input", [])
    shapes = [tuple(shape.get("dim", [])) for shape in message.get("input_shape", [])]
    dims = message.get("input_dim", [])
    shapes += [tuple(dims[i : i + 4]) for i in range(0, len(dims), 4)]
    if (dims and "input_shape" in message) or (shapes and len(shapes) != len(names)):
        raise UnreadableFile(f"it names {len(names)} inputs and gives {len(shapes)} shapes")
    return dict(zip(names, shapes or [()] * len(names), strict=True))


def with_weights(described: NetFacts, weights: NetFacts) -> tuple[NetFacts, tuple[str, ...]]:
    """The network of an architecture with the arrays of a caffemodel, by the layers' names.

    Returns also what of the caffemodel found no use.
    """
    arrays = {layer.name: layer.arrays for layer in weights.layers if layer.arrays}
    layers = tuple(
        replace(layer, arrays=arrays.pop(layer.name, layer.arrays)) for layer in described.layers
    )
    left = tuple(f"the weights have a layer {name!r}, the architecture has none" for name in arrays)
    return replace(described, layers=layers), left
