"""Programs that run other people's libraries on files that may be hostile, each in limits."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

SECONDS = 1800
LONGEST_WORD = 200  # characters of what a library says of a file
LARGEST_FILE = 64 << 30  # bytes that the process may write to one file
SMALLEST_SPACE = 64 << 30  # bytes; libraries reserve many more addresses than they use


def run_caged(
    module: str, arguments: Sequence[str], answer: Path, environment: Mapping[str, str]
) -> str | None:
    """Runs a program of ours that writes ``answer``; what went wrong, if something did."""
    answer.unlink(missing_ok=True)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", module, *arguments],
            capture_output=True, text=True, errors="replace", timeout=SECONDS,
            env={**os.environ, **environment}, cwd=answer.parent, stdin=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"it did not answer within {SECONDS} seconds"
    if done.returncode == 0 and answer.exists():
        return None
    return next(_said(done.stderr), f"it ended with {done.returncode}")


def _said(text: str) -> Iterator[str]:
    """The lines of an error, from the last."""
    return (line.strip() for line in reversed(text.splitlines()) if line.strip())


def in_a_cage(work: Callable[[], None]) -> int:
    """Does the work of such a program; 0, or 1 and a line that says what went wrong."""
    set_limits()
    try:
        work()
    except Exception as error:  # a library raises whatever it likes about a file it cannot read
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        told = textwrap.shorten(said[0] if said else "", LONGEST_WORD)
        print(f"{type(error).__name__}: {told}", file=sys.stderr)
        return 1
    return 0


def set_limits() -> None:
    """Bounds what the process may use, for the file may be hostile."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = {
        resource.RLIMIT_AS: max(memory, SMALLEST_SPACE),
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: SECONDS * (os.cpu_count() or 1),
        resource.RLIMIT_FSIZE: LARGEST_FILE,
    }
    for limit, number in limits.items():
        _, most = resource.getrlimit(limit)
        number = number if most == resource.RLIM_INFINITY else min(number, most)
        resource.setrlimit(limit, (number, number))
