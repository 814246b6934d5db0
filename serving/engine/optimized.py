"""Models as onnxruntime has optimized them, kept in a folder so that they open faster next time."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .machine import machine
from .providers import runtime

log = logging.getLogger(__name__)

MODEL, DATA = "model.onnx", "weights.bin"
FOLDER = "optimized"
DATA_FILE = "session.optimized_model_external_initializers_file_name"
DATA_FROM = "session.optimized_model_external_initializers_min_size_in_bytes"
SMALL = 1024  # bytes: smaller arrays stay in the graph


class Optimized:
    """Optimized models in ``cache_dir``, by what they were made of and for which machine.

    Opening MobileNetV2 takes two thirds of the time; the weights take their room again.
    """

    def __init__(self, cache_dir: Path) -> None:
        self._root = cache_dir / FOLDER

    def session(self, model: Path, options: Callable[[Path], Any], providers: Sequence[Any]) -> Any:
        """A session of ``model``: of what is kept of it, else of the model, which is then kept.

        ``options`` makes the options of a session whose weights lie in a folder. What cannot be
        read or written is passed over.
        """
        kept = self._root / key(model)
        if (kept / MODEL).exists():
            try:
                return self._kept(kept, options(kept), providers)
            except Exception as error:  # onnxruntime's errors have no root but this one
                log.warning("%s: cannot be used, is made again: %s", kept, error)
                shutil.rmtree(kept, ignore_errors=True)
        try:
            return self._made(kept, model, options(model.parent), providers)
        except Exception as error:
            log.debug("%s: cannot be kept as %s: %s", model, kept, error)
        return runtime().InferenceSession(str(model), options(model.parent), providers)

    def _kept(self, kept: Path, options: Any, providers: Sequence[Any]) -> Any:
        ort = runtime()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        return ort.InferenceSession(str(kept / MODEL), options, providers)

    def _made(self, kept: Path, model: Path, options: Any, providers: Sequence[Any]) -> Any:
        self._root.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".", dir=self._root))
        try:
            options.optimized_model_filepath = str(stage / MODEL)
            options.add_session_config_entry(DATA_FILE, DATA)
            options.add_session_config_entry(DATA_FROM, str(SMALL))
            session = runtime().InferenceSession(str(model), options, providers)
            with suppress(OSError):  # another server was first
                stage.rename(kept)
            return session
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def key(model: Path) -> str:
    """What is made of a model on this machine goes by this.

    It is of the graph by its bytes, of the other files, which are large, by place, size and time.
    """
    digest = hashlib.sha256(model.read_bytes())
    for part in (*machine(), *_files(model.parent)):
        digest.update(f"\0{part}".encode())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[str]:
    for file in sorted(folder.iterdir()):
        found = file.stat()
        yield f"{file.resolve()} {found.st_size} {found.st_mtime_ns}"
