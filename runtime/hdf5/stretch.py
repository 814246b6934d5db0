"""The bytes of an HDF5 file, wherever they are: a file of their own, or a member of an archive."""

from __future__ import annotations

import os
import time
import weakref
from pathlib import Path

from ..errors import UnreadableFile
from ..files import regular

SIGNATURE = b"\x89HDF\r\n\x1a\n"
CLOCK_TICK = 10_000_000  # nanoseconds; how coarse the times of files are at most


class Stretch:
    """A part of an open file, which stays open as long as this object lives.

    ``name`` is what messages call it. ``file`` is a descriptor that belongs to this object.
    """

    def __init__(self, name: str, file: int, offset: int = 0, length: int | None = None) -> None:
        self.name, self.file, self.offset = name, file, offset
        self.length = os.fstat(file).st_size if length is None else length
        weakref.finalize(self, os.close, file)

    @classmethod
    def of(cls, path: Path) -> Stretch:
        """A whole file.

        Raises:
            UnreadableFile: there is none.
        """
        try:
            return cls(str(path), os.open(regular(path), os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise UnreadableFile(f"{path}: {error.strerror}") from None

    def identity(self) -> tuple[int, ...]:
        """What changes when the bytes do, by all that the system tells."""
        facts = os.fstat(self.file)
        stamp = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        return (*stamp, self.offset, self.length)

    def is_settled(self) -> bool:
        """Whether the last change is so old that another one would have another time."""
        return time.time_ns() - os.fstat(self.file).st_ctime_ns > CLOCK_TICK

    def is_hdf5(self) -> bool:
        """Whether it has the signature at 0, or where HDF5 also looks: 512, 1024, 2048 and on."""
        at = 0
        while at < self.length:
            if os.pread(self.file, len(SIGNATURE), self.offset + at) == SIGNATURE:
                return True
            at = max(512, 2 * at)
        return False

    def source(self) -> str | Window:
        """What ``h5py.File`` opens: the library's own way, which is faster, for a file by itself.

        That way does not lead to a file without a name.
        """
        is_file = not self.offset and os.fstat(self.file).st_nlink
        return f"/dev/fd/{self.file}" if is_file else Window(self)


class Window:
    """A stretch as a file object, with a position of its own."""

    def __init__(self, stretch: Stretch) -> None:
        self._stretch, self._position = stretch, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves the position; h5py finds out the length by going to the end."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._stretch.length}
        self._position = origin[whence] + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        """Fills the buffer.

        Raises:
            OSError: the stretch ends before.
        """
        wanted = memoryview(buffer)
        if self._position + len(wanted) > self._stretch.length:
            raise OSError("the file ends too early")
        while len(wanted):
            at = self._stretch.offset + self._position
            count = os.preadv(self._stretch.file, [wanted], at)
            if not count:
                raise OSError("the file ends too early")
            self._position += count
            wanted = wanted[count:]
        return len(buffer)

    def read(self, size: int) -> bytes:
        """As many bytes, which h5py asks for only where it cannot use ``readinto``."""
        buffer = bytearray(size)
        self.readinto(memoryview(buffer))
        return bytes(buffer)
