"""What measurements and optimized models hold for: this machine and this onnxruntime."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from .providers import cores, runtime

CPUINFO = Path("/proc/cpuinfo")
TOLD = ("model name", "flags", "Features")


def machine() -> Sequence[str]:
    """The processor and what it can do, the cores we may use, the version of onnxruntime."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    processor = dict.fromkeys(line for line in lines if line.startswith(TOLD))
    return [platform.machine(), *processor, str(cores()), runtime().__version__]
