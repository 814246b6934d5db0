"""How many rows share a run, and how many runs go side by side: measured when a model is opened.

On one machine one session that uses every core for each run wins, on another, or for another model,
a run on each core. Which does is told by running both for a moment.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter, thread_time

import numpy as np

from ...runtime.repository import ModelConfig
from ..datatypes import BYTES
from ..tensors import Array
from .machine import machine
from .providers import GPU, cores
from .session import Program

log = logging.getLogger(__name__)

MAX_BATCH = 32  # where nothing can be measured
SIZES = (8, 16, 32, 64)
HAND_OVER = 100e-6  # seconds that a run costs besides: to bring it to a thread and its answers back
GPU_RUNNERS = 2  # of a device: one prepares while the other runs; more make the batches smaller
NEAR = 1.05  # times the least time a row: the smallest batch that is so cheap answers sooner
BETTER = 1.2  # times the rate of one run a core, for fewer at a time with more threads
MOMENT = 0.005  # seconds for each measurement, or a few runs
ROUNDS = 4
SLOW = 0.25  # seconds of a run of one row from which on nothing is measured
LONGEST = 1.0  # seconds of a run of a slow model
LARGE = 100 << 20  # bytes of a model that is opened first for one run at a time: it is slow
TINY = 300e-6  # seconds of a run of one row up to which threads within it gain nothing
BUDGET = 0.8  # seconds for all measurements of a model
FOLDER = "tuning"

Open = Callable[[int], Program]
_one = threading.Lock()  # models open side by side, and would measure each other


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a model is run.

    Attributes:
        max_batch: most rows of a run.
        runners: runs at a time.
        threads: of each run.
        source: where these come from: ``config``, ``measured``, ``kept``, or ``default``, for a
            model that takes too long to measure or whose inputs cannot be made up.
    """

    max_batch: int
    runners: int
    threads: int
    source: str

    def __str__(self) -> str:
        return (
            f"{self.runners} runs at a time, of up to {self.max_batch} rows, on {self.threads} "
            f"threads each ({self.source})"
        )


class Tunings:
    """What was measured before, by model and machine; in ``cache_dir`` too, if there is one."""

    def __init__(self, cache_dir: Path | None = None) -> None:
        self._folder = cache_dir and cache_dir / FOLDER
        self._known: dict[str, Tuning] = {}

    def get(self, key: str) -> Tuning | None:
        """What was measured."""
        if key not in self._known and self._folder:
            with suppress(OSError, ValueError, TypeError):
                found = json.loads((self._folder / f"{key}.json").read_text())
                self._known[key] = Tuning(**found)
        found = self._known.get(key)
        return replace(found, source="kept") if found else None

    def put(self, key: str, tuning: Tuning) -> None:
        """Keeps it; without a place to write to, as long as this process lasts."""
        self._known[key] = tuning
        if self._folder:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                stage = self._folder / f".{key}-{threading.get_ident()}"
                stage.write_text(json.dumps(asdict(tuning)))
                stage.replace(self._folder / f"{key}.json")
            except OSError as error:
                log.warning("%s: cannot keep what was measured: %s", self._folder, error.strerror)


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to be tuned.

    Attributes:
        file: its graph.
        config: what it says is not measured.
        provider: where it runs, on so many ``devices``.
        inputs: of its check, if it has one.
        open_on: opens it for runs of so many threads.
    """

    file: Path
    config: ModelConfig
    provider: str
    devices: int
    inputs: Mapping[str, Array] | None
    open_on: Open

    def runners(self) -> Sequence[int]:
        """How many runs at a time to try; the first unless another is clearly better."""
        if self.config.runners:
            return [self.config.runners]
        if self.provider in GPU:
            return [GPU_RUNNERS * self.devices]
        numbers = [cores()]
        while numbers[-1] > 1:
            numbers.append(max(1, numbers[-1] // 4))
        return numbers[::-1] if _size(self.file) > LARGE else numbers

    def threads(self, runners: int) -> int:
        """Of each of so many runs at a time."""
        return 1 if self.provider in GPU else max(1, cores() // runners)

    def key(self) -> str:
        """What a measurement holds for."""
        told = (self.config.max_batch, self.config.runners, self.provider, self.devices)
        graph = self.file.read_bytes()
        return hashlib.sha256(graph + repr((told, *machine())).encode()).hexdigest()


def tuned(subject: Subject, tunings: Tunings) -> tuple[Tuning, Program]:
    """How to run a model, and its program, opened for that."""
    config, runners = subject.config, subject.runners()[0]
    usual = Tuning(config.max_batch or MAX_BATCH, runners, subject.threads(runners), "default")
    if config.max_batch and config.runners:
        return replace(usual, source="config"), subject.open_on(usual.threads)
    key = subject.key()
    if known := tunings.get(key):
        return known, subject.open_on(known.threads)
    program = subject.open_on(usual.threads)
    sample = _sample(program, subject.inputs)
    if sample is None:
        return usual, program
    with _one:
        found = tunings.get(key)  # one with the same graph that opened meanwhile
        if found is None:
            found, program = _measured(usual, subject, program, sample)
            tunings.put(key, found)
            return found, program
    return found, program if found.threads == usual.threads else subject.open_on(found.threads)


def _measured(
    usual: Tuning, subject: Subject, program: Program, sample: Mapping[str, Array]
) -> tuple[Tuning, Program]:
    began = perf_counter()
    clock = thread_time if usual.threads == 1 and subject.provider not in GPU else perf_counter
    row = _seconds(program, sample, clock)
    if row > SLOW:
        return _slow(usual, subject, program, row)
    max_batch = subject.config.max_batch or usual.max_batch
    if batches(program) and not subject.config.max_batch:
        max_batch = _cheapest(program, sample, clock)
    found = replace(usual, max_batch=max_batch, source="measured")
    if row < TINY:
        return found, program
    for runners in subject.runners()[1:]:
        if perf_counter() - began > BUDGET:
            break
        other = subject.open_on(subject.threads(runners))
        if _gain(program, found.runners, other, runners, sample) > BETTER:
            found = replace(found, runners=runners, threads=subject.threads(runners))
            program = other
    return found, program


def _cheapest(program: Program, sample: Mapping[str, Array], clock: Callable[[], float]) -> int:
    """The rows of a run from which on more make a row hardly cheaper."""
    began = perf_counter()
    costs: dict[int, float] = {}
    for rows in SIZES:
        costs[rows] = (HAND_OVER + _seconds(program, _repeated(sample, rows), clock)) / rows
        if perf_counter() - began > BUDGET / 2:
            break
    return min(rows for rows, cost in costs.items() if cost <= NEAR * min(costs.values()))


def _gain(
    program: Program, runners: int, other: Program, others: int, inputs: Mapping[str, Array]
) -> float:
    """How many times as fast ``other`` is; taken in turns, as other work comes and goes."""
    began = perf_counter()
    rates: list[tuple[float, float]] = []
    while len(rates) < ROUNDS and perf_counter() - began < BUDGET / 2:
        rates.append((_rate(program, inputs, runners), _rate(other, inputs, others)))
    return max(rate for _, rate in rates) / max(rate for rate, _ in rates)


def _slow(usual: Tuning, subject: Subject, program: Program, row: float) -> tuple[Tuning, Program]:
    """One run at a time on all cores: as many rows a second as any, and each of them sooner."""
    rows = subject.config.max_batch or min(MAX_BATCH, max(1, int(LONGEST / row)))
    runners = min(subject.runners())
    found = Tuning(rows, runners, subject.threads(runners), "measured")
    return found, program if runners == usual.runners else subject.open_on(found.threads)


def batches(program: Program) -> bool:
    """Whether requests share its runs."""
    return program.batched([spec.name for spec in program.outputs])


def _size(model: Path) -> int:
    """Of all files of a model."""
    return sum(file.stat().st_size for file in model.parent.iterdir() if file.is_file())


def _sample(program: Program, inputs: Mapping[str, Array] | None) -> Mapping[str, Array] | None:
    """An input of one row, where rows can be joined: of the check, else all zeros.

    None for text, and where a size is open besides the batch.
    """
    batched = batches(program)
    if inputs is not None:
        return {name: array[:1] if batched else array for name, array in inputs.items()}
    sample: dict[str, Array] = {}
    for spec in program.inputs:
        sizes = [size for size in spec.shape[batched:] if isinstance(size, int)]
        if spec.datatype is BYTES or len(sizes) + batched < len(spec.shape):
            return None
        sample[spec.name] = np.zeros([1] * batched + sizes, spec.datatype.dtype)
    return sample


def _repeated(sample: Mapping[str, Array], rows: int) -> Mapping[str, Array]:
    if rows == 1:
        return sample
    return {name: np.repeat(array, rows, axis=0) for name, array in sample.items()}


def _seconds(program: Program, inputs: Mapping[str, Array], clock: Callable[[], float]) -> float:
    """How long a run takes at best, once the first, which may be longer, is over.

    ``clock`` is that of this thread alone where it does all the work: what else this machine is
    busy with does not count then.
    """
    names = [spec.name for spec in program.outputs]
    best, began, count = math.inf, perf_counter(), 0
    while count < 3 or perf_counter() - began < MOMENT:
        before = clock()
        program.run(inputs, names)
        took = clock() - before
        if count or took > 2 * SLOW:
            best = min(best, took)
        if took > 2 * SLOW:
            break
        count += 1
    return best


def _rate(program: Program, inputs: Mapping[str, Array], runners: int) -> float:
    """Runs a second, so many at a time; all begin together, and each thread makes two at least."""
    names = [spec.name for spec in program.outputs]
    start = threading.Barrier(runners)

    def work(_: int) -> float:
        program.run(inputs, names)
        start.wait()
        began, count = perf_counter(), 0
        while count < 2 or perf_counter() - began < MOMENT:
            program.run(inputs, names)
            count += 1
        return count / (perf_counter() - began)

    with ThreadPoolExecutor(runners) as pool:
        return sum(pool.map(work, range(runners)))
