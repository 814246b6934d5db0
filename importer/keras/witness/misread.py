"""What today's Keras is known to load without an error and to compute otherwise.

Found by reading Keras 3.15, tf_keras 2.21 and the versions that wrote the files, and by running
them against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..file import KerasFile
from ..wiring import MODELS, read_wiring

KERAS_3, TF_KERAS = "keras", "tf_keras"
BOTH = (KERAS_3, TF_KERAS)

CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose", "ConvLSTM2D")
MERGES = (
    "Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract",
)  # fmt: skip
GATED = ("ConvLSTM2D", "GRU", "GRUCell", "LSTM", "LSTMCell")
HALF = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16", "float64")


@dataclass(frozen=True)
class Facts:
    """What the table asks of a file."""

    file: KerasFile

    @cached_property
    def layers(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Class and options of every layer, those inside others included."""
        return list(_layers(self.file.architecture))

    def of(self, *kinds: str) -> Iterator[Mapping[str, Any]]:
        """The options of the layers of these classes."""
        return (config for kind, config in self.layers if kind in kinds)

    def has(self, *kinds: str) -> bool:
        """Whether it has a layer of one of these classes."""
        return any(True for _ in self.of(*kinds))

    @property
    def is_old(self) -> bool:
        """Whether it means what Keras 2 meant."""
        return self.file.generation < 3

    def is_before(self, *numbers: int) -> bool:
        """Whether an older version wrote it."""
        found = [int(n) for n in re.findall(r"\d+", self.file.keras_version)[:2]]
        return found < list(numbers)

    @property
    def is_external(self) -> bool:
        """Whether it is of Keras before it became a part of TensorFlow."""
        return self.is_before(2, 4) and "tf" not in self.file.keras_version

    @property
    def has_masks(self) -> bool:
        """Whether a layer makes a mask."""
        return self.has("Masking") or any(c.get("mask_zero") for c in self.of("Embedding"))


def _layers(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, dict):
        kind, config = value.get("class_name"), value.get("config")
        if isinstance(kind, str) and isinstance(config, dict):
            yield kind, config
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _layers(one)


@dataclass(frozen=True)
class Misreading:
    """Which packages compute something else, and from which files."""

    packages: Sequence[str]
    why: str
    applies: Callable[[Facts], bool]


def _theano(facts: Facts) -> bool:
    """Its kernels lie turned round, and it pads otherwise."""
    padded = any(
        config.get("padding") == "same"
        for kind, config in facts.layers
        if kind.startswith(("AveragePooling", "MaxPooling"))
    )
    return facts.file.backend == "theano" and (padded or facts.has(*CONVOLUTIONS))


def _hard_sigmoid(facts: Facts) -> bool:
    said = any("hard_sigmoid" in map(str, config.values()) for _, config in facts.layers)
    implied = any("recurrent_activation" not in config for config in facts.of(*GATED))
    return facts.is_old and (said or implied)


def _half(facts: Facts) -> bool:
    return any(_policy(config.get("dtype")) in HALF for _, config in facts.layers)


def _policy(dtype: Any) -> Any:
    """The name of a policy, whatever object it is written as."""
    while isinstance(dtype, dict):
        config = dtype.get("config")
        dtype = config.get("name") if isinstance(config, dict) else None
    return dtype


def _frozen_inside(facts: Facts) -> bool:
    inner = list(facts.layers)[1:] if facts.file.format != "keras-zip" else []
    return any(
        options.get("trainable") is False
        for kind, config in inner
        if kind in MODELS
        for _, options in _layers(config)
    )


def _zeros_for_masked(facts: Facts) -> bool:
    sequences = any(
        options.get("return_sequences")
        for config in facts.of("Bidirectional")
        for _, options in _layers(config)
    )
    return facts.is_external and facts.has_masks and sequences


def _given_states(facts: Facts) -> bool:
    """Whether a layer that keeps its states is also given some."""
    if not any(config.get("stateful") for _, config in facts.layers):
        return False
    wiring = read_wiring(facts.file.architecture)
    return any(
        "initial_state" in call.kwargs or (call.args and isinstance(call.args[0], list))
        for layer in wiring.layers
        if isinstance(layer.config, dict) and layer.config.get("stateful")
        for call in layer.calls
    )


def _axes_dropped(facts: Facts) -> bool:
    axes = [config["axis"] for _, config in facts.layers if "axis" in config]
    several = any(axis is None or (isinstance(axis, list) and len(axis) != 1) for axis in axes)
    return several and facts.file.format not in ("keras-zip", "keras-directory")


MISREADINGS = (
    Misreading(
        BOTH,
        "it does not read what Keras 1 calls its options",
        lambda facts: facts.file.generation == 1,
    ),
    Misreading((TF_KERAS,), "it is older than the file", lambda facts: facts.file.generation > 2),
    Misreading(
        BOTH,
        "it does not turn round the convolution kernels of a file written on Theano, nor pads as "
        "Theano does",
        _theano,
    ),
    Misreading(
        (KERAS_3,), "its hard_sigmoid has another slope than that of Keras 1 and 2", _hard_sigmoid
    ),
    Misreading(
        BOTH,
        "it takes a GRU that says nothing of reset_after for one that resets after the product",
        lambda facts: (
            facts.is_old and any("reset_after" not in c for c in facts.of("GRU", "GRUCell"))
        ),
    ),
    Misreading(
        (KERAS_3,),
        "from HDF5 it takes a layer over several axes for one over the last",
        _axes_dropped,
    ),
    Misreading(
        (KERAS_3,),
        "where masks are merged, it keeps what any of them keeps, Keras 2 what all of them do",
        lambda facts: facts.is_old and facts.has_masks and facts.has(*MERGES),
    ),
    Misreading(
        BOTH,
        "its Bidirectional puts out zeros at masked steps, Keras 2 the output before",
        _zeros_for_masked,
    ),
    Misreading(
        BOTH,
        "its Softmax and MultiHeadAttention heed masks that those of the file's version did not",
        lambda facts: (
            facts.is_old
            and facts.has_masks
            and (
                (facts.is_before(2, 4) and facts.has("Softmax"))
                or (facts.is_before(2, 10) and facts.has("MultiHeadAttention"))
            )
        ),
    ),
    Misreading(
        (KERAS_3,),
        "its stateful layers begin every call with given states, those of Keras 2 the first alone",
        lambda facts: facts.is_old and _given_states(facts),
    ),
    Misreading(
        BOTH,
        "it interpolates between the centres of pixels, the file's version between their corners",
        lambda facts: (
            facts.is_old
            and (facts.is_external or facts.is_before(2, 3))
            and any(
                c.get("interpolation", "nearest") != "nearest" for c in facts.of("UpSampling2D")
            )
        ),
    ),
    Misreading(
        BOTH,
        "it counts the states of stacked cells from the first, the file's version from the last",
        lambda facts: facts.is_external and facts.has("StackedRNNCells"),
    ),
    Misreading(
        BOTH,
        "in a model inside another, some of whose layers are frozen, it may give arrays to others",
        _frozen_inside,
    ),
    Misreading(BOTH, "it computes in another precision than float32, as the file says", _half),
)


def misread(file: KerasFile, package: str = KERAS_3) -> str | None:
    """Why a package is known to load this file and compute something else; None if it is not."""
    facts = Facts(file)
    found = (one.why for one in MISREADINGS if package in one.packages and one.applies(facts))
    return next(found, None)
