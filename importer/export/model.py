"""The networks that can be exported: installed models, files of networks, checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import Unsupported, UsageError
from ...runtime.network import Network
from ...runtime.repository import MODEL, VERSION, WEIGHTS, newest, slug


@dataclass(frozen=True)
class Source:
    """A network, the file it is from, and what it is called."""

    path: Path
    name: str
    network: Network


def read_source(path: Path) -> Source:
    """Opens what a user names: models/NAME, models/NAME/VERSION, or a file of safetensors.

    A checkpoint of a training is such a file, too. Of a model the newest version is taken.

    Raises:
        UsageError: there is nothing of that name, or it is no model.
        UnreadableFile: a file that is damaged, or no network.
        Unsupported: a model that is served as it came, of which there is no network.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such model; name models/NAME, or a .safetensors file")
    if not path.is_dir():
        return Source(path, slug(path.stem), Network.load(path))
    name = path.resolve().name
    version = path
    if VERSION.fullmatch(name) and (path / MODEL).exists():
        name = path.resolve().parent.name
    elif number := newest(path):
        version = path / str(number)
    file = version / WEIGHTS
    if file.exists():
        return Source(file, name, Network.load(file))
    if (version / MODEL).exists():
        raise Unsupported(
            f"{version}: it was installed as it came, and no network was made of it: take its "
            f"{MODEL} and what lies beside it"
        )
    raise UsageError(f"{path}: no model: it has no version with {WEIGHTS}")
