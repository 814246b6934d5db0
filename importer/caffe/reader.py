"""Reads Caffe's files: prototxt with caffemodel, a caffemodel alone, and the form in HDF5."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...runtime.errors import CortexError, GraphError, UnreadableFile, Unsupported
from ...runtime.files import regular
from ..deferred import Deferred
from ..reference import Reference
from ..sniff import refusal, sniff
from ..source import ModelSource, Reading
from .blobs import Mapped, blob
from .build import Built, build
from .net import NetFacts, read_net, with_weights
from .pictures import preprocessing
from .schema import Message
from .side import prototxt, with_arrays, witness
from .text import LONGEST, read_text
from .wire import Wire


def read(source: ModelSource) -> Reading:
    """Reads a network of Caffe.

    Raises:
        UnreadableFile: none, damaged, or unsafe.
        Unsupported: a layer or an option that Cortex cannot compute, by name.
    """
    path = source.path
    kind = sniff(path)
    if kind == "hdf5":
        return _of_side_file(source)
    if kind == "caffemodel" and source.weights is None:
        return _read(source, _weights(path), (WITHOUT_PROTOTXT,))
    if source.weights is None:
        raise UnreadableFile(f"{path}: {refusal(kind)}")
    described = _described(path) if kind == "prototxt" else _weights(path)
    net, left = with_weights(described, _weights(source.weights))
    return _read(source, net, left)


WITHOUT_PROTOTXT = (
    "the layers are those that the caffemodel itself lists, as they were when it was trained"
)


def _described(path: Path) -> NetFacts:
    if regular(path).stat().st_size > LONGEST:
        raise UnreadableFile(f"{path}: too large for an architecture")
    try:
        text = path.read_text("utf-8-sig", errors="replace")
    except OSError as error:
        raise UnreadableFile(f"{path}: it cannot be read: {error}") from None
    return _net(path, read_text(str(path), text, "net"), _no_arrays)


def _no_arrays(_: Message, name: str) -> Deferred:
    raise UnreadableFile(f"{name} stands in the architecture: have Caffe write a caffemodel")


def _weights(path: Path) -> NetFacts:
    if (kind := sniff(path)) != "caffemodel":
        raise UnreadableFile(f"{path}: no caffemodel: {refusal(kind)}")
    file = Mapped(path)
    message = Wire(str(path), file.data).message("net")

    def array(stored: Message, name: str) -> Deferred:
        return blob(file, stored, name)

    return _net(path, message, array, everything=True)


@contextmanager
def _named(path: Path) -> Generator[None]:
    """Errors inside the block name the file."""
    try:
        yield
    except GraphError as error:
        raise UnreadableFile(f"{path}: {error}") from None
    except CortexError as error:
        raise type(error)(f"{path}: {error}") from None


def _net(path: Path, message: Message, arrays: Any, *, everything: bool = False) -> NetFacts:
    with _named(path):
        return read_net(message, arrays, everything=everything)


def _read(source: ModelSource, net: NetFacts, notes: tuple[str, ...]) -> Reading:
    with _named(source.path):
        built = build(net, source.input_shapes)
    pictures, more = preprocessing(net, built.network.graph)
    return replace(_reading(source, "Caffe", built, (*notes, *more)), preprocessing=pictures)


def _reading(source: ModelSource, form: str, built: Built, notes: tuple[str, ...]) -> Reading:
    training = {"losses": [dict(one) for one in built.losses]} if built.losses else {}
    return Reading(
        source.path, form, built.network, notes=(*notes, *built.notes), training=training
    )


def _of_side_file(source: ModelSource) -> Reading:
    path = source.path
    if source.weights is not None:
        raise Unsupported(f"{path}: it has its weights in itself; leave --weights out")
    message = read_text(f"{path}: model_prototxt", prototxt(path), "net")
    net = with_arrays(path, _net(path, message, _no_arrays))
    with _named(path):
        built = build(net, {})
    recorded = witness(path, built)
    reading = _reading(source, "Caffe in HDF5 of thinktopic/cortex", built, ())
    return replace(reading, witness=partial(_said, recorded)) if recorded else reading


def _said(recorded: Reference, _: Any) -> Reference:
    return recorded
