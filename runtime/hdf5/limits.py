"""What an HDF5 file of a stranger may not do, whoever reads it: the probe, or the importer itself.

Some of the checks are those Keras learnt to make (CVE-2026-0897, CVE-2026-1669): only hard links,
no external or virtual storage, and no dataset that declares many times what is stored. Others keep
code of the HDF5 library out of play that no file of Keras needs: filters beyond those h5py writes,
number formats that are not those of machines.
"""

from __future__ import annotations

import math
from typing import Any

import h5py
from h5py import h5d, h5t, h5z  # pyright: ignore[reportAttributeAccessIssue]

from ..errors import UnreadableFile

LARGEST_ARRAY = 16 << 30  # bytes
LARGEST_CHUNK = 512 << 20  # bytes
LARGEST_TEXT = 100 << 20  # bytes
DEFLATION = 1100  # no filter of HDF5 shrinks numbers further than deflate's 1032 times
SMALL = 4096  # bytes; an array not stored at all is its fill value, and may have a few pages of it
LZF = 32000
FILTERS = (h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, LZF)
ATTRIBUTES = (h5t.INTEGER, h5t.FLOAT, h5t.ENUM, h5t.STRING)


def shown(name: str) -> str:
    """A name out of a file, fit for one line of a message."""
    return repr(name)[1:-1]


def check_link(where: str, group: h5py.Group, name: str) -> None:
    """Only names of objects in the file itself; a link may name any file of the machine.

    Raises:
        UnreadableFile: there is no such name, or it is another kind of link.
    """
    kind: Any = group.get(name, getlink=True, getclass=True)
    if kind is None:
        raise UnreadableFile(f"{where}: {name!r} is missing")
    if kind is not h5py.HardLink:
        raise UnreadableFile(f"{where}: {name!r} is a {kind.__name__}, which is refused as unsafe")


def check_storage(where: str, dataset: h5py.Dataset) -> int:
    """How many bytes are stored for a dataset, whatever its type.

    Raises:
        UnreadableFile: outside the file, through a filter that is not known, or fewer than the
            dataset could shrink to.
    """
    raw: Any = dataset.id
    plan = raw.get_create_plist()
    if plan.get_layout() == h5d.VIRTUAL or plan.get_external_count():
        raise UnreadableFile(f"{where}: its data lie outside the file, which is refused as unsafe")
    stored, itemsize = int(raw.get_storage_size()), int(raw.get_type().get_size())
    size = math.prod(dataset.shape or ()) * itemsize
    if size > LARGEST_ARRAY or size > (stored + SMALL) * DEFLATION:
        raise UnreadableFile(
            f"{where}: it declares {size:,} bytes, but {stored:,} are stored: refused as unsafe"
        )
    if plan.get_layout() == h5d.CHUNKED:
        _check_chunks(where, plan, itemsize)
    return stored


def _check_chunks(where: str, plan: Any, itemsize: int) -> None:
    size = math.prod(plan.get_chunk()) * itemsize
    if size > LARGEST_CHUNK:
        raise UnreadableFile(f"{where}: one chunk of it is {size:,} bytes, refused as unsafe")
    for number in range(plan.get_nfilters()):
        code = plan.get_filter(number)[0]
        if code not in FILTERS:
            raise UnreadableFile(
                f"{where}: it is compressed by filter {code}; only gzip and lzf are read"
            )


def check_numbers(where: str, dataset: h5py.Dataset) -> None:
    """Only numbers as machines have them.

    Raises:
        UnreadableFile: anything else, and a dataset without a shape.
    """
    if dataset.shape is None or not is_plain(dataset.id.get_type()):
        raise UnreadableFile(f"{where}: it holds {dataset.dtype}, not numbers")


def is_plain(stored: Any) -> bool:
    """Whether a type of HDF5 is a number of NumPy bit for bit, so that no bits are rearranged."""
    dtype = stored.dtype
    is_number = dtype.kind in "fiub" and dtype.itemsize <= 8
    return is_number and bool(stored.equal(h5t.py_create(dtype)))


def check_attribute(where: str, owner: h5py.HLObject, name: str) -> bool:
    """Whether an attribute is of a kind that is read at all.

    Raises:
        UnreadableFile: it is too large.
    """
    attribute: Any = owner.attrs.get_id(name)
    stored = attribute.get_type()
    if math.prod(attribute.shape or ()) * stored.get_size() > LARGEST_TEXT:
        raise UnreadableFile(f"{where}: the attribute {name!r} is too large")
    kind = stored.get_class()
    return kind in ATTRIBUTES and (kind == h5t.STRING or is_plain(stored))
