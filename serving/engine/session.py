"""onnxruntime, as the server uses it: sessions that many threads run at once."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ...runtime.errors import MissingExtra, Unsupported
from ..datatypes import Datatype, of_onnx
from ..errors import InvalidArgument
from ..tensors import Array

if TYPE_CHECKING:
    from onnx import ModelProto

log = logging.getLogger(__name__)

Size: TypeAlias = int | str | None  # of an axis; a name or None where it is open

EXTERNAL_DATA = "session.model_external_initializers_file_folder_path"
PROVIDERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    # TF32 has ten bits of mantissa: models would no longer reproduce their checks.
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
    "cpu": ("CPUExecutionProvider", {}),
}
GPU_RUNNERS = 2  # one prepares while the other runs; more would only make the batches smaller
FATAL = 4  # what goes wrong in a session is raised, and reported once, by us


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output as the model declares it."""

    name: str
    datatype: Datatype
    shape: tuple[Size, ...]

    @property
    def sizes(self) -> list[int]:
        """Its shape as the protocol has it: -1 where an axis is open."""
        return [size if isinstance(size, int) else -1 for size in self.shape]


@dataclass(frozen=True)
class Engine:
    """How a model's sessions are made: on which providers, and for how many threads that run them.

    ``run_options`` are shared by all runs: ``stop`` ends those under way.
    """

    providers: Sequence[tuple[str, Mapping[str, str]]]
    runners: int
    run_options: Any

    @classmethod
    def create(cls, providers: Sequence[str], runners: int | None) -> Engine:
        """An engine on those of ``providers`` that are here, for so many runners, or as fits.

        Raises:
            MissingExtra: onnxruntime is not installed.
            Unsupported: none of the providers is here.
        """
        here = _available()
        chosen = [PROVIDERS[name] for name in providers if PROVIDERS[name][0] in here]
        if not chosen:
            raise Unsupported(f"it wants {' or '.join(providers)}, which this machine has not")
        fitting = GPU_RUNNERS if chosen[0] == PROVIDERS["cuda"] else cores()
        return cls(chosen, runners or fitting, runtime().RunOptions())

    def open(self, model: Path | ModelProto, folder: Path) -> Program:
        """Opens a model whose weights lie in ``folder``.

        Raises:
            Unsupported: onnxruntime cannot run it, here, or the protocol cannot carry its tensors.
        """
        source = str(model) if isinstance(model, Path) else model.SerializeToString()
        try:
            session = runtime().InferenceSession(source, self._options(folder), self.providers)
        except Exception as error:  # onnxruntime's errors have no root but this one
            raise Unsupported(f"onnxruntime does not open the model: {error}") from None
        if (first := self.providers[0][0]) not in session.get_providers():
            log.warning("%s: %s cannot be used here, running on the CPU", folder, first)
        return Program(session, self.run_options)

    def stop(self) -> None:
        """Ends the runs that are under way; they raise."""
        self.run_options.terminate = True

    def _options(self, folder: Path) -> Any:
        options = runtime().SessionOptions()
        options.intra_op_num_threads = max(1, cores() // self.runners)
        options.inter_op_num_threads = 1
        options.log_severity_level = FATAL
        # A thread that spins while it waits for work takes its core from whoever would bring the
        # work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry(EXTERNAL_DATA, str(folder))
        return options


class Program:
    """An open model. Any number of threads may run it at once."""

    def __init__(self, session: Any, options: Any) -> None:
        self._session = session
        self._options = options
        self.inputs = tuple(_spec(value, "input") for value in session.get_inputs())
        self.outputs = tuple(_spec(value, "output") for value in session.get_outputs())

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Computes the named outputs.

        Raises:
            InvalidArgument: onnxruntime refuses the values, such as an index beyond the end of a
                table.
        """
        feeds = {name: np.require(array, requirements=["C", "A"]) for name, array in inputs.items()}
        try:
            found: Any = self._session.run(outputs, feeds, self._options)
        except _refusal() as error:
            raise InvalidArgument(f"the model refuses the values: {_reason(error)}") from None
        return found

    def batched(self, outputs: Sequence[str]) -> bool:
        """Whether rows of several requests may be joined: all first axes are one open axis."""
        specs = [*self.inputs, *(spec for spec in self.outputs if spec.name in outputs)]
        first = {spec.shape[0] if spec.shape else None for spec in specs}
        return len(first) == 1 and bool(self.inputs) and isinstance(first.pop(), str)


@dataclass(frozen=True, slots=True)
class Run:
    """A program with the outputs that are wanted of it; equal ones may share a batch."""

    program: Program
    outputs: tuple[str, ...]

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        """Runs it on arrays in the order of the program's inputs."""
        names = (spec.name for spec in self.program.inputs)
        return self.program.run(dict(zip(names, inputs, strict=True)), self.outputs)


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


@functools.cache
def _refusal() -> type[Exception]:
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    return InvalidArgument


def _reason(error: Exception) -> str:
    return str(error).rpartition("Status Message: ")[2]


def _spec(value: Any, kind: str) -> TensorSpec:
    try:
        return TensorSpec(value.name, of_onnx(value.type), tuple(value.shape))
    except Unsupported as error:
        raise Unsupported(f"{kind} {value.name!r}: {error}") from None
