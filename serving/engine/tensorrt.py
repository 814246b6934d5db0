"""What TensorRT builds of a model, which takes it minutes, kept from one start to the next."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from .optimized import key

log = logging.getLogger(__name__)

FOLDER = "tensorrt"


def engines(cache_dir: Path, model: Path) -> Mapping[str, str]:
    """What TensorRT is told so that it keeps its engines of a model in ``cache_dir``.

    They have a folder of their own: TensorRT calls an engine by the names in its graph, and would
    take that of a model with other weights. How long its kernels took holds for every model.
    Where nothing can be written nothing is kept.
    """
    root = cache_dir / FOLDER
    folder = root / key(model)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("%s: cannot keep what TensorRT builds: %s", folder, error.strerror)
        return {}
    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(root),
    }
