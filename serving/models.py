"""What the repository holds, and which of it can be asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from ..runtime.errors import CortexError
from ..runtime.repository import ModelVersion, versions
from .engine.session import runtime
from .errors import NotFound, Unavailable, listed
from .metrics import Metrics
from .model import Model, OpenModel

log = logging.getLogger(__name__)


class Models:
    """The versions of every model in a repository, each of them ready or not.

    Use it as ``async with Models(root, metrics) as models``; on leaving, runs under way are
    ended and all models closed.

    Raises:
        RepositoryError: there is no repository.
        MissingExtra: onnxruntime is not installed.
    """

    def __init__(self, root: Path, metrics: Metrics) -> None:
        runtime()
        self._found = versions(root)
        self._metrics = metrics
        self._stack = AsyncExitStack()
        self._models: dict[str, dict[str, Model | None]] = {}  # versions in ascending order
        for version in self._found:
            self._models.setdefault(version.name, {})[str(version.version)] = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for models in self._models.values():
            for model in filter(None, models.values()):
                model.stop()
        await self._stack.aclose()

    async def load(self) -> None:
        """Opens and proves every version, side by side; one that fails is logged and not ready."""
        await asyncio.gather(*(self._load(version) for version in self._found))

    async def _load(self, version: ModelVersion) -> None:
        metrics = self._metrics.model(version.name, str(version.version))
        try:
            opened = await asyncio.to_thread(OpenModel.open, version)
            model = await self._stack.enter_async_context(Model(opened, metrics))
        except Exception as error:
            kind = "" if isinstance(error, CortexError) else f"unexpected {type(error).__name__}: "
            reason = " ".join(str(error).split())
            log.error("%s: not ready: %s%s", version.path, kind, reason)
            log.debug("%s:", version.path, exc_info=error)
            return
        self._models[model.name][model.version] = model
        metrics.ready(True)
        log.info("%s: ready", version.path)

    def __iter__(self) -> Iterator[str]:
        """The names of all models, ready or not."""
        return iter(self._models)

    def states(self) -> Mapping[str, bool]:
        """Whether each version is ready, by ``NAME/VERSION``."""
        return {
            f"{name}/{version}": model is not None
            for name, versions in self._models.items()
            for version, model in versions.items()
        }

    def is_ready(self, name: str, version: str = "") -> bool:
        """Whether a version can be asked; with no version, whether any can.

        Raises:
            NotFound: no such model or version.
        """
        return any(self._versions(name, version).values())

    def get(self, name: str, version: str = "") -> Model:
        """A version that is ready; with no version the newest.

        Raises:
            NotFound: no such model or version.
            Unavailable: it is not ready.
        """
        chosen = self._versions(name, version)
        for model in reversed(chosen.values()):
            if model is not None:
                return model
        which = f"version {version} is not ready" if version else "no version of it is ready"
        raise Unavailable(f"model {name!r}: {which}; the server's log says why")

    def ready_versions(self, name: str) -> Sequence[str]:
        """The versions of a model that can be asked, in ascending order."""
        return [version for version, model in self._models[name].items() if model is not None]

    def _versions(self, name: str, version: str) -> dict[str, Model | None]:
        known = self._models.get(name)
        if known is None:
            raise NotFound(f"model {name!r} is not here; here are {listed(list(self._models))}")
        if not version:
            return known
        if version not in known:
            raise NotFound(
                f"model {name!r} has no version {version!r}; it has {listed(list(known))}"
            )
        return {version: known[version]}
