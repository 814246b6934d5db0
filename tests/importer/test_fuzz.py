"""Files with some bytes changed anywhere: a network or an error of ours, and soon."""

from __future__ import annotations

import contextlib
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cortex.importer import load
from cortex.importer.reference import read_reference
from cortex.runtime.errors import CortexError

from .keras_files import small_model
from .test_archive import members, sharded, zip_file

SECONDS = 90  # for one file: some run into the limits of the process that reads first


def in_new_groups(path: Path) -> Path:
    """The small model as the newest HDF5 stores it, with checksums, and its arrays in chunks."""
    small_model(path)
    old = path.with_suffix(".old")
    path.rename(old)
    with h5py.File(old) as source, h5py.File(path, "w", libver="latest") as file:
        for name, value in source.attrs.items():
            file.attrs[name] = value

        def copy(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                copied = file.create_dataset(name, data=item[()], chunks=True, compression="gzip")
            else:
                copied = file.create_group(name, track_order=True)
            for attribute, value in item.attrs.items():
                copied.attrs[attribute] = value

        source.visititems(copy)
    old.unlink()
    return path


def reference(path: Path) -> Path:
    """A reference file of the small model."""
    with h5py.File(path, "w") as file:
        file["inputs/x"] = np.ones((2, 4), np.float32)
        file["outputs/0"] = np.ones((2, 2), np.float32)
        file["layer_outputs/hidden"] = np.ones((2, 3), np.float32)
        file["layer_stats/classes"] = np.ones(8, np.float32)
        file["layer_stats/classes"].attrs["shape"] = [2, 2]
    return path


def deflated(path: Path) -> Path:
    return zip_file(path, members(), zipfile.ZIP_DEFLATED)


def in_archive(part: str) -> tuple[Callable[[Path], Any], Callable[[Path], Any]]:
    """A member that is damaged before it goes into an archive, whose checksums then hold."""
    name, content = next((k, v) for k, v in members().items() if k.startswith(part))
    return (
        lambda path: path.write_bytes(content),
        lambda path: load(zip_file(path, {**members(), name: path.read_bytes()})),
    )


FILES: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
    "hdf5": (small_model, load),
    "new hdf5": (in_new_groups, load),
    "reference": (reference, read_reference),
    "archive": (lambda path: zip_file(path, members()), load),
    "deflated archive": (deflated, load),
    "archive of damaged weights": in_archive("model"),
    "archive of a damaged config": in_archive("config"),
    "shards": (lambda path: zip_file(path, sharded()), load),
}


def damaged(raw: bytes, random: random.Random) -> bytes:
    """The same bytes but for a few changes, as disks, networks, editors and enemies make them."""
    data = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 5, 20))):
        at, other, length = (random.randrange(n) for n in (len(data), len(data), 16))
        match random.choice("bbbbbbnnncidt"):
            case "b":
                data[at] = random.randrange(256)
            case "n":  # a number that is too large, or none at all
                data[at : at + 4] = random.choice(
                    (b"\xff\xff\xff\xff", bytes(4), b"\xff\xff\xff\x7f")
                )
            case "c":
                data[at : at + length] = data[other : other + length]
            case "i":
                data[at:at] = random.randbytes(length)
            case "d":
                del data[at : at + length]
            case _:
                del data[at + 1 :]
    return bytes(data)


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_read_or_refused(kind: str, count: int, tmp_path: Path) -> None:
    make, read = FILES[kind]
    whole = tmp_path / "whole.h5"
    make(whole)
    read(whole)
    for seed in range(count):
        path = tmp_path / f"{seed}.h5"
        path.write_bytes(damaged(whole.read_bytes(), random.Random(seed)))
        start = time.monotonic()
        with contextlib.suppress(CortexError):
            read(path)
        assert time.monotonic() - start < SECONDS, seed
        path.unlink()
