"""What a transport and the remote procedures know of each other: bytes, and a little about a call.

A transport looks a method up by its path, hands it a message, or all that come on a stream, and a
``Call``, and turns a ``RequestError`` into its status.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Call:
    """What a transport knows of a call.

    ``deadline`` is on the clock of ``time.monotonic``. ``metadata`` gives the client's pairs of a
    name, in lower case, and a value; few methods ask for them.
    """

    deadline: float | None = None
    metadata: Callable[[], Metadata | None] = tuple

    def says(self, name: str) -> bool:
        """Whether the client set this name to true."""
        return any(
            key == name and value in ("true", "1", b"true", b"1")
            for key, value in self.metadata() or ()
        )


Method: TypeAlias = Callable[[bytes, Call], Awaitable[bytes]]
Stream: TypeAlias = Callable[[AsyncIterable[bytes], Call], AsyncGenerator[bytes]]
"""A method whose messages come, and whose answers go, one after the other; closed when the client
leaves."""
