"""Files as the inputs of a model: .npy, .npz, pictures."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ...runtime.errors import UnreadableFile, Unsupported, UsageError
from ...runtime.files import regular
from ..datatypes import BYTES, DATATYPES
from ..tensors import Array
from .connection import Tensor

log = logging.getLogger(__name__)

ARRAYS = (".npy", ".npz")
PICTURES = (".png", ".jpg", ".jpeg")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's, by number of channels


def read_inputs(path: Path, wanted: Sequence[Tensor]) -> dict[str, Array]:
    """The arrays in a file by the name of the input they are for, each in the input's datatype.

    An array that lacks the first axis is given one of size 1. What else a picture goes through is
    logged.

    Raises:
        UnreadableFile: there is no such file, or it does not hold what its name says.
        Unsupported: the model does not take what the file holds.
        UsageError: a file of another kind.
    """
    kind = regular(path).suffix.lower()
    if kind not in (*ARRAYS, *PICTURES):
        raise UsageError(f"{path}: give one of {', '.join((*ARRAYS, *PICTURES))}")
    if kind == ".npz":
        found = _load(path)
        return {tensor.name: _fit(_named(found, tensor, path), tensor) for tensor in wanted}
    if len(wanted) != 1:
        names = ", ".join(tensor.name for tensor in wanted)
        raise Unsupported(f"{path}: one array, but the model takes {names}: give an .npz of these")
    tensor = wanted[0]
    array = _picture(path, tensor) if kind in PICTURES else _load(path)
    return {tensor.name: _fit(array, tensor)}


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, BadZipFile):  # numpy's own words tell how to unpickle it
        raise UnreadableFile(f"{path}: no file of numpy arrays of numbers") from None


def _named(found: Mapping[str, Array], tensor: Tensor, path: Path) -> Array:
    if tensor.name not in found:
        raise Unsupported(
            f"{path}: no array {tensor.name!r}, which the model takes; it holds {', '.join(found)}"
        )
    try:
        return found[tensor.name]
    except (ValueError, EOFError, BadZipFile) as error:
        raise UnreadableFile(f"{path}: array {tensor.name!r}: {error}") from None


def _fit(array: Array, tensor: Tensor) -> Array:
    datatype = DATATYPES[tensor.datatype]
    if array.ndim == len(tensor.shape) - 1:
        array = array[np.newaxis]
    if datatype is BYTES:
        return array
    if not np.can_cast(array.dtype, datatype.dtype, "same_kind"):
        raise Unsupported(
            f"input {tensor.name!r}: the model takes {datatype.name}, the file holds {array.dtype}"
        )
    return array.astype(datatype.dtype)


def _picture(path: Path, tensor: Tensor) -> Array:
    """A picture in the input's layout and size; floats are 0 to 1."""
    from PIL import Image

    image = _opened(path)
    channels, height, width, first = _layout(tensor)
    image = image.convert(MODES[channels])
    size = (image.width if width < 0 else width, image.height if height < 0 else height)
    if size != image.size:
        log.warning("%s: resized from %d×%d to %d×%d", path, *image.size, *size)
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels: Array = np.asarray(image).reshape(size[1], size[0], channels)
    pixels = pixels.transpose(2, 0, 1) if first else pixels
    if not tensor.datatype.startswith("FP"):
        return pixels
    log.warning("%s: values divided by 255, to lie between 0 and 1", path)
    return pixels.astype(np.float32) / 255


def _opened(path: Path) -> Any:
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableFile(f"{path}: no picture: {error}") from None


def _layout(tensor: Tensor) -> tuple[int, int, int, bool]:
    """Channels, height, width (negative: open), and whether the channels come first."""
    match tensor.shape:
        case (_, height, width, channels) if channels in MODES:
            return channels, height, width, False
        case (_, channels, height, width) if channels in MODES:
            return channels, height, width, True
        case shape:
            raise Unsupported(
                f"input {tensor.name!r} takes shape {list(shape)}, which is not that of pictures"
            )
