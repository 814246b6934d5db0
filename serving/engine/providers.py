"""Where onnxruntime runs a model: the providers that can be named, and what this machine has."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...runtime.errors import MissingExtra, Unsupported

PROVIDERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "tensorrt": ("TensorrtExecutionProvider", {}),
    # TF32 has ten bits of mantissa: models would no longer reproduce their checks.
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
    "cpu": ("CPUExecutionProvider", {}),
}
NOTHING: Mapping[str, str] = {}
GPU = ("tensorrt", "cuda")
USUAL = ("cuda", "cpu")
"""What a model that names no provider is to run on: the first of these that is here."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The providers for a model, in order of preference; ``asked`` is the one it should run on."""

    names: tuple[str, ...]
    asked: str
    devices: tuple[int, ...]

    @classmethod
    def of(cls, wanted: Sequence[str], devices: Sequence[int] = ()) -> Choice:
        """Those of ``wanted`` that are here; none wanted: the usual ones. ``devices``: of GPUs.

        Raises:
            MissingExtra: onnxruntime is not installed.
            Unsupported: none of them is here.
        """
        here = _available()
        names = tuple(name for name in wanted or USUAL if PROVIDERS[name][0] in here)
        if not names:
            raise Unsupported(f"it wants {' or '.join(wanted)}, which this machine has not")
        return cls(names, wanted[0] if wanted else names[0], tuple(devices))

    def instances(
        self, tensorrt: Mapping[str, str] = NOTHING
    ) -> Sequence[Sequence[tuple[str, Mapping[str, str]]]]:
        """What onnxruntime is told for each instance, one a device; and ``tensorrt`` besides."""
        if self.names[0] not in GPU:
            return [[PROVIDERS[name] for name in self.names]]
        more = {"tensorrt": tensorrt}
        return [
            [_told(name, device, more.get(name, NOTHING)) for name in self.names]
            for device in self.devices or [0]
        ]

    def running(self, session: Any) -> str:
        """The provider that a session runs on, which may be none that was preferred."""
        first = session.get_providers()[0]
        return next((name for name in PROVIDERS if PROVIDERS[name][0] == first), first)


def _told(name: str, device: int, more: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    provider, options = PROVIDERS[name]
    return provider, {**options, "device_id": str(device), **more} if name in GPU else options


def device(session: Any) -> int:
    """The number of the GPU that a session runs on."""
    options: Mapping[str, str] = session.get_provider_options()[session.get_providers()[0]]
    return int(options.get("device_id", 0))


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def runtime() -> Any:
    """The module onnxruntime.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("serving a model", "cpu") from None
    return onnxruntime


@functools.cache
def _available() -> frozenset[str]:
    """The providers of this onnxruntime. CUDA's libraries are loaded from where pip puts them."""
    ort = runtime()
    providers = frozenset(ort.get_available_providers())
    if "CUDAExecutionProvider" in providers:
        ort.preload_dlls()
    return providers
