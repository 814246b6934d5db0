"""Enough of a Docker engine to try our Dockerfile: its steps, run in trees of a plain Debian."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BASE = re.compile(r"python:\S+-slim-(\w+)$")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass
class Image:
    """A tree of files and what the instructions say about running it."""

    root: Path
    suite: str
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATHS})
    arguments: dict[str, str] = field(default_factory=dict[str, str])
    folder: str = "/"
    user: str = "0"
    stop_signal: str = ""
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    health: Sequence[str] = ()


def build(text: str, context: Path, work: Path) -> Image:
    """Follows a Dockerfile; the trees lie in ``work``, and the last one is the image's.

    Each stage begins with a Debian that has Python, of the release that its base is named after.
    """
    stages: dict[str, Image] = {}
    defaults: dict[str, str] = {}
    image: Image | None = None
    for name, rest in instructions(text):
        if name == "FROM":
            base, _, stage = expand(rest, defaults).partition(" AS ")
            (suite,) = BASE.findall(base)
            image = Image(debian(suite, work, len(stages)), suite)
            stages[stage or str(len(stages))] = image
        elif image is None:
            key, _, value = rest.partition("=")
            defaults[key] = value
        else:
            follow(image, name, rest, context, stages)
    assert image is not None
    return image


def instructions(text: str) -> list[tuple[str, str]]:
    """The name and the rest of each instruction."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def expand(text: str, values: Mapping[str, str]) -> str:
    """Puts in the values of ``$NAME`` and ``${NAME}``."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values[found[1]], text)


def follow(image: Image, name: str, rest: str, context: Path, stages: Mapping[str, Image]) -> None:
    """One instruction of a stage."""
    match name:
        case "ARG":
            key, _, value = rest.partition("=")
            image.arguments[key] = value
        case "ENV":
            for pair in shlex.split(expand(rest, image.environment)):
                key, _, value = pair.partition("=")
                image.environment[key] = value
        case "WORKDIR":
            image.folder = rest
            within(image, rest).mkdir(parents=True, exist_ok=True)
        case "COPY":
            copy(image, shlex.split(rest), context, stages)
        case "RUN":
            run(image, rest)
        case "USER":
            image.user = rest
        case "STOPSIGNAL":
            image.stop_signal = rest
        case "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        case "CMD":
            image.command = json.loads(rest)
        case "HEALTHCHECK":
            image.health = json.loads(rest.partition("CMD")[2])
        case "EXPOSE":
            pass  # says nothing that a tree of files could follow
        case _:
            raise AssertionError(f"{name}: this engine does not know it")


def copy(image: Image, words: Sequence[str], context: Path, stages: Mapping[str, Image]) -> None:
    """COPY: from the context, as far as .dockerignore lets it in, or from another stage."""
    *sources, target = words
    allowed = (context / ".dockerignore").read_text().splitlines()
    origin = context
    if sources[0].startswith("--from="):
        origin = stages[sources.pop(0).partition("=")[2]].root
    for source in sources:
        assert origin != context or f"!{source}" in allowed, f"{source} is not in .dockerignore"
        found = origin / source.lstrip("/")
        place = within(image, target) / ("" if found.is_dir() else found.name)
        if found.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True, ignore=ignored)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, place)


def within(image: Image, path: str) -> Path:
    """Where a path of the image lies."""
    return image.root / os.path.normpath(os.path.join(image.folder, path)).lstrip("/")


def run(image: Image, line: str) -> None:
    """RUN, as root; pip trusts whom this machine trusts."""
    environment = {
        **image.environment,
        **image.arguments,
        "PIP_CERT": CERTIFICATES,
        "HOME": "/root",
    }
    script = f"cd {shlex.quote(image.folder)} && {line}"
    subprocess.run(
        ["chroot", image.root, "/bin/sh", "-ec", script], env=environment, check=True, timeout=900
    )


def debian(suite: str, work: Path, number: int) -> Path:
    """A new tree: Debian with Python as ``python``, which knows this machine's name servers."""
    first = work / suite
    if not first.exists():
        packages = "--include=python3,python3-venv,ca-certificates"
        subprocess.run(
            ["debootstrap", "--variant=minbase", packages, suite, first],
            check=True,
            timeout=900,
            stdout=subprocess.DEVNULL,
        )
        (first / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        for each in ("/etc/resolv.conf", "/etc/hosts", CERTIFICATES):
            shutil.copy(each, first / each.lstrip("/"))
    tree = work / f"{suite}-{number}"
    subprocess.run(["cp", "-a", first, tree], check=True)
    return tree
