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
import math
import os
import re
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from . import weights
from .check import Array, Check, Recorded
from .errors import RepositoryError, UnreadableFile, UsageError, problem
from .files import probe, sync, told
from .preprocessing import Preprocessing
from .text import with_strings, without_strings
from .versions import Latest, VersionPolicy

MODEL, WEIGHTS, CHECK, REPORT, CONFIG = (
    "model.onnx",
    "weights.safetensors",
    "check.safetensors",
    "report.json",
    "config.json",
)
SERVED = MODEL, WEIGHTS, CHECK
"""What a server reads of a version, and must find as it was written."""
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
VERSION = re.compile(r"[1-9][0-9]{0,17}")
STAGE = ".staging-"
INDEX = "cortex.check"
"""The key of a check file's metadata under which it says, as JSON, what its arrays are."""


class ModelConfig(BaseModel):
    """How a model wants to be served. Every field may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: tuple[str, ...] = ()
    """What the positions of the last axis of the first output mean."""
    preprocessing: Preprocessing | None = None
    """What a picture goes through before it is an input; None: nobody has said."""
    decode_images: bool = False
    """Whether inputs that are pictures are taken encoded, as BYTES, and decoded by the server."""
    max_batch: int | None = Field(default=None, ge=1, le=65_536)
    """Most rows gathered into one execution; a request that brings more runs alone, uncut. None:
    what is measured to be best."""
    queue_delay_ms: float = Field(default=0.0, ge=0.0, le=60_000.0)
    """How long a batch that is not full waits for more, in milliseconds."""
    max_queue: int = Field(default=1024, ge=1)
    """Most requests that wait; one more is refused at once."""
    default_priority: int = Field(default=10, ge=1)
    """Of requests that name none; 1 is the highest."""
    timeout_ms: float | None = Field(default=None, gt=0.0)
    """How long a request that names no limit may take, in milliseconds; None: any time."""
    runners: int | None = Field(default=None, ge=1, le=256)
    """Threads that execute batches side by side; None: what is measured to be best."""
    providers: tuple[Literal["tensorrt", "cuda", "cpu"], ...] = ()
    """Where to run, in order of preference; the log tells which are passed over. None: on a GPU if
    there is one, else the CPU."""
    devices: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """The GPUs to run on, by number, with an instance of the model on each; none: the first."""
    response_cache: bool = False
    """Whether an answer is kept for requests that bring the same bytes again."""
    version_policy: VersionPolicy = Latest(latest=1)
    """Which versions are served: ``"all"``, ``{"latest": 2}``, or a list of them."""


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


def check_place(root: Path, name: str) -> None:
    """Refuses what ``install`` would, before there is anything to install; makes ``root``.

    Raises:
        UsageError: a name that cannot be a folder of a repository.
        RepositoryError: the disk will not have it.
    """
    _check_name(name)
    folder = root / name
    try:
        probe(root)
        if folder.exists():
            probe(folder)
    except OSError as error:
        raise RepositoryError(f"{folder}: cannot install the model: {told(error)}") from error


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UsageError(
            f"model name {name!r}: use letters, digits, '_', '-' and '.', "
            "and neither '-' nor '.' for the first"
        )


@contextmanager
def install(root: Path, name: str, version: int | None = None) -> Generator[ModelVersion]:
    """Yields the version to be, in an empty folder; when the block ends well, it is moved in place.

    ``version`` None takes the next number. One installation at a time has the repository; others
    wait. What an installation that was killed left behind is removed by the next one.

    Raises:
        UsageError: a name or a version that cannot be a folder of a repository.
        RepositoryError: the version exists, or the disk will not have it.
    """
    _check_name(name)
    if version is not None and not VERSION.fullmatch(str(version)):
        raise UsageError(f"version {version}: use a whole number from 1 on")
    folder = root / name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root):
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
                _move(stage, target)
            finally:
                shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        raise RepositoryError(
            f"{folder}: cannot install the model: {told(error)}; nothing was changed"
        ) from error


def _move(stage: Path, target: Path) -> None:
    folder = target.parent
    folder.mkdir(exist_ok=True)
    try:
        stage.rename(target)
    except OSError:
        with suppress(OSError):  # it has other versions
            folder.rmdir()
        raise
    sync(folder)


@contextmanager
def locked(folder: Path) -> Generator[None]:
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
        sync(file)
    sync(folder)


def write_config(root: Path, name: str, config: ModelConfig) -> None:
    """Writes ``config.json`` of a model, at once or not at all.

    Raises:
        RepositoryError: the disk will not have it.
    """
    file = root / name / CONFIG
    stage = file.with_name(f".{CONFIG}-{os.getpid()}")
    try:
        try:
            stage.write_text(config.model_dump_json(exclude_defaults=True, indent=2) + "\n")
            sync(stage)
            stage.replace(file)
        finally:
            stage.unlink(missing_ok=True)
    except OSError as error:
        raise RepositoryError(f"{file}: cannot be written: {told(error)}") from error


def write_check(path: Path, check: Check) -> None:
    """Writes ``check.safetensors``: ``inputs/NAME``, ``outputs/NAME`` and ``layers/NAME``.

    What else there is to know of them stands in the header.
    """
    arrays = {f"inputs/{name}": array for name, array in check.inputs.items()}
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
    weights.write(path, without_strings(arrays), {INDEX: json.dumps(index)})


def read_check(path: Path) -> Check:
    """Reads what ``write_check`` wrote.

    Raises:
        UnreadableFile: the file is damaged.
    """
    file = weights.WeightsFile.open(path)
    try:
        arrays = with_strings(file.arrays())
        index: Mapping[str, Any] = json.loads(file.metadata[INDEX])
        return Check(
            {name: arrays[f"inputs/{name}"] for name in index["inputs"]},
            {at["name"]: _recorded(at, arrays, "outputs") for at in index["outputs"]},
            {at["name"]: _recorded(at, arrays, "layers") for at in index["layers"]},
            float(index["tolerance"]),
            str(index["evidence"]),
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path}: a damaged check file: {error!r}") from None


def _recorded(at: Mapping[str, Any], arrays: Mapping[str, Array], kind: str) -> Recorded:
    values, shape, stride = arrays[f"{kind}/{at['name']}"], tuple(at["shape"]), at["stride"]
    if not all(type(n) is int for n in (*shape, stride)) or stride < 1:
        raise ValueError(f"shape {shape} and stride {stride}")
    if values.shape != (-(-math.prod(shape) // stride),):
        raise ValueError(f"{values.size} elements of {shape}, one in {stride}")
    return Recorded(shape, values, stride)
