"""What can go wrong with a request, as one tree; every branch carries the status of both protocols.

CortexError
└── RequestError                gRPC                  HTTP
    ├── InvalidArgument         INVALID_ARGUMENT      400
    ├── Unauthenticated         UNAUTHENTICATED       401
    ├── Forbidden               PERMISSION_DENIED     403
    ├── NotFound                NOT_FOUND             404
    ├── TooLarge                RESOURCE_EXHAUSTED    413
    ├── Overloaded              RESOURCE_EXHAUSTED    429
    ├── Internal                INTERNAL              500
    ├── Unimplemented           UNIMPLEMENTED         501
    ├── Unavailable             UNAVAILABLE           503
    └── Expired                 DEADLINE_EXCEEDED     504
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar

from ..runtime.errors import CortexError

log = logging.getLogger(__name__)

LONGEST = 1000  # characters of a message: it travels in a header, and those are small
MOST = 10  # names in a list
UNEXPECTED = "the server failed to answer; its log says why"


class Code(IntEnum):
    """The gRPC status codes that Cortex answers with, by name and number."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class RequestError(CortexError):
    """The root: ``code`` is the gRPC status, ``http`` the HTTP one, ``message`` for the client."""

    code: ClassVar[Code] = Code.INTERNAL
    http: ClassVar[int] = 500

    @property
    def message(self) -> str:
        """What the client is told, on one line of at most ``LONGEST`` characters."""
        line = " ".join(str(self).split())
        return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


class InvalidArgument(RequestError):
    """The request contradicts itself or the model."""

    code, http = Code.INVALID_ARGUMENT, 400


class Unauthenticated(RequestError):
    """The request says not, or wrongly, who sends it."""

    code, http = Code.UNAUTHENTICATED, 401


class Forbidden(RequestError):
    """What this server does for nobody, or not for this client."""

    code, http = Code.PERMISSION_DENIED, 403


class NotFound(RequestError):
    """No such model or version."""

    code, http = Code.NOT_FOUND, 404


class TooLarge(RequestError):
    """A message is larger than this server takes."""

    code, http = Code.RESOURCE_EXHAUSTED, 413


class Overloaded(RequestError):
    """More requests wait than may; trying again later makes sense."""

    code, http = Code.RESOURCE_EXHAUSTED, 429


class Internal(RequestError):
    """Our own fault."""


class Unimplemented(RequestError):
    """A part of the protocol that this server does not have."""

    code, http = Code.UNIMPLEMENTED, 501


class Unavailable(RequestError):
    """The model is there and cannot be asked now."""

    code, http = Code.UNAVAILABLE, 503


class Expired(RequestError):
    """The client's deadline passed first."""

    code, http = Code.DEADLINE_EXCEEDED, 504


def told(error: Exception) -> RequestError:
    """What a client is told of ``error``; the one place that decides it.

    Anything but a ``RequestError`` is a fault of the server: the log gets the traceback, the client
    no internals.
    """
    if isinstance(error, RequestError):
        return error
    log.error("unexpected %s: %s", type(error).__name__, error, exc_info=error)
    return Internal(UNEXPECTED)


def listed(names: Sequence[str]) -> str:
    """The names for a message: all if they are few, else the first of them and how many."""
    if len(names) <= MOST:
        return ", ".join(map(repr, names)) or "none"
    return f"{', '.join(map(repr, names[:MOST]))}, … ({len(names)} in all)"
