"""Certificates in files: of a server, of a client, and of a CA that nobody here trusts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files; ``other`` is a CA that signed none of them."""

    ca: Path
    server: tuple[Path, Path]
    client: tuple[Path, Path]
    other: Path
    stranger: tuple[Path, Path]


def certificates(folder: Path) -> Certificates:
    """Makes them in ``folder``."""
    ca, other = trustme.CA(), trustme.CA()
    paths = {}
    for name, authority in (("ca", ca), ("other", other)):
        paths[name] = folder / f"{name}.pem"
        authority.cert_pem.write_to_path(paths[name])
    return Certificates(
        paths["ca"],
        signed(ca, folder, "server", "localhost", "127.0.0.1"),
        signed(ca, folder, "client", "alice.example"),
        paths["other"],
        signed(other, folder, "stranger", "mallory.example"),
    )


def signed(ca: trustme.CA, folder: Path, name: str, *hosts: str) -> tuple[Path, Path]:
    """The files of a certificate that ``ca`` signs, and of its key."""
    issued = ca.issue_cert(*hosts, common_name=hosts[0])
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return cert, key
