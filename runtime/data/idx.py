"""IDX, the format of MNIST: http://yann.lecun.com/exdb/mnist/ .

Two bytes of 0, one for the type, one for the number of axes, their sizes as big-endian uint32, and
the numbers, big-endian.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableFile
from .packed import opened

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_AXES = 8


def read_idx(path: Path) -> NDArray[Any]:
    """The array of a file, gzipped or not, in the machine's byte order.

    Raises:
        UnreadableFile: not IDX, cut short, or longer than it says.
    """
    with opened(path) as file:
        zeros, kind, axes = file.some(2), *file.some(2)
        if zeros != b"\0\0" or kind not in TYPES or not 1 <= axes <= MOST_AXES:
            raise UnreadableFile(f"{path}: not an IDX file")
        shape = tuple(int(size) for size in np.frombuffer(file.some(4 * axes), ">u4"))
        dtype = np.dtype(TYPES[kind])
        raw = file.rest(math.prod(shape) * dtype.itemsize)
    return raw.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
