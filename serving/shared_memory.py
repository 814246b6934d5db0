"""Regions of the system's shared memory, which local clients use to send and to receive tensors.

What a client names is a file in ``/dev/shm`` and nothing else. Regions are copied by ``pread`` and
``pwrite``, never mapped: whoever else has the file may cut it short at any time, and a process that
touches mapped memory behind the end of its file is killed.
"""

from __future__ import annotations

import os
import re
import stat
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .datatypes import BYTES, Datatype
from .errors import Forbidden, InvalidArgument, NotFound, listed
from .fitting import LONG
from .logs import note
from .parameters import whole
from .tensors import Array, decode, encoded

if TYPE_CHECKING:
    from .model import Output

FOLDER = Path("/dev/shm")
KEY = re.compile(r"/?([A-Za-z0-9_][A-Za-z0-9_.-]{0,254})")
FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # the last: no wait for a pipe
MOST = 1024  # regions; each holds a file open
LONGEST = 256  # characters of a region's name

REGION, OFFSET, BYTE_SIZE = (
    "shared_memory_region",
    "shared_memory_offset",
    "shared_memory_byte_size",
)
"""The parameters of a tensor that lies in a region."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where a tensor lies: so many bytes of a region, from ``offset`` on."""

    region: str
    offset: int
    byte_size: int

    @classmethod
    def of(cls, parameters: Mapping[str, object], what: str) -> Span | None:
        """What the parameters of a tensor say; None if it does not lie in a region.

        Raises:
            InvalidArgument: they are not of their kinds, or the size is missing.
        """
        if REGION not in parameters:
            return None
        region = parameters[REGION]
        if not isinstance(region, str):
            raise InvalidArgument(f"{what}: {REGION} is a name, found {region!r}")
        if BYTE_SIZE not in parameters:
            raise InvalidArgument(f"{what}: {REGION} needs {BYTE_SIZE} beside it")
        return cls(region, whole(parameters, OFFSET, what), whole(parameters, BYTE_SIZE, what))


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Region:
    """A registered region: ``byte_size`` bytes of the file ``key``, from ``offset`` on.

    Its file is closed when nobody has it any more: a thread may be reading it when it is
    unregistered, and the number of a closed file is soon another's.
    """

    name: str
    key: str
    offset: int
    byte_size: int
    file: int


class Regions:
    """The regions that clients have registered; a tensor in one has ``largest`` bytes at most.

    Every client may use the regions of all, and every thread may read and write them. Where shared
    memory is not ``on`` there are none.
    """

    def __init__(self, largest: int, on: bool) -> None:
        self.on = on
        self._largest = largest
        self._known: dict[str, Region] = {}

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Makes ``byte_size`` bytes of the shared memory ``key`` known as ``name``.

        Raises:
            InvalidArgument: the name is taken, the key is no name, or the file is too small.
            NotFound: there is no such shared memory.
            Forbidden: it is not for this server, is no plain file, or there are too many regions;
                shared memory is off.
        """
        note(region=name, key=key)
        self._check_on()
        what = f"shared memory region {name[:LONGEST]!r}"
        if not 0 < len(name) <= LONGEST:
            raise InvalidArgument(f"{what}: a name has 1 to {LONGEST} characters")
        if name in self._known:
            raise InvalidArgument(f"{what} is registered already; unregister it first")
        if len(self._known) >= MOST:
            raise Forbidden(f"{what}: {MOST} regions are registered, which is the most")
        if not byte_size or min(offset, byte_size) < 0:
            raise InvalidArgument(f"{what}: {byte_size} bytes from byte {offset} on are no region")
        file = _opened(key, what)
        region = Region(name, key, offset, byte_size, file)
        close = weakref.finalize(region, os.close, file)
        try:
            _check_file(region, what)
        except BaseException:
            close()  # the error has it still
            raise
        self._known[name] = region

    def unregister(self, name: str = "") -> None:
        """Forgets a region, if it is known; with no name all of them."""
        for each in [name] if name else list(self._known):
            self._known.pop(each, None)

    def registered(self, name: str = "") -> Sequence[Region]:
        """All regions, or the one of a name; ``NotFound``."""
        return [self._region(name)] if name else list(self._known.values())

    def read(self, span: Span, what: str) -> memoryview:
        """A copy of what a client put there.

        Raises:
            InvalidArgument: there is no such region, or the span does not lie within it.
        """
        region, begin = self._place(span, what)
        found = np.empty(span.byte_size, np.uint8).data
        at = 0
        while at < span.byte_size:
            count = os.preadv(region.file, [found[at:]], begin + at)
            if not count:
                raise _shrunk(region, what)
            at += count
        return found.toreadonly()

    def check(self, span: Span, what: str) -> None:
        """Raises what ``write`` would if it had to fill the span."""
        self._place(span, what)

    def write(self, span: Span, data: bytes | memoryview, what: str) -> None:
        """Puts ``data`` at the start of the span.

        Raises:
            InvalidArgument: there is no such region, the span does not lie within it, or the data
                do not fit.
        """
        region, begin = self._place(span, what)
        left = memoryview(data)
        check_room(span, left.nbytes, what)
        while left.nbytes:
            count = os.pwrite(region.file, left, begin)
            begin, left = begin + count, left[count:]

    def _place(self, span: Span, what: str) -> tuple[Region, int]:
        """The region of a span, and where in the file the span begins."""
        self._check_on()
        try:
            region = self._region(span.region)
        except NotFound as error:
            raise InvalidArgument(f"{what}: {error}") from None
        if span.offset < 0 or not 0 <= span.byte_size <= region.byte_size - span.offset:
            raise InvalidArgument(
                f"{what}: {span.byte_size} bytes from byte {span.offset} on do not lie in shared "
                f"memory region {region.name!r} of {region.byte_size} bytes"
            )
        if span.byte_size > self._largest:
            raise InvalidArgument(
                f"{what}: {span.byte_size} bytes in shared memory, at most {self._largest} are "
                "taken; --max-message-mb sets it"
            )
        begin = region.offset + span.offset
        if begin + span.byte_size > os.fstat(region.file).st_size:
            raise _shrunk(region, what)
        return region, begin

    def _check_on(self) -> None:
        if not self.on:
            raise Forbidden("shared memory is off here; cortex-serve --shared-memory turns it on")

    def _region(self, name: str) -> Region:
        region = self._known.get(name)
        if region is None:
            raise NotFound(
                f"shared memory region {name[:LONGEST]!r} is not registered; registered are "
                f"{listed(list(self._known))}"
            )
        return region


OFF = Regions(0, on=False)


def check_fit(outputs: Sequence[Output], spans: Mapping[str, Span]) -> None:
    """Raises ``InvalidArgument`` where an output has no room where it is wanted."""
    for output in outputs if spans else ():
        if span := spans.get(output.name):
            check_room(span, encoded(output.array, output.datatype), f"output {output.name!r}")


def check_room(span: Span, nbytes: int, what: str) -> None:
    """Raises ``InvalidArgument`` where a span has no room for so many bytes."""
    if nbytes > span.byte_size:
        raise InvalidArgument(
            f"{what}: it takes {nbytes} bytes, its {BYTE_SIZE} is {span.byte_size}"
        )


def _opened(key: str, what: str) -> int:
    found = KEY.fullmatch(key)
    if found is None:
        raise InvalidArgument(
            f"{what}: its key {key[:LONGEST]!r} is no name of shared memory; letters, digits and "
            "_ . - make one"
        )
    try:
        return os.open(FOLDER / found[1], FLAGS)
    except FileNotFoundError:
        raise NotFound(f"{what}: there is no shared memory {key!r}") from None
    except OSError as error:
        raise Forbidden(f"{what}: shared memory {key!r}: {error.strerror}") from None


def _check_file(region: Region, what: str) -> None:
    found = os.fstat(region.file)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise Forbidden(f"{what}: {region.key!r} is no shared memory but another kind of file")
    if not _ours(found):
        raise Forbidden(
            f"{what}: shared memory {region.key!r} belongs to another user, who does not let "
            "everyone write it"
        )
    if region.offset + region.byte_size > found.st_size:
        raise InvalidArgument(
            f"{what}: it ends at byte {region.offset + region.byte_size}, shared memory "
            f"{region.key!r} at byte {found.st_size}"
        )


def _ours(found: os.stat_result) -> bool:
    """Whether a client meant it for this server, which as root could open any."""
    return found.st_uid == os.geteuid() or found.st_mode & 0o006 == 0o006


def _shrunk(region: Region, what: str) -> InvalidArgument:
    return InvalidArgument(
        f"{what}: shared memory {region.key!r} has become shorter than region {region.name!r}"
    )


@dataclass(frozen=True, slots=True)
class SharedTensor:
    """One input of a request; its elements lie in shared memory until they are asked for."""

    name: str
    datatype: str
    shape: Sequence[int]
    span: Span
    regions: Regions

    @property
    def slow(self) -> bool:
        """As ``GivenTensor``."""
        return self.datatype == BYTES.name and self.span.byte_size > LONG

    def array(self, datatype: Datatype, what: str) -> Array:
        """A copy of the elements, in the tensor's shape.

        Raises:
            InvalidArgument: the span is not within a region, or has not the size they take.
        """
        return decode(self.regions.read(self.span, what), datatype, self.shape, what)
