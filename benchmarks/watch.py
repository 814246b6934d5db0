"""Commands run under limits of memory and time, measured from outside.

What counts as memory is anonymous memory, of a command and of the processes it started: pages of
mapped files are the kernel's to take back. A limit on addresses (``RLIMIT_AS``) would refuse
programs that reserve far more than they use, so what they use is watched, and one that goes beyond
is killed with everything it started.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile

EVERY = 0.02  # seconds between two looks


@dataclass(frozen=True)
class Limits:
    """Bytes of anonymous memory and seconds."""

    memory: float
    seconds: float


@dataclass(frozen=True)
class Run:
    """What a command took, up to where it ended.

    Seconds by the clock, the peak of its memory in bytes, why it did not finish, and seconds of
    computing: those say what is the command's own where others use the machine.
    """

    seconds: float
    peak: int
    failure: str = ""
    cpu: float = 0.0


def anonymous(process: int) -> int:
    """Anonymous memory of a process and of its children in bytes; 0 for one that is gone."""
    folder, found = Path(f"/proc/{process}"), 0
    with suppress(OSError):
        for line in (folder / "status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                found = int(line.split()[1]) * 1024
        for thread in (folder / "task").iterdir():
            found += sum(map(anonymous, map(int, (thread / "children").read_text().split())))
    return found


def watched(
    command: Sequence[str],
    limits: Limits,
    environment: Mapping[str, str] | None = None,
    *,
    until_line: bool = False,
) -> Run:
    """Runs a command to its end, or ``until_line`` to its first line of output; then ends it."""
    with TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE if until_line else subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        before = _computed()
        try:
            run = _watch(process, limits, errors.fileno())
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()
        return replace(run, cpu=_computed() - before)


def _computed() -> float:
    """Seconds that the processes waited for have computed, and those that they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watch(process: subprocess.Popen[bytes], limits: Limits, errors: int) -> Run:
    with suppress(OSError):  # where memory is short, this is what the kernel should end
        Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000")
    if process.stdout:
        os.set_blocking(process.stdout.fileno(), False)
    start, peak = time.monotonic(), 0
    while process.poll() is None:
        if process.stdout and process.stdout.readline():
            return Run(time.monotonic() - start, peak)
        peak = max(peak, anonymous(process.pid))
        if peak > limits.memory:
            return Run(time.monotonic() - start, peak, f"over {limits.memory / 1e9:g} GB")
        if time.monotonic() - start > limits.seconds:
            return Run(time.monotonic() - start, peak, f"over {limits.seconds:g} s")
        time.sleep(EVERY)
    seconds = time.monotonic() - start
    if process.returncode < 0:
        return Run(seconds, peak, f"killed: {signal.Signals(-process.returncode).name}")
    if process.returncode or process.stdout:
        os.lseek(errors, 0, os.SEEK_SET)
        said = os.read(errors, 1 << 20).decode(errors="replace").strip().splitlines()
        return Run(seconds, peak, said[-1] if said else f"exit code {process.returncode}")
    return Run(seconds, peak)
