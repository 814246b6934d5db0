"""What a source says of its training, written as a spec that cortex-train goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..runtime.files import replacing
from ..runtime.spec.document import Range, replaced
from ..runtime.spec.schema import checked

WIDTH = 100


class _Dumper(yaml.SafeDumper):
    """Writes what stands in two places twice, and the ranges of a search."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _range(dumper: yaml.SafeDumper, found: Range) -> yaml.Node:
    words = [found.name, found.kind, *map(str, found.values), *["LOG"] * found.log]
    return dumper.represent_scalar("!hyperopt", " ".join(words))


_Dumper.add_representer(Range, _range)


def write_spec(path: Path, training: Mapping[str, Any], model: Path | None = None) -> None:
    """Writes a cortex-train spec.

    Args:
        path: the file to write.
        training: parts of a spec, see ``Reading.training``.
        model: the folder of the installed model that the training goes on from; None where
            ``training`` describes the network itself.

    Raises:
        UnreadableFile: what the source says makes no training; nothing is written.
        UnwritableFile: the disk will not have it.
    """
    start = {} if model is None else {"network": {"load": str(model)}}
    document = {**start, **training}
    checked(tried({"name": path.stem, **document}), str(path))
    style: Any = None  # what is within nothing else on one line
    text = yaml.dump(
        document, Dumper=_Dumper, default_flow_style=style, width=WIDTH, sort_keys=False
    )
    with replacing(path) as stage:
        stage.write_text(text, "utf-8")


def tried(document: Mapping[str, Any]) -> Any:
    """The spec with the first value of each range in its place."""
    return replaced(document, lambda found: found.values[0])
