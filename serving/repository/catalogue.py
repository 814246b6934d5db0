"""Several repositories seen as one."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...runtime.errors import RepositoryError
from .layout import FoundModel, find, strays
from .remote import RemoteRoot
from .roots import LocalRoot, Root

log = logging.getLogger(__name__)

LAYOUT = (
    "a model lies at NAME/VERSION/model.onnx; NAME has 128 letters, digits and _ . - at most and "
    "begins with none of the last two, VERSION is a whole number from 1 on"
)


class Catalogue:
    """The models of the repositories at ``places``: folders, or addresses such as s3://bucket/models.

    ``cache`` is where copies of remote ones are kept; None: somewhere until ``close``. All methods
    block.

    Raises:
        RepositoryError: an address makes no sense, or there is no place for a cache.
        MissingExtra: what a remote repository takes is not installed.
    """

    def __init__(self, places: Sequence[str], cache: Path | None) -> None:
        self._passing: Path | None = None
        self._hidden: set[str] = set()
        try:
            self._roots = [self._root(place, cache) for place in places]
        except BaseException:
            self.close()
            raise

    def scan(self) -> Mapping[str, FoundModel]:
        """What is there now, by name. Where two have a name the first repository's counts.

        Raises:
            RepositoryError: a repository cannot be listed.
        """
        found: dict[str, FoundModel] = {}
        for root in self._roots:
            files = root.files()
            models = find(root, files)
            for name, model in models.items():
                first = found.setdefault(name, model)
                if first is not model:
                    why = f"{first.root.place}/{name} has the same name and comes first"
                    self._report(f"{root.place}/{name}", why)
            for stray in strays(files, models):
                self._report(f"{root.place}/{stray}", LAYOUT)
        return found

    def close(self) -> None:
        """Removes what was kept only for now."""
        if self._passing:
            shutil.rmtree(self._passing, ignore_errors=True)

    def _root(self, place: str, cache: Path | None) -> Root:
        if "://" not in place:
            return LocalRoot(Path(place))
        if cache is None:
            cache = self._passing = self._passing or _temporary()
        return RemoteRoot(place, cache / "remote")

    def _report(self, hidden: str, why: str) -> None:
        if hidden not in self._hidden:
            self._hidden.add(hidden)
            log.warning("%s: not served: %s", hidden, why)


def _temporary() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="cortex-"))
    except OSError as error:
        raise RepositoryError(
            f"no place for copies of remote models: {error.strerror}; name one with --cache-dir"
        ) from None
