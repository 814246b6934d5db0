"""The options of a layer in a native file: none of them is ignored in silence."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from ..runtime.errors import UnreadableFile, Unsupported

REQUIRED: Any = object()
LONGEST = 200  # characters of a value in a message


class Options:
    """A layer's options, which remember what was read of them.

    ``title`` is the layer as an error names it.
    """

    def __init__(self, title: str, options: Mapping[str, Any]) -> None:
        self.title, self._options, self._read = title, options, set[str]()

    def __contains__(self, option: str) -> bool:
        return option in self._options

    def __getitem__(self, option: str) -> Any:
        return self.get(option, REQUIRED)

    def get(self, option: str, default: Any = None) -> Any:
        """An option; ``default`` where the file does not say.

        Raises:
            UnreadableFile: it is missing, and there is no default.
        """
        self._read.add(option)
        value = self._options.get(option, default)
        if value is REQUIRED:
            raise UnreadableFile(f"{self.title}: its option {option!r} is missing")
        return value

    def number(self, option: str, default: Any = REQUIRED) -> float:
        """An option that is a number.

        Raises:
            UnreadableFile: it is none.
        """
        value = self.get(option, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise UnreadableFile(f"{self.title}: {option} is {told(value)}, expected a number")
        return value

    def whole(self, option: str, default: Any = REQUIRED, least: int = 0) -> int:
        """An option that is a whole number, not below ``least``.

        Raises:
            UnreadableFile: it is none, or below.
        """
        value = self.number(option, default)
        if value != int(value) or value < least:
            raise UnreadableFile(
                f"{self.title}: {option} is {told(value)}, expected a whole number from {least} on"
            )
        return int(value)

    def ignore(self, *options: str) -> None:
        """These change nothing of what the layer computes."""
        self._read.update(options)

    def refuse(self, option: str) -> Unsupported:
        """The error for an option that is understood but not supported."""
        return Unsupported(
            f"{self.title}: {option} {told(self._options.get(option))} is not supported"
        )

    def unread(self) -> list[str]:
        """The options that nothing read."""
        return [option for option in self._options if option not in self._read]

    def finish(self) -> None:
        """After the converter.

        Raises:
            Unsupported: an option that nothing read.
        """
        for option in self.unread():
            value = self._options[option]
            raise Unsupported(f"{self.title}: it sets {option}={told(value)}, which would be lost")


def told(value: Any) -> str:
    """A value as a message has it: a file's may be as long as it likes."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
