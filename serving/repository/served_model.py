"""All versions of one model: which are wanted, which answer, and how one takes another's place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ...runtime.versions import Latest, candidates
from ..engine.engines import Engines
from ..metrics import Metrics
from .budget import Budget
from .lacking import lacking
from .layout import FoundModel, FoundVersion
from .served_version import Identity, ServedVersion, told
from .state import ModelState, State
from .triton import Declared

log = logging.getLogger(__name__)

ASLEEP = "asleep to keep the memory budget; the next request wakes it"
ABSENT = "its version_policy names it, and it is not there"
KEPT = "what was loaded before still answers"


class Failure(NamedTuple):
    """Why a version did not load; it is tried again when it or its settings are others.

    ``passing``: at the next look anyway, as this machine lacked something.
    """

    identity: Identity | None
    reason: str
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the models of a server share; ``changed`` is told whose versions answer now."""

    metrics: Metrics
    engines: Engines
    budget: Budget
    changed: Callable[[ServedModel], None]


class ServedModel:
    """A model, by its name. ``versions`` holds those that can be asked, in ascending order.

    A new version is opened and proved beside the old one and takes its place in one step; one that
    fails takes nobody's.
    """

    def __init__(self, name: str, shelf: Shelf) -> None:
        self.name = name
        self.versions: Mapping[int, ServedVersion] = {}
        self._shelf = shelf
        self._settled: tuple[FoundModel, Declared | None] | None = None
        self._problem = ""  # of its settings
        self._ignored: Sequence[str] = ()
        self._loading: set[int] = set()
        self._failed: dict[int, Failure] = {}
        self._closing: dict[ServedVersion, asyncio.Task[None]] = {}
        self._counted: set[int] = set()
        self._one = asyncio.Lock()

    @property
    def gone(self) -> bool:
        """Whether nothing is left of it."""
        return not (self.versions or self._loading or self._failed or self._closing)

    @property
    def failures(self) -> Sequence[str]:
        """What is wrong with it now, a line each."""
        lines = [f"version {number}: {at.reason}" for number, at in sorted(self._failed.items())]
        return [self._problem, *lines] if self._problem else lines

    @property
    def _may_pass(self) -> bool:
        return any(failure.passing for failure in self._failed.values())

    def states(self) -> Iterator[ModelState]:
        """The state of each version that is known of."""
        closing = {served.found.number for served in self._closing}
        for number in sorted({*self.versions, *self._loading, *self._failed, *closing}):
            state, reason = self._state(number)
            yield ModelState(self.name, str(number), state, reason)

    def _state(self, number: int) -> tuple[State, str]:
        failure = self._failed.get(number)
        wrong = failure.reason if failure else self._problem
        if served := self.versions.get(number):
            if wrong:
                return "READY", f"{KEPT}: {wrong}"
            return "READY", "" if served.model else ASLEEP
        if number in self._loading:
            return "LOADING", ""
        return ("UNAVAILABLE", wrong) if failure else ("UNLOADING", "")

    async def settle(
        self, found: FoundModel, given: Declared | None = None, *, again: bool = False
    ) -> None:
        """Serves what is ``found``; the settings ``given`` stand for those that lie with it.

        What failed is tried again if it has changed, or if ``again`` is asked for.
        """
        async with self._one:
            if again:
                self._failed.clear()
            elif self._settled == (found, given) and not self._may_pass:
                return
            self._settled = (found, given)
            try:
                declared = given or await asyncio.to_thread(found.described)
            except Exception as error:
                self._misdeclared(found, error)
            else:
                self._problem = ""
                self._tell_ignored(found, declared)
                await self._serve(found, declared)
            self._shelf.changed(self)  # what failed is a change, too

    async def close(self) -> None:
        """Ends all versions when the requests that they have accepted are answered."""
        async with self._one:
            self._settled = None
            self._failed.clear()
            self._retire(list(self.versions))
            self._forget()
            self._shelf.changed(self)
        await asyncio.gather(*self._closing.values())

    def stop(self) -> None:
        """Ends the runs under way, whose answers nobody waits for any more."""
        for served in (*self.versions.values(), *self._closing):
            served.stop()

    def _misdeclared(self, found: FoundModel, error: Exception) -> None:
        self._problem = told(error)
        outcome = KEPT if self.versions else "not ready"
        log.error("model %r: %s: %s", self.name, outcome, self._problem)
        if not self.versions:
            self._failed[max(found.versions)] = Failure(None, self._problem)

    def _tell_ignored(self, found: FoundModel, declared: Declared) -> None:
        if declared.ignored and declared.ignored != self._ignored:
            fields = ", ".join(declared.ignored)
            log.warning("model %r: of its settings these mean nothing here: %s", self.name, fields)
        self._ignored = declared.ignored

    async def _serve(self, found: FoundModel, declared: Declared) -> None:
        """Loads what the policy wants, newest first, and lets go of the rest."""
        policy = declared.config.version_policy
        wanted = candidates(policy, found.versions)
        most = policy.latest if isinstance(policy, Latest) else len(wanted)
        tried: list[int] = []
        kept: list[int] = []
        for number in wanted:
            tried.append(number)
            if await self._offer(number, found.versions.get(number), declared):
                kept.append(number)
            if len(kept) == most:
                break
        self._failed = {n: failure for n, failure in self._failed.items() if n in tried}
        self._retire([number for number in self.versions if number not in kept])
        self._forget()

    async def _offer(self, number: int, found: FoundVersion | None, declared: Declared) -> bool:
        """Whether a version can be asked; loads it if it is new or changed."""
        if found is None:
            self._fail(number, None, ABSENT)
            return False
        lasting = declared.config.model_copy(update={"version_policy": Latest(latest=1)})
        identity = found, replace(declared, config=lasting)
        held, failure = self.versions.get(number), self._failed.get(number)
        if held and held.identity == identity:
            self._failed.pop(number, None)
        elif not failure or failure.passing or failure.identity != identity:
            await self._load(number, identity, held)
        return number in self.versions

    async def _load(self, number: int, identity: Identity, held: ServedVersion | None) -> None:
        statistics = self._shelf.metrics.model(self.name, str(number))
        self._counted.add(number)
        self._loading.add(number)
        served = ServedVersion(
            identity, self._shelf.engines, statistics, self._shelf.budget, self._lost
        )
        try:
            await served.load()
        except Exception as error:
            statistics.ready = held is not None
            self._fail(number, identity, told(error), error)
            return
        finally:
            self._loading.discard(number)
        self._failed.pop(number, None)
        self._answer({**self.versions, number: served})
        if held:
            self._end(held)

    def _fail(
        self, number: int, identity: Identity | None, reason: str, error: Exception | None = None
    ) -> None:
        failure = Failure(identity, reason, error is not None and lacking(error))
        if self._failed.get(number) == failure:
            return
        self._failed[number] = failure
        place = identity[0].place if identity else f"model {self.name!r}: version {number}"
        outcome = f"not ready, {KEPT}" if self.versions else "not ready"
        log.error("%s: %s: %s", place, outcome, reason)
        log.debug("%s:", place, exc_info=error)

    def _lost(self, served: ServedVersion, error: Exception) -> None:
        """A version that slept did not wake."""
        number = served.found.number
        if self.versions.get(number) is not served:
            return
        self._retire([number])
        self._fail(number, served.identity, told(error), error)
        self._settled = None  # another may take its place

    def _retire(self, numbers: Iterable[int]) -> None:
        ended = [self.versions[number] for number in numbers]
        if ended:
            self._answer({n: at for n, at in self.versions.items() if at not in ended})
            for served in ended:
                self._end(served)

    def _answer(self, versions: Mapping[int, ServedVersion]) -> None:
        self.versions = dict(sorted(versions.items()))
        self._shelf.changed(self)

    def _end(self, served: ServedVersion) -> None:
        self._closing[served] = asyncio.create_task(self._ended(served))

    async def _ended(self, served: ServedVersion) -> None:
        await served.close()
        del self._closing[served]
        kept = [at.path for at in (*self.versions.values(), *self._closing)]
        if served.path and served.path not in kept:
            await asyncio.to_thread(served.found.root.drop, served.path)
        log.info("%s: unloaded", served.found.place)
        self._forget()
        self._shelf.changed(self)

    def _forget(self) -> None:
        """Lets go of the counts of versions that are gone."""
        closing = {served.found.number for served in self._closing}
        for number in self._counted - self.versions.keys() - self._failed.keys() - closing:
            self._counted.discard(number)
            self._shelf.metrics.remove(self.name, str(number))
