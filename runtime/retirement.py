"""Taking old versions of a model out of its repository, under a server that reads it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from .errors import RepositoryError
from .files import sync, told
from .repository import STAGE, ModelVersion, locked, versions
from .versions import Latest

LEAST = 2
"""Versions that stay: with the one before it a server answers until it has loaded the newest."""


def retire(
    root: Path, name: str, keep: int, ours: Callable[[ModelVersion], bool]
) -> list[ModelVersion]:
    """Removes the versions of a model that are ``ours`` and not among the newest ``keep``.

    What the model's configuration wants served stays, and so does what it is served with until a
    newer one is loaded. A version goes as a whole: no reader sees a part of it. Returns what went.

    Raises:
        RepositoryError: the disk will not have it, or the configuration makes no sense.
    """
    try:
        with locked(root):
            there = [at for at in versions(root) if at.name == name]
            gone = [at for at in _older(there, keep) if ours(at)]
            for version in gone:
                _remove(version.path, root)
    except OSError as error:
        raise RepositoryError(
            f"{root / name}: cannot remove an old version: {told(error)}"
        ) from error
    return gone


def _older(there: list[ModelVersion], keep: int) -> list[ModelVersion]:
    """Versions, in rising order, that nobody wants served."""
    policy = there[-1].config().version_policy if there else "all"
    if policy == "all":
        return []
    wanted = policy.latest + 1 if isinstance(policy, Latest) else LEAST
    named = policy if isinstance(policy, tuple) else ()
    return [at for at in there[: -max(keep, wanted, LEAST)] if at.version not in named]


def _remove(folder: Path, root: Path) -> None:
    """Renames it to what the next installation would sweep away, and sweeps it away."""
    stage = Path(tempfile.mkdtemp(prefix=STAGE, dir=root))
    folder.rename(stage)
    sync(folder.parent)
    shutil.rmtree(stage, ignore_errors=True)
