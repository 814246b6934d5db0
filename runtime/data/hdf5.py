"""Arrays of an HDF5 file, read a batch at a time, from files that are not trusted."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableFile
from .arrays import check_rows
from .dataset import Batch
from .rows import Index, Rows

if TYPE_CHECKING:
    import h5py

Array = NDArray[Any]


class Hdf5(Rows):
    """Datasets of a file, an example a row, of which only what a batch needs is read.

    The file stays open as long as this object lives. Where there is memory for all of it,
    ``Arrays(it.take(slice(None)))`` is faster.

    Args:
        path: of the file.
        names: the paths of datasets inside, by what they are to be called; by default all
            datasets that lie at the top, by their own names.
        seed, shuffle: the order.

    Raises:
        UnreadableFile: not such a file, damaged or unsafe; or there is no such dataset.
        UsageError: they have not as many rows, or none.
    """

    def __init__(
        self,
        path: Path | str,
        names: Mapping[str, str] | None = None,
        *,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        super().__init__(seed=seed, shuffle=shuffle)
        self._path, self._lock = Path(path), threading.Lock()
        with ExitStack() as failing:
            self._file = _opened(self._path)
            failing.callback(self._file.close)
            found = names or {name: name for name in _top(self._path, self._file)}
            self._datasets = {
                new: _dataset(self._path, self._file, old) for new, old in found.items()
            }
            check_rows({name: each.shape for name, each in self._datasets.items()})
            failing.pop_all()

    def __len__(self) -> int:
        return len(next(iter(self._datasets.values())))

    def take(self, rows: Index) -> Batch:
        with self._lock:
            try:
                return {name: _rows(each, rows) for name, each in self._datasets.items()}
            except (OSError, ValueError, RuntimeError) as error:
                raise UnreadableFile(f"{self._path}: a damaged HDF5 file: {error}") from error

    def close(self) -> None:
        """Closes the file; nothing can be read any more."""
        self._file.close()


def _opened(path: Path) -> h5py.File:
    import h5py

    from ..hdf5.probe import probe
    from ..hdf5.stretch import Stretch

    stretch = Stretch.of(path)
    if not stretch.is_hdf5():
        raise UnreadableFile(f"{path}: not an HDF5 file")
    probe(stretch)
    try:
        return h5py.File(path, "r")
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        # h5py has no error of its own: a damaged file ends in whichever of these comes first.
        raise UnreadableFile(f"{path}: a damaged HDF5 file: {error}") from error


def _top(path: Path, file: h5py.File) -> list[str]:
    import h5py

    from ..hdf5.limits import check_link

    names = [str(name) for name in file]
    for name in names:
        check_link(str(path), file, name)
    found = [name for name in names if isinstance(file[name], h5py.Dataset)]
    if not found:
        raise UnreadableFile(f"{path}: no datasets at its top; say where they are")
    return found


def _dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset by its path inside the file, looked at link by link."""
    import h5py

    from ..hdf5.limits import check_link, check_numbers, check_storage

    place: Any = file
    for part in filter(None, name.split("/")):
        if not isinstance(place, h5py.Group):
            raise UnreadableFile(f"{path}: {name!r} is no dataset")
        check_link(str(path), place, part)
        place = place[part]
    if not isinstance(place, h5py.Dataset):
        raise UnreadableFile(f"{path}: {name!r} is no dataset")
    check_storage(f"{path}: {name!r}", place)
    check_numbers(f"{path}: {name!r}", place)
    return place


def _rows(dataset: Any, rows: Index) -> Array:
    """Some rows; h5py takes numbers only if they rise and none comes twice."""
    if isinstance(rows, slice):
        return dataset[rows]
    rising, back = np.unique(rows, return_inverse=True)
    return dataset[rising][back]
