"""Where a server listens, and what is said when it cannot."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from ..runtime.errors import CortexError

BACKLOG = 1024


class CannotListen(CortexError):
    """A port that is taken, or an address that is not this machine's."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port (0: any that is free), and the option of the command that sets the port."""

    host: str
    port: int
    option: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def at(self, port: int) -> Address:
        """The same with the port that was found free."""
        return Address(self.host, port, self.option)

    def listen(self) -> socket.socket:
        """A socket that listens here.

        Raises:
            CannotListen: the port is taken, or the address is not this machine's.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            family, _, _, _, where = found[0]
            # Only of a socket that names TCP does asyncio turn off Nagle's algorithm, which would
            # hold the body of an answer back for 40 ms.
            listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        except OSError as error:
            raise CannotListen(f"--host {self.host}: {error.strerror}") from None
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(BACKLOG)
            return listener
        except OSError as error:
            listener.close()
            raise self.refused(error.strerror) from None

    def refused(self, reason: str | None) -> CannotListen:
        """The error that says why nothing can listen here, and what to do."""
        return CannotListen(
            f"port {self.port} of {self.host}: {reason or 'cannot listen'}; "
            f"stop what listens there or choose another with {self.option}"
        )
