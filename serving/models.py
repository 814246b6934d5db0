"""What the repositories hold, and which of it can be asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic
from typing import Self

from ..runtime.errors import CortexError, RepositoryError
from .engine.engines import Engines
from .engine.session import runtime
from .errors import Forbidden, InvalidArgument, NotFound, Unavailable, listed
from .metrics import Metrics
from .model import Model
from .repository.budget import Budget
from .repository.catalogue import Catalogue
from .repository.layout import FoundModel, given
from .repository.served_model import ServedModel, Shelf
from .repository.served_version import ServedVersion
from .repository.state import ModelState
from .settings import Settings

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that a request waits for a model that sleeps to keep the memory budget."""
ALL = "*"


class Models:
    """The models of all repositories, each of them ready or not.

    Use it as ``async with Models(settings, metrics) as models``; on leaving, runs under way are
    ended and all models closed.

    Raises:
        RepositoryError: on entering; there is no such repository.
        MissingExtra: onnxruntime, or what a remote repository takes, is not installed.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        runtime()
        self._settings = settings
        budget = settings.memory_budget_mb
        engines = Engines(settings.cache_dir, settings.require_provider)
        self._shelf = Shelf(metrics, engines, Budget(budget and budget << 20), self._changed)
        self._catalogue: Catalogue | None = None
        self._found: Mapping[str, FoundModel] = {}
        self._models: dict[str, ServedModel] = {}
        self._ready: dict[tuple[str, str], ServedVersion] = {}  # by name, and version or ""
        self._settling: dict[str, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._trouble = ""  # with the repositories, as the log has it
        self.changed = asyncio.Event()
        """Set when other versions can be asked than before; whoever waits for it clears it."""

    async def __aenter__(self) -> Self:
        settings = self._settings
        self._catalogue = await asyncio.to_thread(Catalogue, settings.models, settings.cache_dir)
        try:
            await self._scan()
        except BaseException:
            await asyncio.to_thread(self._catalogue.close)
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in filter(None, (self._watch, *self._settling.values())):
            task.cancel()
        for model in self._models.values():
            model.stop()
        await asyncio.gather(*(model.close() for model in self._models.values()))
        assert self._catalogue
        await asyncio.to_thread(self._catalogue.close)

    async def start(self) -> None:
        """Opens and proves what is wanted, side by side; what fails is logged and not ready.

        From then on the repositories are watched, if they are to be.

        Raises:
            RepositoryError: ``--load`` names a model that is not there.
        """
        names = self._found
        if self._settings.model_control == "explicit":
            if missing := [n for n in self._settings.load if n not in self._found and n != ALL]:
                raise RepositoryError(
                    f"--load {missing[0]}: no such model; there are {listed(list(self._found))}"
                )
            names = self._found if ALL in self._settings.load else self._settings.load
        await asyncio.gather(*(self._settle(name) for name in names))
        if self._settings.model_control == "poll":
            self._watch = asyncio.create_task(self._poll())

    def __iter__(self) -> Iterator[str]:
        """The names of all models, ready or not."""
        loaded = (name for name, model in self._models.items() if not model.gone)
        return iter(sorted({*self._found, *loaded}))

    @property
    def sound(self) -> bool:
        """Whether every model that is to be served can be asked."""
        return all(model.versions for model in self._models.values() if not model.gone)

    def index(self) -> Sequence[ModelState]:
        """The state of every version, by name and number."""
        states: list[ModelState] = []
        for name in self:
            model = self._models.get(name)
            known = list(model.states()) if model else []
            states += known or [ModelState(name, "", "UNAVAILABLE", "not loaded")]
        return states

    def states(self) -> Mapping[str, bool]:
        """Whether each version is ready, by ``NAME/VERSION``."""
        return {f"{at.name}/{at.version}": at.state == "READY" for at in self.index() if at.version}

    def is_ready(self, name: str, version: str = "") -> bool:
        """Whether a version can be asked; with no version, whether any can.

        Raises:
            NotFound: no such model or version.
        """
        if (name, version) in self._ready:
            return True
        self._require(name, version)
        return False

    async def get(self, name: str, version: str = "") -> Model:
        """A version that is ready; with no version the newest. One that sleeps is woken.

        Whoever uses it counts itself among its ``users`` before it awaits anything.

        Raises:
            NotFound: no such model or version.
            Unavailable: it is not ready.
        """
        served = self._ready.get((name, version))
        if served is None or served.model is None:
            served = await self._awake(name, version)
        served.used = monotonic()
        assert served.model
        return served.model

    async def _awake(self, name: str, version: str) -> ServedVersion:
        try:
            async with asyncio.timeout(PATIENCE):
                while served := self._ready.get((name, version)):
                    if served.model:
                        return served
                    await served.wake()
        except TimeoutError:
            raise Unavailable(f"model {name!r} is still being loaded; try again") from None
        self._require(name, version)
        if self._absent(name):
            raise Unavailable(f"model {name!r} is not loaded")
        which = f"version {version} is not ready" if version else "no version of it is ready"
        raise Unavailable(f"model {name!r}: {which}; the server's log says why")

    def ready_versions(self, name: str) -> Sequence[str]:
        """The versions of a model that can be asked, in ascending order."""
        return [str(number) for number in self._models[name].versions]

    async def load(self, name: str, config: str | None = None) -> None:
        """Has a model loaded as it lies there now; ``config`` is JSON that stands for its settings.

        Raises:
            Forbidden: what is loaded is not for clients to say.
            NotFound: no such model.
            InvalidArgument: ``config`` makes no sense.
            Unavailable: it, or one of its versions, does not load.
        """
        self._require_explicit()
        try:
            await self._scan()
        except CortexError as error:
            raise Unavailable(str(error)) from None
        if name not in self._found:
            raise NotFound(f"model {name!r} is not here; here are {listed(list(self))}")
        try:
            declared = given(config, name) if config else None
        except CortexError as error:
            raise InvalidArgument(str(error)) from None
        model = self._model(name)
        await model.settle(self._found[name], declared, again=True)
        if model.failures:
            raise Unavailable(f"model {name!r}: {model.failures[0]}")

    async def unload(self, name: str) -> None:
        """Ends all versions of a model when the requests that they have accepted are answered.

        Raises:
            Forbidden: what is loaded is not for clients to say.
            NotFound: no such model.
        """
        self._require_explicit()
        if name not in self:
            raise NotFound(f"model {name!r} is not here; here are {listed(list(self))}")
        await self._model(name).close()

    def _require_explicit(self) -> None:
        if (control := self._settings.model_control) != "explicit":
            raise Forbidden(
                f"this server chooses its models itself (--model-control {control}); "
                "start it with --model-control explicit"
            )

    def _require(self, name: str, version: str) -> None:
        if name not in self:
            raise NotFound(f"model {name!r} is not here; here are {listed(list(self))}")
        if self._absent(name):
            if not version:
                return
            raise Unavailable(f"model {name!r} is not loaded")
        versions = [at.version for at in self._models[name].states()]
        if version and version not in versions:
            raise NotFound(f"model {name!r} has no version {version!r}; it has {listed(versions)}")

    def _absent(self, name: str) -> bool:
        model = self._models.get(name)
        return model is None or model.gone

    def _model(self, name: str) -> ServedModel:
        return self._models.get(name) or self._models.setdefault(
            name, ServedModel(name, self._shelf)
        )

    def _changed(self, model: ServedModel) -> None:
        for key in [key for key in self._ready if key[0] == model.name]:
            del self._ready[key]
        for number, served in model.versions.items():
            self._ready[model.name, str(number)] = self._ready[model.name, ""] = served
        self.changed.set()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            try:
                await self._scan()
            except CortexError as error:
                self._report(str(error))
                continue
            self._trouble = ""
            for name in {*self._found, *self._models} - self._settling.keys():
                task = asyncio.create_task(self._settle(name))
                self._settling[name] = task
                task.add_done_callback(lambda _, name=name: self._settling.pop(name))

    async def _settle(self, name: str) -> None:
        found = self._found.get(name)
        if found:
            await self._model(name).settle(found)
        elif not self._models[name].gone:
            await self._models[name].close()

    async def _scan(self) -> None:
        assert self._catalogue
        self._found = await asyncio.to_thread(self._catalogue.scan)

    def _report(self, trouble: str) -> None:
        """Says what is wrong with the repositories, once as long as it lasts."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("%s; what is loaded goes on", trouble)
