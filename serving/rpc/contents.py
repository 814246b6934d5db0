"""The elements of a tensor that came in typed fields (``InferTensorContents``), not raw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from google.protobuf.message import DecodeError

from ..datatypes import BYTES, DATATYPES, Datatype
from ..errors import InvalidArgument
from ..pb import open_inference_grpc_pb2 as pb
from ..tensors import Array, objects, shaped
from .wire import fields, tag

FIELDS = pb.InferTensorContents.DESCRIPTOR.fields_by_name
PACKED = {
    DATATYPES[name]: tag(FIELDS[DATATYPES[name].field].number) for name in ("BOOL", "FP32", "FP64")
}
"""The datatypes whose packed field, as it is sent, already is the array."""

VIEWED = frozenset(datatype.name for datatype in PACKED)

SENT_AS = {"int_contents": np.int32, "uint_contents": np.uint32}
"""What the narrow integers arrive in."""


def array(message: memoryview, datatype: Datatype, shape: Sequence[int], what: str) -> Array:
    """The elements of an InferTensorContents in an array of ``shape``; floats are not copied.

    Raises:
        InvalidArgument: too few, too many, in a field of another datatype, or too large for this
            one.
    """
    if not datatype.field:
        raise InvalidArgument(f"{what}: {datatype.name} can only be sent in raw_input_contents")
    elements = _packed(message, datatype)
    return shaped(_parsed(message, datatype, what) if elements is None else elements, shape, what)


def _packed(message: memoryview, datatype: Datatype) -> Array | None:
    """A view of the one packed field the message consists of; None where it does not."""
    if datatype not in PACKED:
        return None
    found, _, begin, end = next(fields(message), (0, 0, 0, 0))
    if found != PACKED[datatype] or end < len(message) or (end - begin) % datatype.dtype.itemsize:
        return None
    if datatype.name == "BOOL" and np.frombuffer(message[begin:end], np.uint8).max(initial=0) > 1:
        return None  # true as a number of several bytes: allowed, never seen
    return np.frombuffer(message[begin:end], datatype.dtype)


def _parsed(message: memoryview, datatype: Datatype, what: str) -> Array:
    try:
        contents = pb.InferTensorContents.FromString(bytes(message))
    except DecodeError:
        raise InvalidArgument(f"{what}: its contents are no InferTensorContents") from None
    sent = [field.name for field, _ in contents.ListFields()]
    if sent not in ([], [datatype.field]):
        raise InvalidArgument(
            f"{what}: {datatype.name} goes into {datatype.field}, found {', '.join(sent)}"
        )
    elements = getattr(contents, datatype.field)
    if datatype is BYTES:
        return objects(list(elements))
    wide = np.fromiter(elements, SENT_AS.get(datatype.field, datatype.dtype), len(elements))
    narrow = wide.astype(datatype.dtype)
    if (lost := wide[narrow != wide]).size:
        raise InvalidArgument(f"{what}: {lost[0]} is no {datatype.name}")
    return narrow
