"""onnxruntime, as the server uses it: sessions that many threads run at once."""

from __future__ import annotations

import functools
import re
import textwrap
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ...runtime.errors import Unsupported
from ..datatypes import BF16, BYTES, Datatype, of_onnx
from ..errors import Internal, InvalidArgument
from ..tensors import Array
from .bfloat16 import run_bits
from .binding import Bound, page_locked
from .optimized import Optimized
from .providers import GPU, NOTHING, Choice, device, runtime
from .tensorrt import engines

if TYPE_CHECKING:
    from onnx import ModelProto

Size: TypeAlias = int | str | None  # of an axis; a name or None where it is open

EXTERNAL_DATA = "session.model_external_initializers_file_folder_path"
PLACES = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |/onnxruntime_src/\S+ .*?\) ")
MOST_SAID = 300  # characters
NO_GRAPH = "gpu_graph_id", "-1"
"""That a GPU records no run, which none does; onnxruntime looks for it at each run with a binding,
and takes 30 µs to find nothing."""
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
    """How a model's sessions are made: where, and on how many threads each of their runs works.

    ``run_options`` are shared by all runs: ``stop`` ends those under way. What is made of a model
    is kept in ``cache_dir``, if there is one.
    """

    choice: Choice
    threads: int
    run_options: Any
    cache_dir: Path | None = None

    @classmethod
    def create(cls, choice: Choice, threads: int = 1, cache_dir: Path | None = None) -> Engine:
        """An engine whose runs have options of their own."""
        options = runtime().RunOptions()
        options.add_run_config_entry(*NO_GRAPH)
        return cls(choice, threads, options, cache_dir)

    def open(self, model: Path | ModelProto, folder: Path) -> Program:
        """Opens a model whose weights lie in ``folder``, once for each device.

        Raises:
            Unsupported: onnxruntime cannot run it, here, or the protocol cannot carry its tensors.
        """
        built = NOTHING
        if self.cache_dir and isinstance(model, Path) and "tensorrt" in self.choice.names:
            built = engines(self.cache_dir, model)
        try:
            sessions = [self._session(model, folder, told) for told in self.choice.instances(built)]
        except Exception as error:  # onnxruntime's errors have no root but this one
            raise Unsupported(f"onnxruntime does not open the model: {_plain(error)}") from error
        return Program(sessions, self.run_options, self.choice.running(sessions[0]))

    def on(self, threads: int) -> Engine:
        """The same with so many threads for each run."""
        return replace(self, threads=threads)

    def stop(self) -> None:
        """Ends the runs that are under way; they raise."""
        self.run_options.terminate = True

    def _session(self, model: Path | ModelProto, folder: Path, providers: Sequence[Any]) -> Any:
        if self.cache_dir and isinstance(model, Path) and self.choice.names[0] == "cpu":
            return Optimized(self.cache_dir).session(model, self._options, providers)
        source = str(model) if isinstance(model, Path) else model.SerializeToString()
        return runtime().InferenceSession(source, self._options(folder), providers)

    def _options(self, folder: Path) -> Any:
        options = runtime().SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = FATAL
        # A thread that spins while it waits for work takes its core from whoever would bring the
        # work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry(EXTERNAL_DATA, str(folder))
        return options


class Program:
    """An open model, in one session for each device. Any number of threads may run it at once."""

    def __init__(self, sessions: Sequence[Any], options: Any, provider: str) -> None:
        self.provider = provider
        self.sessions = sessions
        self._options = options
        self.inputs = tuple(_spec(value, "input") for value in sessions[0].get_inputs())
        self.outputs = tuple(_spec(value, "output") for value in sessions[0].get_outputs())
        self.names = [spec.name for spec in self.inputs]
        runs = [self._runner(session) for session in sessions]
        self._run: Any = runs[0] if len(runs) == 1 else LeastBusy(runs)

    @property
    def instances(self) -> Sequence[Program]:
        """Each session as a program of its own."""
        if len(self.sessions) == 1:
            return [self]
        return [Program([each], self._options, self.provider) for each in self.sessions]

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Computes the named outputs.

        Raises:
            InvalidArgument: onnxruntime refuses the values, such as an index beyond the end of a
                table.
            Internal: a string among the outputs is not UTF-8: onnxruntime gives none such.
        """
        feeds = {name: np.require(array, requirements=["C", "A"]) for name, array in inputs.items()}
        try:
            found: Any = self._run(outputs, feeds, self._options)
        except _refusal() as error:
            raise InvalidArgument(f"the model refuses the values: {_reason(error)}") from None
        except UnicodeDecodeError:
            raise Internal("the model answers with text that is not UTF-8") from None
        return found

    def _runner(self, session: Any) -> Callable[..., Any]:
        """What runs a session."""
        datatypes = {spec.datatype for spec in (*self.inputs, *self.outputs)}
        run = session.run
        if BF16 in datatypes:
            if any(spec.datatype is BYTES for spec in self.inputs):
                raise Unsupported("BF16 beside BYTES inputs: onnxruntime takes one or the other")
            run = functools.partial(run_bits, session)
        if self.provider not in GPU or BYTES in datatypes:
            return run
        return Bound(session, self.inputs, self.outputs, page_locked(device(session)), run)

    def batched(self, outputs: Sequence[str]) -> bool:
        """Whether rows of several requests may be joined: all first axes are one open axis."""
        specs = [*self.inputs, *(spec for spec in self.outputs if spec.name in outputs)]
        first = {spec.shape[0] if spec.shape else None for spec in specs}
        return len(first) == 1 and bool(self.inputs) and isinstance(first.pop(), str)


class LeastBusy:
    """Runs on whichever of several sessions has the least to do."""

    def __init__(self, runs: Sequence[Callable[..., Any]]) -> None:
        self._runs = runs
        self._lock = threading.Lock()
        self._busy = [0] * len(runs)

    def __call__(self, *arguments: Any) -> Any:
        with self._lock:
            which = self._busy.index(min(self._busy))
            self._busy[which] += 1
        try:
            return self._runs[which](*arguments)
        finally:
            with self._lock:
                self._busy[which] -= 1


@dataclass(frozen=True, slots=True)
class Run:
    """A program with the outputs that are wanted of it; equal ones may share a batch."""

    program: Program
    outputs: tuple[str, ...]

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        """Runs it on arrays in the order of the program's inputs."""
        return self.program.run(dict(zip(self.program.names, inputs, strict=True)), self.outputs)


@functools.cache
def _refusal() -> type[Exception]:
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    return InvalidArgument


def _reason(error: Exception) -> str:
    return str(error).rpartition("Status Message: ")[2]


def _plain(error: Exception) -> str:
    """What onnxruntime says, without where in its own source it says so."""
    return textwrap.shorten(PLACES.sub("", str(error)), MOST_SAID, placeholder=" …")


def _spec(value: Any, kind: str) -> TensorSpec:
    try:
        return TensorSpec(value.name, of_onnx(value.type), tuple(value.shape))
    except Unsupported as error:
        raise Unsupported(f"{kind} {value.name!r}: {error}") from None
