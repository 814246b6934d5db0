"""What the engines of all models share."""

from __future__ import annotations

from pathlib import Path

from ...runtime.errors import Unsupported
from ...runtime.repository import ModelConfig
from .providers import Choice
from .session import Engine
from .tuning import Tunings


class Engines:
    """Makes the engine of each model.

    ``cache_dir``: where measurements and optimized models are kept from one start to the next.
    ``required``: the one provider that models may run on, if they must run on one.
    """

    def __init__(self, cache_dir: Path | None = None, required: str | None = None) -> None:
        self.tunings = Tunings(cache_dir)
        self._cache_dir = cache_dir
        self._required = required

    def engine(self, config: ModelConfig) -> Engine:
        """The engine for a model.

        Raises:
            MissingExtra: onnxruntime is not installed.
            Unsupported: no provider that it wants, or the required one, is here.
        """
        choice = Choice.of(config.providers, config.devices)
        self._check(choice.names[0])
        return Engine.create(choice, cache_dir=self._cache_dir)

    def fallback(self, choice: Choice, provider: str) -> str:
        """Why a model whose sessions are open runs on another provider than asked; else empty.

        Raises:
            Unsupported: another one is required.
        """
        self._check(provider)
        if provider == choice.asked:
            return ""
        return f"{choice.asked} cannot be used here, running on {provider}"

    def _check(self, provider: str) -> None:
        if self._required not in (None, provider):
            raise Unsupported(
                f"it would run on {provider}, and --require-provider {self._required} is set; "
                "see that its drivers and onnxruntime-gpu are here, and what config.json wants"
            )
