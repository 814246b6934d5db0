"""What can be read of ONNX: every operator that has a converter, with the attributes that reads."""

from __future__ import annotations

from ..catalogue import options_of
from .call import onnx
from .converters import families as families  # registers the converters


def layers() -> dict[str, tuple[str, ...]]:
    """The attributes of each operator, by name; operators and attributes are sorted."""
    return {kind: options_of(onnx[kind]) for kind in sorted(onnx)}
