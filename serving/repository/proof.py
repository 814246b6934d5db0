"""``cortex-serve --check``: replays the checks of all that would be served, and serves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from ...runtime.versions import Latest, candidates
from ..engine.engines import Engines
from ..engine.session import runtime
from ..settings import Settings
from .catalogue import Catalogue
from .layout import FoundModel
from .served_model import ABSENT
from .served_version import open_proved, told
from .triton import Declared

COLUMNS = ("model", "version", "evidence", "largest difference", "ok")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one version; ``reason``: why it would not be served, else empty."""

    model: str
    version: str
    evidence: str = "-"
    largest: float | None = None
    reason: str = ""

    @property
    def row(self) -> tuple[str, ...]:
        """Its place in a table of ``COLUMNS``."""
        largest = "-" if self.largest is None else f"{self.largest:.1e}"
        ok = f"no: {self.reason}" if self.reason else "yes"
        return (self.model, self.version, self.evidence, largest, ok)


def outcomes(settings: Settings) -> Iterator[Outcome]:
    """Opens one version after the other, those that each model's policy wants.

    Raises:
        RepositoryError: there is no such repository.
        MissingExtra: onnxruntime, or what a remote repository takes, is not installed.
    """
    runtime()
    engines = Engines(settings.cache_dir, settings.require_provider)
    with closing(Catalogue(settings.models, settings.cache_dir)) as catalogue:
        for model in catalogue.scan().values():
            yield from _of_model(model, engines)


def _of_model(model: FoundModel, engines: Engines) -> Iterator[Outcome]:
    try:
        declared = model.described()
    except Exception as error:
        yield Outcome(model.name, str(max(model.versions)), reason=told(error))
        return
    policy = declared.config.version_policy
    wanted = candidates(policy, model.versions)
    for number in sorted(wanted[: policy.latest] if isinstance(policy, Latest) else wanted):
        yield _of_version(model, number, declared, engines)


def _of_version(model: FoundModel, number: int, declared: Declared, engines: Engines) -> Outcome:
    name, version = model.name, str(number)
    if number not in model.versions:
        return Outcome(name, version, reason=ABSENT)
    try:
        opened = open_proved(model.versions[number].bring(declared), declared, engines)
    except Exception as error:
        return Outcome(name, version, reason=told(error))
    if opened.proof is None:
        return Outcome(name, version, "none")
    return Outcome(name, version, opened.proof.evidence, opened.proof.largest)
