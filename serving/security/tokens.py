"""Bearer tokens from a file."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from ...runtime.errors import UnreadableFile

SHORTEST = 16
"""Characters; what is shorter can be guessed."""


class Tokens:
    """The tokens of a file, one a line; empty lines and lines that begin with # are passed over.

    Raises:
        UnreadableFile: there is no such file, it has no token, or one that cannot be sent or can be
            guessed.
    """

    def __init__(self, path: Path) -> None:
        try:
            lines = [line.strip() for line in path.read_text("ascii").splitlines()]
        except OSError as error:
            raise UnreadableFile(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UnreadableFile(f"{path}: tokens are ASCII, one a line") from None
        tokens = [(n, line) for n, line in enumerate(lines, 1) if line and line[0] != "#"]
        if not tokens:
            raise UnreadableFile(f"{path}: no token in it; write one a line")
        for number, token in tokens:
            if len(token) < SHORTEST or not token.isprintable() or " " in token:
                raise UnreadableFile(
                    f"{path}: line {number}: a token is at least {SHORTEST} characters without "
                    "spaces, such as `openssl rand -hex 32` prints"
                )
        self._digests: Sequence[bytes] = [_digest(token) for _, token in tokens]

    def identify(self, token: str) -> str:
        """The first digits of its SHA-256, for the log, if it is one of these; else empty.

        How long it takes tells nothing: digests are of one length, and every one is compared.
        """
        digest = _digest(token)
        found = [hmac.compare_digest(digest, each) for each in self._digests]
        return digest.hex()[:8] if any(found) else ""


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
