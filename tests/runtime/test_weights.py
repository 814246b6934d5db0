"""The weights file, against the library that defines the format, and against hostile headers."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cortex.runtime.errors import UnreadableFile, Unsupported
from cortex.runtime.weights import ALIGNMENT, DIGEST, DTYPES, NO_DIGEST, WeightsFile, write

from .networks import Array

ARRAYS: Mapping[str, Array] = {
    "kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "a/b:0 \"c\" ä": np.array([1.5, np.nan, np.inf]),
    "scalar": np.array(7, np.int64),
    "empty": np.zeros((0, 3), np.float32),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "strided": np.arange(10, dtype=np.float64)[::3],
    "odd": np.array([True, False, True]),
}  # fmt: skip


def same(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert np.array_equal(found[name], array, equal_nan=array.dtype.kind == "f"), name


def test_the_library_reads_what_we_write(tmp_path: Path) -> None:
    write(tmp_path / "w", ARRAYS, {"note": "ü"})
    same(load_file(tmp_path / "w"), ARRAYS)
    with safe_open(tmp_path / "w", framework="numpy") as file:
        assert file.metadata() == {"note": "ü"}


def test_the_library_reads_what_has_a_digest_of_itself(tmp_path: Path) -> None:
    write(tmp_path / "w", ARRAYS, {"note": NO_DIGEST}, digest=True)
    same(load_file(tmp_path / "w"), ARRAYS)
    file = WeightsFile.open(tmp_path / "w")
    file.verify()
    assert file.metadata["note"] == NO_DIGEST != file.metadata[DIGEST]
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes() + b"more")
    with pytest.raises(UnreadableFile, match="w: damaged: its SHA-256 is"):
        WeightsFile.open(tmp_path / "w").verify()


def test_we_read_what_the_library_writes(tmp_path: Path) -> None:
    contiguous = {name: np.array(array, order="C") for name, array in ARRAYS.items()}
    save_file(contiguous, tmp_path / "w", {"note": "ü"})
    file = WeightsFile.open(tmp_path / "w")
    assert file.metadata == {"note": "ü"}
    same(file.arrays(), ARRAYS)


@pytest.mark.parametrize("dtype", DTYPES.values())
def test_every_dtype_comes_back(dtype: str, tmp_path: Path) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(dtype)
    write(tmp_path / "w", {"a": array}, {})
    same(WeightsFile.open(tmp_path / "w").arrays(), {"a": array})
    same(load_file(tmp_path / "w"), {"a": array})


def test_arrays_of_the_other_byte_order_are_turned(tmp_path: Path) -> None:
    write(tmp_path / "w", {"a": np.array([1, 2], ">f4")}, {})
    same(load_file(tmp_path / "w"), {"a": np.array([1, 2], np.float32)})


@pytest.mark.parametrize("array", [np.array([1j]), np.array(["a"]), np.array([None])])
def test_what_the_format_cannot_hold_is_named(array: Array, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="array 'odd one': its dtype"):
        write(tmp_path / "w", {"odd one": array}, {})
    assert not (tmp_path / "w").exists()


def test_nothing_is_a_file_too(tmp_path: Path) -> None:
    write(tmp_path / "w", {}, {})
    assert WeightsFile.open(tmp_path / "w").arrays() == {}
    assert load_file(tmp_path / "w") == {}


def test_the_arrays_are_views_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "w", ARRAYS, {})
    file = WeightsFile.open(tmp_path / "w")
    raw = (tmp_path / "w").read_bytes()
    for name, array in file.arrays().items():
        at = file.stored[name]
        assert type(array) is np.ndarray
        assert not array.flags.writeable
        assert raw[at.offset : at.offset + at.size] == array.tobytes()
    assert min(at.offset for at in file.stored.values()) % ALIGNMENT == 0


class Lazy(Mapping[str, Any]):
    """Arrays that are made when they are asked for, and counted while they are held."""

    class Array:
        dtype = np.dtype(np.float32)

        def __init__(self, size: int) -> None:
            self.shape = (size,)

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
            return np.ones(self.shape, dtype or self.dtype)

    def __init__(self, count: int, size: int) -> None:
        self._count, self._size = count, size

    def __getitem__(self, name: str) -> Any:
        return Lazy.Array(self._size)

    def __iter__(self) -> Iterator[str]:
        return (f"array {i}" for i in range(self._count))

    def __len__(self) -> int:
        return self._count


class Eager(Lazy):
    """The same, but real arrays."""

    def __getitem__(self, name: str) -> Any:
        return np.ones(self._size, np.float32)


@pytest.mark.parametrize("arrays", [Lazy(12, 250_000), Eager(12, 250_000)])
def test_one_array_is_in_memory_at_a_time(arrays: Lazy, tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        write(tmp_path / "w", arrays, {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_200_000
    assert WeightsFile.open(tmp_path / "w").arrays()["array 11"].sum() == 250_000


def test_reading_takes_no_memory(tmp_path: Path) -> None:
    write(tmp_path / "w", Eager(3, 1_000_000), {})
    tracemalloc.start()
    try:
        arrays = WeightsFile.open(tmp_path / "w").arrays()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(arrays) == 3
    assert peak < 100_000


def as_file(path: Path, header: bytes, data: bytes = b"", length: int | None = None) -> Path:
    path.write_bytes(
        (len(header) if length is None else length).to_bytes(8, "little") + header + data
    )
    return path


def entry(**changed: Any) -> bytes:
    good = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return json.dumps({"a": {**good, **changed}}).encode()


DATA = bytes(8)
HOSTILE: Mapping[str, tuple[bytes, int | None]] = {
    "length past the end": (entry(), 1 << 20),
    "length of a bomb": (entry(), 1 << 62),
    "length of nothing": (entry(), 0),
    "no JSON": (b"{nothing", None),
    "no object": (b"[1, 2]", None),
    "a number": (b"12", None),
    "no text": (b"\xff\xfe\x00\x00", None),
    "deep": (b"[" * 200_000, None),
    "entry of a wrong type": (b'{"a": 3}', None),
    "nothing of an array": (b'{"a": {}}', None),
    "unknown dtype": (entry(dtype="F8_E4M3"), None),
    "dtype of a wrong type": (entry(dtype=[]), None),
    "shape of a wrong type": (entry(shape="2"), None),
    "fractional shape": (entry(shape=[2.0]), None),
    "true shape": (entry(shape=[True, 2]), None),
    "negative shape": (entry(shape=[-1, -2]), None),
    "shape that does not fit": (entry(shape=[3]), None),
    "shape of a bomb": (entry(shape=[1 << 40]), None),
    "shape of no elements and too many": (entry(shape=[0, 1 << 62], data_offsets=[0, 0]), None),
    "shape that overflows": (entry(shape=[0, *[1 << 30] * 5], data_offsets=[0, 0]), None),
    "too many axes": (entry(shape=[1] * 70 + [2]), None),
    "offsets past the end": (entry(data_offsets=[8, 16]), None),
    "offsets backwards": (entry(data_offsets=[8, 0]), None),
    "offsets before the start": (entry(data_offsets=[-8, 0]), None),
    "fractional offsets": (entry(data_offsets=[0.0, 8.0]), None),
    "one offset": (entry(data_offsets=[0]), None),
    "metadata of a wrong type": (b'{"__metadata__": 3}', None),
    "metadata that is no text": (b'{"__metadata__": {"a": 3}}', None),
    "a number too long for Python": (entry().replace(b"[2]", b"[" + b"9" * 5000 + b"]"), None),
}


@pytest.mark.parametrize(("header", "length"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_header_is_an_unreadable_file(
    header: bytes, length: int | None, tmp_path: Path
) -> None:
    file = as_file(tmp_path / "w", header, DATA, length)
    with pytest.raises(UnreadableFile) as raised:
        WeightsFile.open(file)
    assert str(raised.value).startswith(f"{file}: ")


@pytest.mark.parametrize("content", [b"", b"1234567", bytes(8), b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_another_file_is_an_unreadable_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(UnreadableFile, match="not a safetensors file"):
        WeightsFile.open(tmp_path / "w")


def test_no_file_is_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="none: no such file"):
        WeightsFile.open(tmp_path / "none")
    with pytest.raises(UnreadableFile, match="not a regular file"):
        WeightsFile.open(tmp_path)


def test_a_truncated_file_is_an_unreadable_file(tmp_path: Path) -> None:
    write(tmp_path / "w", ARRAYS, {})
    raw = (tmp_path / "w").read_bytes()
    for length in (*range(0, 200, 7), len(raw) - 1):
        (tmp_path / "cut").write_bytes(raw[:length])
        with pytest.raises(UnreadableFile):
            WeightsFile.open(tmp_path / "cut")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*DTYPES, "BF16"]) | json_values,
        "shape": st.lists(st.integers(-2, 9), max_size=4) | json_values,
        "data_offsets": st.lists(st.integers(-2, 80), min_size=2, max_size=2) | json_values,
    }
)


@given(st.dictionaries(st.text(max_size=4), entries | json_values, max_size=3))
def test_any_header_is_a_file_or_an_unreadable_file(
    tmp_path_factory: pytest.TempPathFactory, header: Any
) -> None:
    file = as_file(tmp_path_factory.getbasetemp() / "any", json.dumps(header).encode(), bytes(64))
    try:
        found = WeightsFile.open(file)
    except UnreadableFile:
        return
    for name, array in found.arrays().items():
        assert array.shape == found.stored[name].shape


@given(st.binary(max_size=200))
def test_any_bytes_are_a_file_or_an_unreadable_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "bytes"
    file.write_bytes(content)
    with contextlib.suppress(UnreadableFile):
        WeightsFile.open(file).arrays()
