"""How an import is to be proved, and what a report says of the file it came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..runtime.check import TOLERANCE
from ..runtime.errors import UsageError
from ..runtime.report import STRENGTH, Evidence, Source

KERAS = "keras"
"""The reference that is real Keras."""
WEAKEST: Evidence = STRENGTH[-1]


@dataclass(frozen=True)
class Proof:
    """How an import is to be proved.

    Attributes:
        reference: a reference file, "keras" for real Keras, or None: the file NAME.reference.h5
            beside the model if there is one, else what the format brings, else the two engines
            alone.
        inputs: an .npy or .npz file to check with, where the reference brings none.
        tolerance: the largest difference of a layer, relative to its scale.
        required: the weakest evidence that will do.

    Raises:
        UsageError: a tolerance that is not between 0 and 1.
    """

    reference: Path | str | None = None
    inputs: Path | None = None
    tolerance: float = TOLERANCE
    required: Evidence = WEAKEST

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise UsageError(f"tolerance {self.tolerance}: use a number between 0 and 1")


def hashed(path: Path, kind: str, keras_version: str = "") -> Source:
    """The file as a report names it; ``kind`` is its format."""
    with path.open("rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
    return Source(file=path.name, sha256=digest, format=kind, keras_version=keras_version)
