"""What a spec wants beside the training itself: a terminal's lines, files, a page, ends."""

from __future__ import annotations

from ..live.listener import LivePage
from ..repository import slug
from ..training.console import Console
from ..training.hdf5 import Hdf5History
from ..training.logs import CsvLog, JsonLog
from ..training.loop import Listener
from ..training.publisher import Publisher
from ..training.saving import Best, Checkpoints
from ..training.stopping import EarlyStop, Interruptible, TimeLimit
from ..training.tensorboard import TensorBoard
from .schema import Spec

LOGS = {".csv": CsvLog, ".json": JsonLog, ".jsonl": JsonLog, ".h5": Hdf5History}


def listeners(spec: Spec, *, bar: bool = True) -> list[Listener]:
    """Those that the spec asks for, in the order in which they are told."""
    found: list[Listener] = [Console(progress=bar), Interruptible()]
    if spec.save:
        found.append(Best(spec.save))
    if spec.checkpoint:
        found.append(Checkpoints(spec.checkpoint, spec.checkpoint_every, spec.history))
    if spec.log:
        found.append(LOGS[spec.log.suffix](spec.log))
    if spec.tensorboard:
        found.append(TensorBoard(spec.tensorboard))
    if spec.publish:
        found.append(Publisher(spec.publish, slug(spec.name), spec.labels))
    if spec.patience:
        found.append(EarlyStop(spec.patience))
    if spec.minutes:
        found.append(TimeLimit(spec.minutes * 60))
    if spec.live is not None:
        found.append(LivePage(spec.live, spec.name, spec.labels))
    return found
