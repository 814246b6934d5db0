"""What a spec wants beside the training itself: a terminal's lines, files, a page, ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..live.listener import LivePage
from ..repository import slug
from ..training.console import Console
from ..training.loop import Listener
from ..training.publisher import Publisher
from ..training.saving import Best, Checkpoints
from ..training.stopping import EarlyStop, Interruptible, TimeLimit
from ..training.tensorboard import TensorBoard
from .families import LOGS
from .schema import Spec

KEYS: Mapping[str, Callable[[Any, Spec], Listener]] = {
    "save": lambda path, _: Best(path),
    "checkpoint": lambda path, spec: Checkpoints(path, spec.checkpoint_every, spec.history),
    "log": lambda path, _: LOGS[path.suffix](path),
    "tensorboard": lambda folder, _: TensorBoard(folder),
    "publish": lambda models, spec: Publisher(models, slug(spec.name), spec.labels, spec.versions),
    "patience": lambda epochs, _: EarlyStop(epochs),
    "minutes": lambda minutes, _: TimeLimit(minutes * 60),
    "live": lambda port, spec: LivePage(port, spec.name, spec.labels),
}
"""What the keys of a spec that are options of the command, too, ask for."""


def listeners(spec: Spec, *, bar: bool = True) -> list[Listener]:
    """Those that the spec asks for, in the order in which they are told."""
    asked = {key: getattr(spec, key) for key in KEYS}
    keyed = [KEYS[key](value, spec) for key, value in asked.items() if value is not None]
    return [Console(progress=bar), Interruptible(), *keyed, *spec.listeners]
