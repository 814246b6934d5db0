"""Certificates for every port; renewed ones are taken up without a restart."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import grpc

from ...runtime.errors import UnreadableFile
from ..settings import Settings

OLDEST = ssl.TLSVersion.TLSv1_2


class Tls:
    """The server's certificate and key, and who signs those of its clients, read from files.

    Raises:
        UnreadableFile: a file is missing, is no PEM, or the key is encrypted or of another
            certificate.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        self._files = (cert, key)
        self._client_ca = client_ca
        self._contexts: list[ssl.SSLContext] = []
        self.renew()

    @classmethod
    def of(cls, settings: Settings) -> Tls | None:
        """As the settings ask for it."""
        if settings.tls_cert is None or settings.tls_key is None:
            return None
        return cls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)

    def renew(self) -> None:
        """Reads certificate and key again, for connections to come; a bad file changes nothing."""
        self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # a trial: it may not leave half of one
        for context in self._contexts:
            self._load(context)
        cert, key = self._files
        self._served = grpc.ssl_server_certificate_configuration(
            [(key.read_bytes(), cert.read_bytes())],
            self._client_ca.read_bytes() if self._client_ca else None,
        )

    def context(self, *, ask_client: bool = True) -> ssl.SSLContext:
        """For HTTP. Clients must show a certificate if there is a CA for it and ``ask_client``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = OLDEST
        context.set_alpn_protocols(["http/1.1"])
        self._load(context)
        if ask_client and self._client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
        self._contexts.append(context)
        return context

    def credentials(self) -> Any:
        """For gRPC."""
        return grpc.dynamic_ssl_server_credentials(
            self._served, lambda: self._served, require_client_authentication=bool(self._client_ca)
        )

    def _load(self, context: ssl.SSLContext) -> None:
        cert, key = self._files
        try:
            context.load_cert_chain(cert, key, _no_password)
            if self._client_ca:
                context.load_verify_locations(self._client_ca)
        except ssl.SSLError as error:
            reason = error.reason or "no PEM"
            raise UnreadableFile(
                f"TLS: {', '.join(str(file) for file in (cert, key, self._client_ca) if file)}: "
                f"{reason.lower().replace('_', ' ')}; these must be PEM files that fit together"
            ) from None
        except OSError as error:
            name = next((f for f in (cert, key, self._client_ca) if f and not _readable(f)), cert)
            raise UnreadableFile(f"TLS: {name}: {error.strerror}") from None


def _no_password() -> str:
    """OpenSSL would ask whoever sits at the terminal."""
    return ""


def _readable(file: Path) -> bool:
    try:
        with file.open("rb"):
            return True
    except OSError:
        return False
