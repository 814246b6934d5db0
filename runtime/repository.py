"""The model repository on disk: what the importer writes and the server reads.

    ROOT/NAME/config.json                  optional: how to serve the model (ModelConfig)
    ROOT/NAME/VERSION/model.onnx           the graph; its weights lie in the file beside it
    ROOT/NAME/VERSION/weights.safetensors
    ROOT/NAME/VERSION/check.safetensors    a reference input and the outputs to expect (Check)
    ROOT/NAME/VERSION/report.json          how the model was proved when it was imported

A version is written beside its place, flushed to the disk and renamed: a reader sees all of it or
none of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .check import Array, Check, Recorded
from .errors import RepositoryError, UnreadableFile, UsageError, problem

MODEL, WEIGHTS, CHECK, REPORT, CONFIG = (
    "model.onnx",
    "weights.safetensors",
    "check.safetensors",
    "report.json",
    "config.json",
)
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
VERSION = re.compile(r"[1-9][0-9]{0,17}")
STAGE = ".staging-"


class ModelConfig(BaseModel):
    """How a model wants to be served. Every field may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: tuple[str, ...] = ()
    """What the positions of the last axis of the first output mean."""
    max_batch: int = Field(default=32, ge=1, le=65_536)
    """Most rows in one execution."""
    queue_delay_ms: float = Field(default=0.0, ge=0.0, le=60_000.0)
    """How long a batch that is not full waits for more, in milliseconds."""
    max_queue: int = Field(default=1024, ge=1)
    """Most requests that wait; one more is refused at once."""
    runners: int | None = Field(default=None, ge=1, le=256)
    """Threads that execute batches side by side; None: one a core."""
    providers: tuple[Literal["cuda", "cpu"], ...] = ("cuda", "cpu")
    """Where to run, in order of preference; those this machine has not are passed over."""


@dataclass(frozen=True, slots=True, order=True)
class ModelVersion:
    """One version of one model in a repository."""

    name: str
    version: int
    path: Path

    @property
    def model(self) -> Path:
        """The ONNX graph."""
        return self.path / MODEL

    def config(self) -> ModelConfig:
        """How to serve the model.

        Raises:
            RepositoryError: ``config.json`` is there and makes no sense.
        """
        file = self.path.parent / CONFIG
        if not file.exists():
            return ModelConfig()
        try:
            return ModelConfig.model_validate_json(file.read_bytes())
        except ValidationError as error:
            raise RepositoryError(f"{file}: {problem(error)}") from None

    def check(self) -> Check | None:
        """The recorded outputs that came with the model; None if none did.

        Raises:
            UnreadableFile: the file is damaged.
        """
        file = self.path / CHECK
        return read_check(file) if file.exists() else None


def slug(stem: str) -> str:
    """The default name of a model that comes from a file called ``stem``."""
    return re.sub(r"[^a-z0-9_-]", "-", stem.lower()).strip("-") or "model"


def versions(root: Path) -> list[ModelVersion]:
    """Every complete version in the repository, by name and number.

    Raises:
        RepositoryError: ``root`` is no folder.
    """
    if not root.is_dir():
        raise RepositoryError(
            f"{root}: no such folder; name a model repository (cortex-import writes ./models)"
        )
    return sorted(
        ModelVersion(folder.name, int(version.name), version)
        for folder in root.iterdir()
        if NAME.fullmatch(folder.name) and folder.is_dir()
        for version in folder.iterdir()
        if VERSION.fullmatch(version.name) and (version / MODEL).is_file()
    )


@contextmanager
def install(root: Path, name: str, version: int | None = None) -> Iterator[ModelVersion]:
    """Yields the version to be, in an empty folder beside its place; when the block ends well, it is moved there.

    ``version`` None takes the next number. One installation at a time has the repository; others
    wait. What an installation that was killed left behind is removed by the next one.

    Raises:
        UsageError: a name or a version that cannot be a folder of a repository.
        RepositoryError: the version exists, or the disk will not have it.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"model name {name!r}: use letters, digits, '_', '-' and '.', not starting with '-' or '.'"
        )
    if version is not None and not VERSION.fullmatch(str(version)):
        raise UsageError(f"version {version}: use a whole number from 1 on")
    folder = root / name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root):
            target = folder / str(version or newest(folder) + 1)
            if target.exists():
                raise RepositoryError(
                    f"{target}: this version exists; leave --version out for the next one"
                )
            for stale in root.glob(f"{STAGE}*"):
                shutil.rmtree(stale)
            stage = Path(tempfile.mkdtemp(prefix=STAGE, dir=root))
            try:
                yield ModelVersion(name, int(target.name), stage)
                _flush(stage)
                folder.mkdir(exist_ok=True)
                stage.rename(target)
                _sync(folder)
            finally:
                shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        what = error.strerror or str(error)
        raise RepositoryError(
            f"{folder}: cannot install the model: {what}; nothing was changed"
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a folder for this process; the lock ends with the process, whatever ends it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def newest(folder: Path) -> int:
    """The highest version number in a model's folder; 0 if there is none."""
    if not folder.is_dir():
        return 0
    return max(
        (int(entry.name) for entry in folder.iterdir() if VERSION.fullmatch(entry.name)), default=0
    )


def _flush(folder: Path) -> None:
    folder.chmod(0o755)  # mkdtemp's 0700 would shut out a server that runs as another user
    for file in folder.iterdir():
        file.chmod(0o644)
        _sync(file)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_config(root: Path, name: str, config: ModelConfig) -> None:
    """Writes ``config.json`` of a model, at once or not at all."""
    folder = root / name
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".config-", delete=False) as file:
        file.write(config.model_dump_json(exclude_defaults=True, indent=2) + "\n")
    Path(file.name).chmod(0o644)
    Path(file.name).replace(folder / CONFIG)


def write_check(path: Path, check: Check) -> None:
    """Writes ``check.safetensors``: ``inputs/NAME``, ``outputs/NAME`` and ``layers/NAME``, shapes in the header."""
    from safetensors.numpy import save_file

    arrays = {f"inputs/{name}": np.ascontiguousarray(array) for name, array in check.inputs.items()}
    index: dict[str, Any] = {
        "tolerance": check.tolerance,
        "evidence": check.evidence,
        "inputs": list(check.inputs),
    }
    for kind, recorded in (("outputs", check.outputs), ("layers", check.layers)):
        arrays |= {f"{kind}/{name}": one.values for name, one in recorded.items()}
        index[kind] = [
            {"name": name, "shape": one.shape, "stride": one.stride}
            for name, one in recorded.items()
        ]
    save_file(arrays, path, {"cortex.check": json.dumps(index)})


def read_check(path: Path) -> Check:
    """Reads what ``write_check`` wrote.

    Raises:
        UnreadableFile: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            index = json.loads((file.metadata() or {})["cortex.check"])

            def recorded(kind: str) -> Mapping[str, Recorded]:
                entries: Sequence[Mapping[str, Any]] = index[kind]
                return {
                    at["name"]: Recorded(
                        tuple(at["shape"]), array(f"{kind}/{at['name']}"), at["stride"]
                    )
                    for at in entries
                }

            def array(name: str) -> Array:
                return file.get_tensor(name)

            return Check(
                {name: array(f"inputs/{name}") for name in index["inputs"]},
                recorded("outputs"),
                recorded("layers"),
                float(index["tolerance"]),
                str(index["evidence"]),
            )
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise UnreadableFile(f"{path}: a damaged check file: {error}") from None
