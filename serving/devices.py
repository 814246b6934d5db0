"""How much memory the machine's devices have and use: the host's, and each NVIDIA GPU's.

The GPUs are asked through NVML, the driver's own library: it needs no CUDA context, which would
take some hundred megabytes of each.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NVML = "libnvidia-ml.so.1"
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Memory:
    """A device's memory in bytes. GPUs are numbered as NVML has them: by their place on the bus."""

    name: str
    total: int
    used: int


class _NvmlMemory(ctypes.Structure):
    """``nvmlMemory_t`` of nvml.h."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


def memories() -> Iterator[Memory]:
    """The host's memory, then each GPU's; what cannot be asked is left out."""
    yield from _host()
    nvml = _nvml()
    count = ctypes.c_uint()
    if nvml is None or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return
    for index in range(count.value):
        device, memory = ctypes.c_void_p(), _NvmlMemory()
        if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)):
            continue
        if not nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)):
            yield Memory(f"gpu:{index}", memory.total, memory.used)


def _host() -> Iterator[Memory]:
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        return
    sizes = {key: int(rest.split()[0]) << 10 for key, _, rest in (x.partition(":") for x in lines)}
    yield Memory("cpu", sizes["MemTotal"], sizes["MemTotal"] - sizes["MemAvailable"])


@functools.cache
def _nvml() -> Any:
    """The library, ready to be asked; None where there is no driver."""
    try:
        nvml: Any = ctypes.CDLL(NVML)
    except OSError:
        return None
    return None if nvml.nvmlInit_v2() else nvml
