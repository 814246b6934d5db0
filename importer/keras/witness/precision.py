"""How far a network may be from Keras that is told to compute in fewer bits than we do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...source import Coarse
from ..converters.quantized import quantization_mode
from ..file import KerasFile
from .facts import layers_in

MULTIPLYING = ("Dense", "EinsumDense", "ReversibleEmbedding")
"""The layers that Keras 3 may have round what goes into them to 8 bits."""


HALF = Coarse(
    1e-2,
    "Keras computes it in float16, Cortex in float32 and float64: their difference is up to 0.01",
)
BRAIN = Coarse(
    5e-2,
    "Keras computes it in bfloat16, Cortex in float32 and float64: their difference is up to 0.05",
)
EIGHT_BITS = Coarse(
    2e-2,
    "Keras rounds what goes into its int8 layers to 8 bits, Cortex does not: their difference is "
    "up to 0.02",
)


def coarseness(file: KerasFile) -> Coarse | None:
    """The coarsest rounding that Keras does in a model and Cortex does not; or None."""
    found = [
        coarse
        for kind, config in layers_in(file.architecture)
        for coarse in _of_layer(kind, config)
    ]
    return max(found, key=lambda coarse: coarse.tolerance, default=None)


def _of_layer(kind: str, config: Mapping[str, Any]) -> Iterator[Coarse]:
    policy = config.get("dtype")
    name = policy_name(policy)
    if name.endswith("bfloat16"):
        yield BRAIN
    elif name.endswith("float16"):
        yield HALF
    mode = quantization_mode(policy)
    rounded = (config.get("quantization_config") or {}).get("config") or {}
    by_default = mode == "int8" and "activation_quantizer" not in rounded
    if kind in MULTIPLYING and mode and (by_default or rounded.get("activation_quantizer")):
        yield EIGHT_BITS


def policy_name(policy: Any) -> str:
    """What a layer computes in: the name of a dtype or of a policy, as a text or an object."""
    while isinstance(policy, dict):
        config: Any = policy.get("config")
        known = isinstance(config, dict)
        policy = (config.get("name") or config.get("source_name")) if known else None
    return str(policy or "").rpartition("_from_")[2]
