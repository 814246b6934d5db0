"""What is said of a model that is installed: one object, kept beside it as report.json.

An import prints it with --json, too. Its schema is a stable interface.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Evidence = Literal["recorded", "keras", "onnxruntime", "keras-rewritten", "engines", "unread"]
"""Who says what the outputs should be, strongest first.

recorded: outputs saved with the model. keras: real Keras ran the untouched file. onnxruntime: it
ran the untouched file, of ONNX. keras-rewritten: real Keras ran the model as we rewrote it.
engines: two engines of ours agree, which proves nothing of how we read the file. unread: the file
is served as it is, and what serves it computed the outputs.
"""
STRENGTH: tuple[Evidence, ...] = get_args(Evidence)
OUTSIDE: tuple[Evidence, ...] = ("recorded", "keras", "onnxruntime")
"""Evidence that makes a model *verified* rather than *consistent*."""


class Strict(BaseModel):
    """No field that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Strict):
    """The file a model came from; of a training, the weights that it wrote."""

    file: str
    sha256: str
    format: str
    keras_version: str = ""


class Compared(Strict):
    """A value, and how far what we compute is from what it should be: the worse of our two engines.

    ``outside`` says whether that comes from the reference; if not, one engine was held against the
    other.
    ``max_abs`` is the largest error, ``scale`` the largest value to expect. ``max_abs`` is null
    where the two cannot be subtracted: another shape, or a NaN on one side.
    """

    name: str
    output_shape: tuple[int | str, ...]
    max_abs: float | None
    scale: float
    ok: bool
    outside: bool


class LayerReport(Compared):
    """One call of a layer."""

    class_: str = Field(alias="class")
    parameters: int


class ValueStatistics(Strict):
    """A value in four numbers; null is not finite."""

    shape: tuple[int, ...]
    mean: float | None
    std: float | None
    min: float | None
    max: float | None


class FirstDifference(Strict):
    """The first layer that differs, and both sides of it."""

    layer: str
    engine: str
    found: ValueStatistics
    expected: ValueStatistics


class Report(Strict):
    """An import, or what a training published.

    ``verified`` is true only with evidence from outside and no difference.

    ``warnings`` say why the evidence does not prove the whole, ``notes`` what was assumed.
    ``files`` has the SHA-256 of each file that was written.
    """

    model: str
    version: int | None = None
    path: str | None = None
    verified: bool
    evidence: Evidence
    reference: str
    source: Source
    layers: tuple[LayerReport, ...]
    outputs: tuple[Compared, ...]
    first_difference: FirstDifference | None
    seconds: float
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: dict[str, str] = {}

    @property
    def agrees(self) -> bool:
        """Whether everything that was compared came out as it should."""
        return self.first_difference is None

    def accepted(self, required: Evidence) -> bool:
        """Whether the model may be installed where evidence must not be weaker than this."""
        return self.agrees and STRENGTH.index(self.evidence) <= STRENGTH.index(required)

    def to_json(self) -> str:
        """The object that --json prints and report.json holds."""
        return self.model_dump_json(by_alias=True, indent=2)

    @property
    def largest(self) -> float:
        """The largest difference of a layer, relative to its scale."""
        ratios = [
            math.inf if at.max_abs is None else at.max_abs / at.scale
            for at in (*self.layers, *self.outputs)
        ]
        return max(ratios, default=0.0)


def finite(number: float) -> float | None:
    """A number as JSON can have it."""
    return number if math.isfinite(number) else None
