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
from ...runtime.pictures import Size
from ...runtime.preprocessing import Preprocessing
from ..datatypes import BYTES, DATATYPES
from ..pictures import by_default, picture_reader
from ..tensors import Array, objects
from .connection import Tensor

log = logging.getLogger(__name__)

ARRAYS = (".npy", ".npz")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def read_inputs(
    path: Path, wanted: Sequence[Tensor], how: Preprocessing | None = None
) -> dict[str, Array]:
    """The arrays in a file by the name of the input they are for, each in the input's datatype.

    An array that lacks the first axis is given one of size 1. ``how`` is what pictures go through;
    where nobody has said it, what they do go through is logged.

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
    if kind in PICTURES:
        return {tensor.name: _picture(path, tensor, how)}
    return {tensor.name: _fit(_load(path), tensor)}


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


def _picture(path: Path, tensor: Tensor, told: Preprocessing | None) -> Array:
    """A picture as an input; where the server decodes it, as it is."""
    datatype = DATATYPES[tensor.datatype]
    how = told or by_default(datatype)
    with path.open("rb") as file:
        encoded = file.read(how.max_bytes + 1)
    if datatype is BYTES:
        return objects([encoded]).reshape([1] * len(tensor.shape))
    reader = picture_reader(tensor.name, tensor.shape, datatype, how)

    def resized(before: Size, after: Size) -> None:
        if told is None:
            log.warning("%s: resized from %d×%d to %d×%d", path, *before, *after)

    rows = reader.read([encoded], lambda _: str(path), resized)
    if told is None and how.computes:
        log.warning("%s: values divided by 255, to lie between 0 and 1", path)
    return rows
