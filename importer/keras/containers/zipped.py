"""Members of a zip archive of a stranger, none of which ever becomes a file by its own name."""

from __future__ import annotations

import os
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ....runtime.errors import UnreadableFile
from ....runtime.hdf5.limits import shown
from ....runtime.hdf5.stretch import Stretch

MOST_MEMBERS = 10_000
LARGEST_MEMBER = 64 << 30  # bytes
DEFLATION = 1100  # deflate shrinks nothing further than 1032 times
SMALL = 4096  # bytes
PIECE = 1 << 20  # bytes
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags: a member, strongly, the directory itself
LOCAL_HEADER = struct.Struct("<4s5H3I2H")


class Zip:
    """An open archive whose members have been checked."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self._path, self._file = path, file
        self._members = {member.filename: member for member in file.infolist()}
        self._starts = {name: self._start(member) for name, member in self._members.items()}
        self._check_places()

    @property
    def names(self) -> list[str]:
        """The names of all members that are files."""
        return [name for name, member in self._members.items() if not member.is_dir()]

    def read(self, name: str, largest: int) -> bytes:
        """All of a member.

        Raises:
            UnreadableFile: there is none, it is too large, or damaged.
        """
        member = self._member(name)
        if member.file_size > largest:
            raise UnreadableFile(f"{self._path}:{name}: {member.file_size:,} bytes is too large")
        return self._file.read(member)

    def stretch(self, name: str) -> Stretch:
        """The bytes of a member: in the archive if they are stored as they are, else unpacked.

        What is unpacked goes to a file without a name, which is gone when nobody reads it. Either
        way the member's checksum has been compared.
        """
        member, where = self._member(name), f"{self._path}:{name}"
        if member.compress_type == zipfile.ZIP_STORED:
            with self._file.open(member) as content:
                while content.read(PIECE):
                    pass
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            return Stretch(where, file, self._starts[name], member.file_size)
        with tempfile.TemporaryFile() as unpacked, self._file.open(member) as content:
            while piece := content.read(PIECE):
                unpacked.write(piece)
            unpacked.flush()
            return Stretch(where, os.dup(unpacked.fileno()))

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self._members:
            raise UnreadableFile(f"{self._path}: it has no {name}")
        return self._members[name]

    def _start(self, member: zipfile.ZipInfo) -> int:
        """Where a member's data begin, which only its own header says."""
        raw: bytes = self._header(member)
        try:
            signature, _, flags, method, *_, name, extra = LOCAL_HEADER.unpack(raw)
        except struct.error:
            raise zipfile.BadZipFile("a header is cut short") from None
        if signature != b"PK\x03\x04" or flags & ENCRYPTED or method != member.compress_type:
            raise zipfile.BadZipFile(f"{member.filename!r} differs from its own header")
        return member.header_offset + LOCAL_HEADER.size + name + extra

    def _header(self, member: zipfile.ZipInfo) -> bytes:
        assert self._file.fp is not None
        self._file.fp.seek(member.header_offset)
        return self._file.fp.read(LOCAL_HEADER.size)

    def _check_places(self) -> None:
        """The first member begins where the file does, and none of them reaches into another."""
        end = 0
        for name, member in sorted(self._members.items(), key=lambda item: item[1].header_offset):
            if member.header_offset < end or (not end and member.header_offset):
                raise zipfile.BadZipFile(f"{name!r} is not where it may be")
            end = self._starts[name] + member.compress_size
        if end > self._file.start_dir:
            raise zipfile.BadZipFile("its members reach into its directory")


@contextmanager
def open_zip(path: Path) -> Generator[Zip]:
    """Opens an archive.

    Raises:
        UnreadableFile: damaged, or with a member that is refused as unsafe.
    """
    try:
        with zipfile.ZipFile(path) as file:
            _check_members(path, file)
            yield Zip(path, file)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError) as error:
        raise UnreadableFile(f"{path}: a truncated or damaged zip archive: {error}") from None
    except (OSError, NotImplementedError, RuntimeError, ValueError, struct.error) as error:
        # The disk, or what zipfile says of versions, flags and fields it does not know.
        raise UnreadableFile(f"{path}: a zip archive that cannot be read: {error}") from None


def _check_members(path: Path, file: zipfile.ZipFile) -> None:
    members = file.infolist()
    if len(members) > MOST_MEMBERS:
        raise UnreadableFile(f"{path}: {len(members):,} members are too many")
    if len({member.filename for member in members}) < len(members):
        raise UnreadableFile(f"{path}: two members have the same name, refused as unsafe")
    for member in members:
        if why := _problem(member):
            name = shown(member.orig_filename)
            raise UnreadableFile(f"{path}:{name}: {why}, refused as unsafe")


def _problem(member: zipfile.ZipInfo) -> str | None:
    """Why a member is not read."""
    parts = member.orig_filename.removesuffix("/").split("/")
    kind = stat.S_IFMT(member.external_attr >> 16)
    most = (member.compress_size + SMALL) * DEFLATION
    is_stored = member.compress_type == zipfile.ZIP_STORED
    if {"", ".", ".."} & set(parts) or set(member.orig_filename) & set("\\:\0"):
        return "its name leads out of the archive"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it is a link or a device"
    if member.flag_bits & ENCRYPTED:
        return "it is encrypted"
    if member.compress_type not in METHODS:
        return f"it is compressed by method {member.compress_type}; only deflate is read"
    if member.file_size > min(most, LARGEST_MEMBER):
        return f"it declares {member.file_size:,} bytes, but {member.compress_size:,} are stored"
    if is_stored and member.file_size != member.compress_size:
        return "it is stored as it is, but of two sizes"
    return None
