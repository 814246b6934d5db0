"""Whether a server is ready: the health check of a container asks the server that is in it."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from typing import Any

from ...runtime.errors import UsageError
from .access import OPEN, Access, ServerError

PATH = "/v2/health/ready"
TIMEOUT = 2.0  # seconds
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Target:
    """A metrics port, ``HOST:PORT``, and how it is asked; a ``context`` means TLS."""

    address: str
    context: ssl.SSLContext | None = None
    access: Access = OPEN

    @classmethod
    def own(cls) -> Target:
        """Of the server that CORTEX_SERVE_… in this environment describes.

        Raises:
            UsageError: its port is any that was free.
        """
        from ..cli import serve

        at: dict[str, Any] = serve.make_context("cortex-serve", ["models"]).params
        port, host = at["metrics_port"], str(ANY.get(at["host"], at["host"]))
        if not port:
            raise UsageError("--health: the metrics port is any that was free; give HOST:PORT")
        context = _own_context(at) if at["tls_cert"] and at["tls_key"] else None
        return cls(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", context)


def require_ready(at: Target) -> None:
    """Returns if it is ready.

    Raises:
        ServerError: it is not, or cannot be reached.
    """
    connection = (
        http.client.HTTPSConnection(at.address, timeout=TIMEOUT, context=at.context)
        if at.context
        else http.client.HTTPConnection(at.address, timeout=TIMEOUT)
    )
    try:
        connection.request("GET", PATH, headers=dict(at.access.headers))
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise ServerError(f"{at.address}: {error or type(error).__name__}") from None
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ServerError(f"{at.address}: not ready ({answer.status})")


def _own_context(settings: dict[str, Any]) -> ssl.SSLContext:
    """Whoever listens at our own port is who we mean, whatever name its certificate has.

    Where clients must show one it shows its own.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(settings["tls_cert"], settings["tls_key"])
    return context
