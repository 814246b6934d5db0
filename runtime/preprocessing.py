"""What a picture goes through before it is a model's input: declared here, done where it is asked.

The importer writes it into a model's ``config.json``; the server and its clients follow it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

Side = Annotated[int, Field(ge=1, le=16_384)]
Divisor = Annotated[FiniteFloat, Field(gt=0)]


class Preprocessing(BaseModel):
    """How a picture becomes numbers: y = (x · scale - mean) / std, of values x from 0 to 255.

    Every field may be left out: then a picture is its own values, in the size the model takes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: tuple[Side | None, Side | None] = (None, None)
    """Height and width; None: as the model's input says, and where that is open as the picture."""
    fit: Literal["squash", "crop"] = "squash"
    """What becomes of another aspect: squeezed, or its middle cut out."""
    filter: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    """How a picture is resized; those that shrink it average, as Pillow's do."""
    channels: Literal["gray", "rgb", "bgr"] | None = None
    """The colours and their order; None: gray for one channel, RGB for three, RGBA for four."""
    scale: FiniteFloat = 1.0
    mean: FiniteFloat | tuple[FiniteFloat, ...] = 0.0
    """One number, or one for each channel in the model's order."""
    std: Divisor | tuple[Divisor, ...] = 1.0
    """As ``mean``."""
    max_pixels: int = Field(default=50_000_000, ge=1)
    """Most pixels that the pictures of a request may have, as they come or as they are resized."""
    max_bytes: int = Field(default=32 << 20, ge=1)
    """The largest encoded picture."""

    @property
    def computes(self) -> bool:
        """Whether it changes values, which then are no whole numbers any more."""
        return (self.scale, self.mean, self.std) != (1.0, 0.0, 1.0)
