"""Encoded pictures as arrays that a model takes, by its ``Preprocessing``.

The one implementation: training, the server, and clients that are told what to do decode with it.
Pictures come from anywhere: only common formats are decoded, and sizes are looked at first.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import UnreadableFile, Unsupported
from .preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

Array: TypeAlias = NDArray[Any]
Size: TypeAlias = tuple[int, int]  # width and height

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's, by number of channels
CHANNELS = {"gray": 1, "rgb": 3, "bgr": 3}
BASE64 = (b"/9j/", b"iVBO", b"UklG", b"data:")  # what pictures begin with where they are text
SIXTEEN_BITS = "I;16"  # what Pillow's modes of gray in 16 bits begin with


@dataclass(frozen=True, slots=True)
class Layout:
    """How an input holds a picture; a ``height`` or ``width`` of None is open."""

    channels: int
    height: int | None
    width: int | None
    channels_first: bool

    @classmethod
    def of(cls, sizes: Sequence[int]) -> Layout | None:
        """That of an input of these sizes, the batch's first, -1 where one is open; or None."""
        match sizes:
            case (_, height, width, channels) if channels in MODES:
                first = False
            case (_, channels, height, width) if channels in MODES:
                first = True
            case _:
                return None
        return cls(channels, None if height < 0 else height, None if width < 0 else width, first)

    def shape(self, height: int, width: int) -> tuple[int, int, int]:
        """That of one picture of this size."""
        last = (height, width, self.channels)
        return (self.channels, height, width) if self.channels_first else last


class PictureReader:
    """Reads pictures for one input.

    Args:
        name, sizes: of the input; sizes that are open are -1.
        dtype: of the input; it holds what ``how`` makes of values from 0 to 255.
        how: what the pictures go through.

    Raises:
        Unsupported: the input does not hold pictures, or not such as ``how`` says.
    """

    def __init__(
        self, name: str, sizes: Sequence[int], dtype: np.dtype[Any], how: Preprocessing
    ) -> None:
        layout, what = Layout.of(sizes), f"input {name!r}"
        if layout is None:
            raise Unsupported(f"{what} takes shape {list(sizes)}, which is not that of pictures")
        self._layout, self._how = layout, how
        self._dtype = dtype
        self._size = _size(layout, how, what)
        self._mode = MODES[layout.channels]
        if how.channels and CHANNELS[how.channels] != layout.channels:
            raise Unsupported(
                f"{what} takes {layout.channels} channels, its preprocessing gives {how.channels}"
            )
        self._mean, self._std = (
            _by_channel(value, layout.channels, what, field)
            for field, value in (("mean", how.mean), ("std", how.std))
        )

    def read(
        self,
        pictures: Sequence[bytes],
        names: Callable[[int], str],
        resized: Callable[[Size, Size], object] = lambda before, after: None,
    ) -> Array:
        """The pictures as the rows of an input.

        ``names`` tells what an error calls each; ``resized`` is told width and height, before and
        after, of those that were.

        Raises:
            UnreadableFile: one of them is no picture, cut short, or larger than is allowed; or
                their sizes differ where the model leaves them open.
        """
        rows = np.empty((0, *self._layout.shape(*(side or 0 for side in self._size))), self._dtype)
        before = after = 0
        for n, encoded in enumerate(pictures):
            image = self._opened(encoded, names(n))
            before += self._counted(before, image.size, names(n))
            with _telling(names(n)):
                upright = self._upright(image)
            height, width = self._size[0] or upright.height, self._size[1] or upright.width
            after += self._counted(after, (width, height), names(n))
            if upright.size != (width, height):
                resized(upright.size, (width, height))
                upright = self._resized(upright, (width, height))
            row = self._array(upright)
            if n == 0:
                rows = np.empty((len(pictures), *row.shape), self._dtype)
            elif rows.shape[1:] != row.shape:
                raise UnreadableFile(
                    f"{names(n)}: it is {width}×{height}, {names(0)} is not; pictures of several "
                    "sizes do not fit one input"
                )
            rows[n] = row
        return rows

    def _counted(self, others: int, size: Size, name: str) -> int:
        """The pixels of a picture, if with the others' they are not too many."""
        width, height = size
        if others + width * height > self._how.max_pixels:
            beside = " with those before it" if others else ""
            raise UnreadableFile(
                f"{name}: {width}×{height} pixels{beside} are too many, allowed are "
                f"{self._how.max_pixels:,} in a request"
            )
        return width * height

    def _opened(self, encoded: bytes, name: str) -> Image:
        """A picture of which only the head is read."""
        from PIL import Image

        if len(encoded) > self._how.max_bytes:
            raise UnreadableFile(
                f"{name}: {len(encoded):,} bytes are too many, allowed are {self._how.max_bytes:,}"
            )
        if encoded.startswith(BASE64):
            raise UnreadableFile(f"{name}: it is base64; send the picture's own bytes")
        with _telling(name):
            return Image.open(io.BytesIO(encoded), formats=FORMATS)

    def _upright(self, image: Image) -> Image:
        """A picture decoded, the way its camera was held, in the mode of the input."""
        from PIL import ImageOps
        from PIL.Image import fromarray

        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith(SIXTEEN_BITS):  # convert() would make white of what is above 255
            image = fromarray((np.asarray(image) >> 8).astype(np.uint8))
        return image.convert(self._mode)

    def _resized(self, image: Image, size: Size) -> Image:
        from PIL import ImageOps
        from PIL.Image import Resampling

        method = Resampling[self._how.filter.upper()]
        if self._how.fit == "crop":
            return ImageOps.fit(image, size, method)
        return image.resize(size, method)

    def _array(self, image: Image) -> Array:
        """A picture's values in the layout of the input."""
        pixels = np.asarray(image).reshape(image.height, image.width, self._layout.channels)
        if self._how.channels == "bgr":
            pixels = pixels[..., ::-1]
        if self._dtype.kind == "f":
            pixels = self._computed(pixels)
        return pixels.transpose(2, 0, 1) if self._layout.channels_first else pixels

    def _computed(self, pixels: Array) -> Array:
        values = pixels.astype(np.float32)
        if self._how.scale != 1.0:
            values *= np.float32(self._how.scale)
        if self._mean is not None:
            values -= self._mean
        if self._std is not None:
            values /= self._std
        return values


@contextmanager
def _telling(name: str) -> Generator[None]:
    """Whatever Pillow meets in a picture, as one error of ours."""
    from PIL import UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError:
        raise UnreadableFile(f"{name}: no picture: none of {', '.join(FORMATS)}") from None
    except Exception as error:  # of every kind: OSError, SyntaxError, ValueError, struct.error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableFile(f"{name}: no picture: {reason}") from None


def _size(layout: Layout, how: Preprocessing, what: str) -> tuple[int | None, int | None]:
    """Height and width that the preprocessing gives; None: those of the picture."""
    found: list[int | None] = []
    sides = zip(("height", "width"), how.size, (layout.height, layout.width), strict=True)
    for side, given, taken in sides:
        if given and taken and given != taken:
            raise Unsupported(f"{what} takes a {side} of {taken}, its preprocessing gives {given}")
        found.append(given or taken)
    return found[0], found[1]


def _by_channel(value: Any, channels: int, what: str, field: str) -> Array | None:
    """A number or one a channel as an array; None where it changes nothing."""
    if isinstance(value, tuple) and len(value) not in (1, channels):
        raise Unsupported(
            f"{what} takes {channels} channels, its preprocessing has {len(value)} of {field}"
        )
    neutral = 0.0 if field == "mean" else 1.0
    return None if value == neutral else np.asarray(value, np.float32)
