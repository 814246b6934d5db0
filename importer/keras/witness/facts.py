"""What is asked of a file before real Keras is believed about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..file import KerasFile
from ..origin import THEANO, Origin
from ..wiring import Call, LayerFacts, read_wiring

JAX, TENSORFLOW = "jax", "tensorflow"
RECURRENT = ("Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRU", "LSTM", "RNN",
             "SimpleRNN")  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """A file, and the backend on which real Keras is to run it."""

    file: KerasFile
    backend: str

    @cached_property
    def origin(self) -> Origin:
        """Which Keras wrote it."""
        return Origin(self.file.keras_version, self.file.backend, self.file.weights.keras_version)

    @cached_property
    def layers(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Class and options of every layer, those inside others included."""
        return list(layers_in(self.file.architecture))

    def of(self, *kinds: str) -> Iterator[Mapping[str, Any]]:
        """The options of the layers of these classes."""
        return (config for kind, config in self.layers if kind in kinds)

    def has(self, *kinds: str) -> bool:
        """Whether it has a layer of one of these classes."""
        return any(True for _ in self.of(*kinds))

    def has_inside(self, kind: str) -> bool:
        """Whether it has a layer of this class inside another one."""
        own = self.file.architecture["config"]
        return any(
            kind == inner
            for layer in (own if isinstance(own, list) else own.get("layers", ()))
            for inner, _ in layers_in(layer.get("config"))
        )

    @property
    def is_old(self) -> bool:
        """Whether it means what Keras 2 meant."""
        return self.file.generation < 3

    def is_before(self, *numbers: int) -> bool:
        """Whether an older version wrote it."""
        return self.origin.is_before(*numbers)

    @property
    def is_external(self) -> bool:
        """Whether it is of Keras before it became a part of TensorFlow."""
        return self.is_old and not self.origin.is_tf_keras

    @cached_property
    def has_masks(self) -> bool:
        """Whether a layer makes a mask, or a call is given one."""
        made = self.has("Masking") or any(c.get("mask_zero") for c in self.of("Embedding"))
        return made or _gives_masks(self.file.architecture)

    @cached_property
    def given_states(self) -> Sequence[tuple[LayerFacts, Call]]:
        """The calls of recurrent layers that are given states to begin with."""
        wiring = read_wiring(self.file.architecture)
        return [
            (layer, call)
            for layer in wiring.layers
            if layer.kind.removeprefix("CuDNN") in RECURRENT
            for call in layer.calls
            if "initial_state" in call.kwargs or (call.args and isinstance(call.args[0], list))
        ]

    @property
    def returns_scores(self) -> bool:
        """Whether a call asks for the scores of attention."""
        return any(
            call.kwargs.get("return_attention_scores")
            for layer in read_wiring(self.file.architecture).layers
            for call in layer.calls
        )

    @property
    def is_stateful(self) -> bool:
        """Whether a layer keeps its states."""
        return any(config.get("stateful") for _, config in self.layers)

    @property
    def puts_state_before_first_step(self) -> bool:
        """Whether outputs before the first step that counts are the first state, not zeros."""
        if not self.is_old:
            return self.file.backend == JAX
        return self.is_external and self.is_before(2, 3) and self.file.backend != THEANO


def layers_in(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Class and options of every layer that an object holds."""
    if isinstance(value, dict):
        kind, config = value.get("class_name"), value.get("config")
        if isinstance(kind, str) and isinstance(config, dict):
            yield kind, config
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from layers_in(one)


def _gives_masks(value: Any) -> bool:
    """Whether an option called "mask" or "…_mask" of a call, say, is a tensor."""
    if isinstance(value, dict):
        return any(
            (key.endswith("mask") and isinstance(one, dict | list)) or _gives_masks(one)
            for key, one in value.items()
        )
    return isinstance(value, list) and any(map(_gives_masks, value))
