"""Who may call what. Every method and route belongs to one area; a transport asks before it reads.

health    open to everybody: whether the server or a model can be asked
data      with ``--token-file``: whoever brings one of its tokens; else everybody
control   callers on this machine; with ``--control-token-file``: whoever brings one of its tokens,
          from anywhere, and nobody else. What can be controlled at all, its own options say.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import Forbidden, Unauthenticated
from ..settings import Settings
from .areas import Area
from .tokens import Tokens

BEARER = "bearer "
FORWARDED = frozenset({"forwarded", "x-forwarded-for", "x-real-ip", "origin"})
"""Headers of proxies and browsers: what comes by one of them may not come from this machine."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the address as the transport knows it, headers in lower case, the certificate."""

    host: str
    port: str
    headers: Mapping[str, str]
    certificate: str = ""

    @property
    def peer(self) -> str:
        """The address for the log."""
        return f"{self.host}:{self.port}" if self.port else self.host

    @property
    def local(self) -> bool:
        """Whether it is on this machine, and nobody stands between."""
        if any(name in self.headers for name in FORWARDED):
            return False
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return self.host == "unix"
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback

    @property
    def token(self) -> str:
        """The bearer token; empty if there is none."""
        value = self.headers.get("authorization", "")
        return value[len(BEARER) :].strip() if value[: len(BEARER)].lower() == BEARER else ""


class Guard:
    """Admits callers as the settings say.

    Raises:
        UnreadableFile: a file of tokens cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._files = {
            Area.DATA: settings.token_file,
            Area.CONTROL: settings.control_token_file,
        }
        self.renew()

    def renew(self) -> None:
        """Reads the tokens again; a bad file changes nothing."""
        self._tokens = {area: Tokens(file) for area, file in self._files.items() if file}

    def checks(self, area: Area) -> bool:
        """Whether ``admit`` may refuse anybody; where not, it need not be asked."""
        return area is Area.CONTROL or area in self._tokens

    def admit(self, area: Area, caller: Caller) -> str:
        """Lets a caller pass; returns who it is, for the log.

        Raises:
            Unauthenticated: it brings no token, or a wrong one.
            Forbidden: control calls are not served, or not to this caller.
        """
        if (tokens := self._tokens.get(area)) is not None:
            return f"token {_identified(tokens, area, caller)}"
        if area is Area.CONTROL and not caller.local:
            raise Forbidden(
                "control calls are served to callers on this machine only; start the server with "
                "--control-token-file to serve them to others"
            )
        return caller.certificate or ("local" if caller.local else "anybody")


def _identified(tokens: Tokens, area: Area, caller: Caller) -> str:
    if not caller.token:
        raise Unauthenticated(
            f"{area.value} calls need a token; send the header 'authorization: Bearer TOKEN'"
        )
    if found := tokens.identify(caller.token):
        return found
    raise Unauthenticated(f"the token is none of those for {area.value} calls")
