"""Files of known length, gzipped or not, read without trusting what they say of themselves."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableFile
from ..files import regular

LARGEST = 16 << 30  # bytes
DEFLATION = 1032  # times: deflate shrinks nothing further
HEADERS = 1024  # bytes that a nearly empty file may hold beside what is packed in it
GZIP = b"\x1f\x8b"


class Packed:
    """A file read from its beginning; ``path`` is what messages call it."""

    def __init__(self, path: Path, file: IO[bytes], most: int) -> None:
        self.path, self._file, self._most = path, file, most

    def some(self, count: int) -> bytes:
        """The next few bytes.

        Raises:
            UnreadableFile: the file ends before.
        """
        found = self._file.read(count)
        if len(found) < count:
            raise UnreadableFile(f"{self.path}: it is cut short")
        return found

    def rest(self, count: int) -> NDArray[np.uint8]:
        """As many bytes, which must be all that is left.

        Raises:
            UnreadableFile: there are fewer or more; told before memory is taken for them.
        """
        if count > self._most:
            raise UnreadableFile(
                f"{self.path}: it declares {count:,} bytes, and can hold {self._most:,} at most"
            )
        found: Any = np.empty(count, np.uint8)
        file: Any = self._file
        view, done = memoryview(found), 0
        while done < count:
            read = file.readinto(view[done:])
            if not read:
                raise UnreadableFile(f"{self.path}: it is cut short: {done:,} of {count:,} bytes")
            done += read
        if self._file.read(1):
            raise UnreadableFile(f"{self.path}: it has more than the {count:,} bytes it declares")
        return found


@contextmanager
def opened(path: Path) -> Generator[Packed]:
    """Opens a file, unpacking it if its first bytes are gzip's.

    Raises:
        UnreadableFile: there is none, it cannot be read, or what is packed in it is damaged.
    """
    try:
        with regular(path).open("rb") as file:
            size = path.stat().st_size
            if file.read(2) == GZIP:
                file.seek(0)
                with gzip.GzipFile(fileobj=file) as unpacked:
                    most = min(LARGEST, HEADERS + size * DEFLATION)
                    yield Packed(path, unpacked, most)  # type: ignore[arg-type]
            else:
                file.seek(0)
                yield Packed(path, file, min(LARGEST, size))
    except (OSError, EOFError, zlib.error) as error:
        what = "it is cut short" if isinstance(error, EOFError) else str(error)
        raise UnreadableFile(f"{path}: {what}") from None
