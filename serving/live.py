"""What a running server goes by: settings that may change, who may come in, its certificates."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..runtime.errors import CortexError
from . import logs
from .security.guard import Guard
from .security.tls import Tls
from .settings import Settings

log = logging.getLogger(__name__)


class Live:
    """``settings`` are those in force: what may change is read from here each time.

    Raises:
        UnreadableFile: certificates or tokens cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._followers: list[Callable[[Settings], None]] = []
        self.guard = Guard(settings)
        self.tls = Tls.of(settings)
        self.follow(logs.set_levels)

    def follow(self, take: Callable[[Settings], None]) -> None:
        """Hands ``take`` the settings now, and again whenever they change."""
        self._followers.append(take)
        take(self.settings)

    def renew(self, reread: Callable[[], Settings]) -> None:
        """Takes up what ``reread`` finds of the ``LIVE`` settings, and all tokens and certificates.

        What cannot be read is logged, and changes nothing of its kind.
        """
        for what, take_up in (
            ("settings", lambda: self._take_up(reread())),
            ("tokens", self.guard.renew),
            ("certificates", self.tls.renew if self.tls else lambda: None),
        ):
            try:
                take_up()
            except CortexError as error:
                log.error("%s: %s; those before stand", what, " ".join(str(error).split()))

    def _take_up(self, new: Settings) -> None:
        old, self.settings = self.settings, self.settings.renewed(new)
        for take in self._followers:
            take(self.settings)
        for name, (before, after) in old.changes(self.settings).items():
            log.warning("%s: %s, was %s", name, after, before)
        for name in self.settings.changes(new):
            log.warning("%s: changed in the settings; restart the server to use it", name)
