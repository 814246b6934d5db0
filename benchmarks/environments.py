"""Environments for peers: each its own, made once from a requirements file, kept in a cache.

~/.cache/cortex/peers/NAME-HASH/     requirements-NAME.txt, installed
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


class Unavailable(Exception):
    """A peer cannot be run here; says why."""


def cache() -> Path:
    """Where environments are kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "cortex" / "peers"


def interpreter(name: str, folder: Path) -> str:
    """The Python of an environment, which is made in ``folder`` if it is not there yet.

    Raises:
        Unavailable: it cannot be made.
    """
    file = Path(__file__).with_name(f"requirements-{name}.txt")
    key = hashlib.sha256(file.read_bytes() + sys.version.encode()).hexdigest()[:12]
    place = folder / f"{name}-{key}"
    complete, python = place / "complete", str(place / "bin" / "python")
    if not complete.exists():
        said([sys.executable, "-m", "venv", "--clear", str(place)])
        said([python, "-m", "pip", "install", "--quiet", "--requirement", str(file)])
        complete.touch()
    return python


def said(command: Sequence[str]) -> str:
    """What a command prints.

    Raises:
        Unavailable: it fails.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unavailable(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        if "connection broken" in done.stderr:
            raise Unavailable("the package index cannot be reached")
        raise Unavailable((done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1])
    return done.stdout.strip()
