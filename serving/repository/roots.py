"""The places that hold repositories, seen alike: files by relative path, each with a stamp."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from ...runtime.errors import RepositoryError

log = logging.getLogger(__name__)

DEPTH = 3  # ROOT/NAME/VERSION/file
RESCUED = "lost+found"  # a volume of its own has one, closed to all
NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES)  # where links may lead


class Stamp(NamedTuple):
    """What a file looked like from outside: it has changed if and only if this has."""

    size: int
    mark: Hashable


class Root(Protocol):
    """A repository. All methods block, and belong on a thread."""

    @property
    def place(self) -> str:
        """What the user called it, without a slash at the end."""
        ...

    def files(self) -> Mapping[str, Stamp]:
        """The files of its models, by path: ``NAME/file`` and ``NAME/VERSION/file``.

        Raises:
            RepositoryError: it is not there, or cannot be listed.
        """
        ...

    def read(self, file: str) -> bytes:
        """What a small file holds.

        Raises:
            RepositoryError: it cannot be read.
        """
        ...

    def bring(self, folder: str, files: Mapping[str, Stamp]) -> Path:
        """A folder on this machine that has the named ``files`` of ``folder``, all of them.

        Raises:
            RepositoryError: they cannot be read, or changed meanwhile.
        """
        ...

    def drop(self, folder: Path) -> None:
        """Nobody needs what ``bring`` returned any more."""
        ...


class LocalRoot:
    """A folder of this machine; its files are used where they lie."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closed: set[str] = set()
        self.place = str(folder)

    def files(self) -> Mapping[str, Stamp]:
        """As ``Root``."""
        if not self._folder.is_dir():
            raise RepositoryError(
                f"{self.place}: no such folder; name a model repository "
                "(cortex-import writes ./models)"
            )
        try:
            return dict(self._walk(str(self._folder), "", DEPTH))
        except OSError as error:
            raise RepositoryError(f"{error.filename}: {error.strerror}") from None

    def read(self, file: str) -> bytes:
        """As ``Root``."""
        try:
            return (self._folder / file).read_bytes()
        except OSError as error:
            raise RepositoryError(f"{self.place}/{file}: {error.strerror}") from None

    def bring(self, folder: str, files: Mapping[str, Stamp]) -> Path:
        """As ``Root``; it is the folder itself."""
        return self._folder / folder

    def drop(self, folder: Path) -> None:
        """As ``Root``; what is the user's own stays."""

    def _walk(self, folder: str, prefix: str, depth: int) -> Iterator[tuple[str, Stamp]]:
        """The files below a folder; what vanishes while it is looked at was never there."""
        for entry in self._entries(folder, prefix):
            path, at = f"{prefix}{entry.name}", _looked_at(entry)
            if at is None:
                continue
            if stat.S_ISDIR(at.st_mode):
                if depth > 1 and not entry.name.startswith("."):
                    yield from self._walk(entry.path, f"{path}/", depth - 1)
            elif prefix and stat.S_ISREG(at.st_mode):  # who opens a pipe waits for a writer
                yield path, Stamp(at.st_size, (at.st_mtime_ns, at.st_ino))

    def _entries(self, folder: str, prefix: str) -> Sequence[os.DirEntry[str]]:
        """What a folder holds. A model's that is closed to us must not close the others."""
        try:
            return list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except PermissionError as error:
            if not prefix:
                raise
            if folder not in self._closed and os.path.basename(folder) != RESCUED:
                self._closed.add(folder)
                log.warning("%s: not looked at: %s", folder, error.strerror)
            return []


def _looked_at(entry: os.DirEntry[str]) -> os.stat_result | None:
    """What lies there, behind links; None: nothing, or nothing for us."""
    try:
        return entry.stat()
    except OSError as error:
        if error.errno in NOWHERE:
            return None
        raise
