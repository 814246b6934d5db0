"""What calls are for; who may make them is decided by that alone."""

from __future__ import annotations

from enum import Enum


class Area(Enum):
    """Every method and every route belongs to one."""

    HEALTH = "health"
    """Whether the server or a model can be asked: open to everybody."""
    DATA = "data"
    """Inference, and what there is to know for it."""
    CONTROL = "control"
    """What changes the server for all its clients."""
