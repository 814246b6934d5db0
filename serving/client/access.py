"""How a protected server is reached: the same four options for every command that asks one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...runtime.errors import CortexError, UsageError
from ...runtime.files import regular

if TYPE_CHECKING:
    import ssl

    import grpc

FILE = click.Path(readable=False, path_type=Path)  # who opens it says what is wrong
OPTIONS = (
    click.option("--tls-ca", type=FILE, help="Who signed the server's certificate (PEM): use TLS."),
    click.option("--tls-cert", type=FILE, help="A certificate to show (PEM)."),
    click.option("--tls-key", type=FILE, help="The key of --tls-cert, unless that file has it."),
    click.option("--token-file", type=FILE, help="Has the token to bring, in a line."),
)


class ServerError(CortexError):
    """The server cannot be reached, or does not answer the request."""


@dataclass(frozen=True, slots=True)
class Access:
    """``ca``, who signed the server's certificate, means TLS; ``token`` is a bearer's."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: str = ""

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """What every request brings, names in lower case."""
        return [("authorization", f"Bearer {self.token}")] if self.token else []

    def context(self) -> ssl.SSLContext | None:
        """For HTTP; None without TLS."""
        import ssl

        if not self.ca:
            return None
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context

    def channel(self, target: str, options: Any) -> grpc.Channel:
        """For gRPC."""
        import grpc

        if not self.ca:
            return grpc.insecure_channel(target, options)
        key = self.key or self.certificate
        credentials = grpc.ssl_channel_credentials(
            self.ca.read_bytes(),
            key and key.read_bytes(),
            self.certificate and self.certificate.read_bytes(),
        )
        return grpc.secure_channel(target, credentials, options)


OPEN = Access()


def accessing(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options, and ``access`` made of them."""

    @functools.wraps(command)
    def run(
        *,
        tls_ca: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        token_file: Path | None,
        **arguments: Any,
    ) -> None:
        if (tls_cert or tls_key) and not tls_ca:
            raise UsageError("--tls-cert and --tls-key do nothing without --tls-ca; give that too")
        for path in filter(None, (tls_ca, tls_cert, tls_key, token_file)):
            regular(path)
        token = _token(token_file) if token_file else ""
        command(access=Access(tls_ca, tls_cert, tls_key, token), **arguments)

    for option in reversed(OPTIONS):
        run = option(run)
    return run


def _token(path: Path) -> str:
    """The first of a file that the server could read, too."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")
