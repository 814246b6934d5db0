"""What an import knows of how its model is to be served: labels, and what pictures go through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..runtime.errors import UsageError
from ..runtime.files import read_labels
from ..runtime.ir import Graph
from ..runtime.preprocessing import Preprocessing
from ..runtime.repository import ModelVersion, write_config
from .preprocessing import Mode, by_mode, recognised


@dataclass(frozen=True, slots=True)
class Configured:
    """What goes into a model's ``config.json``.

    ``source`` says where the preprocessing is from; ``is_default``: nobody asked for it.
    """

    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    source: str = ""
    is_default: bool = False


def configured(
    graph: Graph | None, labels: Path | None, mode: Mode | None, told: Preprocessing | None = None
) -> Configured:
    """What the command line says, else the file, and else the architecture.

    ``graph`` is None where nothing is known of the network; ``told`` is what the file says.

    Raises:
        UnreadableFile: ``labels`` is no file of labels.
        UsageError: they do not fit the model, or it takes no pictures.
    """
    named = _labels(labels, graph) if labels else ()
    if graph is None:
        if mode:
            raise UsageError(f"--preprocessing {mode}: the model is served as it is")
        return Configured(named)
    if mode:
        return Configured(named, by_mode(graph, mode), f"--preprocessing {mode}")
    if told:
        return Configured(named, told, "as the file says it", True)
    if known := recognised(graph):
        name, usual, how = known
        return Configured(named, how, f"{usual}, as {name} of keras.applications", True)
    return Configured(named)


def write(found: Configured, root: Path, name: str) -> Sequence[str]:
    """Writes it into the model's ``config.json`` and says what was written.

    What else stands there remains, and so does a preprocessing where this one is a default.

    Raises:
        RepositoryError: what is there makes no sense, or the disk will not have it.
    """
    config = ModelVersion(name, 0, root / name / "0").config()
    wanted = {"labels": found.labels} if found.labels else {}
    told = [f"{len(found.labels)} labels"] if found.labels else []
    if found.preprocessing and not (found.is_default and config.preprocessing):
        wanted |= {"preprocessing": found.preprocessing}
        told.append(f"preprocessing: {found.source}")
    changed = config.model_copy(update=wanted)
    if changed == config:
        return ()
    write_config(root, name, changed)
    return told


def _labels(path: Path, graph: Graph | None) -> tuple[str, ...]:
    """One for each position of the first output's last axis, where that is known."""
    labels = read_labels(path)
    if graph is None:
        return labels
    classes = graph.types[next(iter(graph.outputs.values()))].shape[-1]
    if len(labels) != classes:
        raise UsageError(f"{path}: {len(labels)} labels for {classes} classes")
    return labels
