"""Which inputs of a model take pictures, and what reads pictures for them."""

from __future__ import annotations

from collections.abc import Sequence

from ..runtime.errors import Unsupported
from ..runtime.pictures import Layout, PictureReader
from ..runtime.preprocessing import Preprocessing
from .datatypes import Datatype

FLOATS = ("FP16", "FP32", "FP64")
INTEGERS = ("UINT8", "UINT16", "UINT32", "UINT64", "INT16", "INT32", "INT64")
"""The datatypes that hold the values of a picture as they are."""


def picture_reader(
    name: str, sizes: Sequence[int], datatype: Datatype, how: Preprocessing
) -> PictureReader:
    """What reads pictures for an input; sizes that are open are -1.

    Raises:
        Unsupported: the input does not hold pictures, or not such as ``how`` says.
    """
    reader = PictureReader(name, sizes, datatype.dtype, how)
    if datatype.name not in (FLOATS if how.computes else (*FLOATS, *INTEGERS)):
        raise Unsupported(
            f"input {name!r} takes {datatype.name}, which does not hold what comes out"
        )
    return reader


def picture_readers(
    inputs: Sequence[tuple[str, Sequence[int], Datatype]], how: Preprocessing
) -> dict[str, PictureReader]:
    """A reader for each input that has the shape of pictures.

    Raises:
        Unsupported: none has, or one does not fit ``how``.
    """
    found = {at[0]: picture_reader(*at, how) for at in inputs if Layout.of(at[1])}
    if not found:
        shapes = ", ".join(f"{name!r} of shape {list(sizes)}" for name, sizes, _ in inputs)
        raise Unsupported(f"no input has the shape of pictures; the model takes {shapes}")
    return found


def by_default(datatype: Datatype) -> Preprocessing:
    """What is done where nobody has said what to do: floats lie between 0 and 1."""
    return Preprocessing(std=255.0 if datatype.name in FLOATS else 1.0)
