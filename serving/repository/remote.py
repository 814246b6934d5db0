"""Repositories in object stores and elsewhere: versions are copied here, whole, when wanted.

    CACHE/ROOT/NAME/VERSION-STAMP/model.onnx ...

ROOT and STAMP are hashes of the address and of what the files looked like: a copy is never changed,
and one that is there is complete, since it was renamed into place.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ...runtime.errors import MissingExtra, RepositoryError
from ...runtime.repository import STAGE
from .roots import DEPTH, Stamp

MARKS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems call that which changes when a file does; each has some of them."""


class RemoteRoot:
    """A repository that fsspec can reach. ``cache`` is where its copies go, and its alone.

    Raises:
        MissingExtra: fsspec is not installed.
        RepositoryError: the address makes no sense to it.
    """

    def __init__(self, uri: str, cache: Path) -> None:
        try:
            from fsspec.core import url_to_fs  # pyright: ignore[reportMissingTypeStubs]
        except ImportError:
            raise MissingExtra(f"a repository at {uri}", "remote") from None
        self.place = uri.rstrip("/")
        try:
            found: tuple[Any, str] = url_to_fs(self.place, use_listings_cache=False)
        except ImportError as error:
            raise RepositoryError(
                f"{uri}: {_line(error)}; S3 and GCS: pip install 'cortex-inference[remote]'"
            ) from None
        except ValueError as error:
            raise RepositoryError(f"{uri}: {_line(error)}") from None
        self._system, self._path = found
        self._cache = cache / _hash(self.place)
        self._pruned = False

    def files(self) -> Mapping[str, Stamp]:
        """As ``Root``."""
        try:
            self._system.invalidate_cache()
            found = self._system.find(self._path, maxdepth=DEPTH, detail=True)
            if not found and not self._system.exists(self._path):
                raise RepositoryError(f"{self.place}: no such folder; name a model repository")
        except RepositoryError:
            raise
        except Exception as error:  # every file system has errors of its own
            raise RepositoryError(f"{self.place}: cannot be listed: {_line(error)}") from None
        skip = len(self._path.rstrip("/")) + 1
        files = {path[skip:]: _stamp(at) for path, at in found.items() if "/" in path[skip:]}
        if not self._pruned:
            self._prune(files)
        return files

    def read(self, file: str) -> bytes:
        """As ``Root``."""
        try:
            content: bytes = self._system.cat_file(f"{self._path}/{file}")
            return content
        except Exception as error:
            raise RepositoryError(f"{self.place}/{file}: {_line(error)}") from None

    def bring(self, folder: str, files: Mapping[str, Stamp]) -> Path:
        """As ``Root``; copies the files unless they are here already."""
        target = self._target(folder, files)
        if target.is_dir():
            return target
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=STAGE, dir=self._cache) as stage:
                whole = Path(stage) / target.name
                whole.mkdir()
                for name, stamp in files.items():
                    self._copy(f"{folder}/{name}", whole / name, stamp)
                whole.rename(target)
        except OSError as error:
            raise RepositoryError(
                f"{target}: cannot keep a copy of {self.place}/{folder}: {_line(error)}; "
                "choose another place with --cache-dir"
            ) from None
        return target

    def drop(self, folder: Path) -> None:
        """As ``Root``; removes the copy."""
        shutil.rmtree(folder, ignore_errors=True)

    def _copy(self, file: str, target: Path, stamp: Stamp) -> None:
        try:
            self._system.get_file(f"{self._path}/{file}", str(target))
        except Exception as error:
            raise RepositoryError(f"{self.place}/{file}: {_line(error)}") from None
        if (size := target.stat().st_size) != stamp.size:
            raise RepositoryError(
                f"{self.place}/{file}: it has {size} bytes, listed were {stamp.size}; "
                "it changed while it was copied"
            )

    def _target(self, folder: str, files: Mapping[str, Stamp]) -> Path:
        name, _, version = folder.partition("/")
        return self._cache / name / f"{version or 0}-{_hash(repr(sorted(files.items())))}"

    def _prune(self, files: Mapping[str, Stamp]) -> None:
        """Removes the copies that an earlier server left and that are not of these files."""
        folders: dict[str, dict[str, Stamp]] = {}
        for path, stamp in files.items():
            folder, _, name = path.rpartition("/")
            folders.setdefault(folder, {})[name] = stamp
        current = {self._target(folder, within) for folder, within in folders.items()}
        for copy in self._cache.glob("*/*-*"):
            if copy not in current:
                self.drop(copy)
        self._pruned = True


def _stamp(found: Mapping[str, Any]) -> Stamp:
    return Stamp(int(found["size"]), tuple(str(found[mark]) for mark in MARKS if mark in found))


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
