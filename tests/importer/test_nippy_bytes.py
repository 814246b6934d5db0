"""Nippy's container and types: every one that is read, and everything that must be refused."""

from __future__ import annotations

import contextlib
import lzma
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.importer import load
from cortex.importer.nippy.container import ENCRYPTED, unpack
from cortex.importer.nippy.thaw import DEEPEST, MOST_VALUES, thaw
from cortex.runtime.errors import CortexError, UnreadableFile, Unsupported

from .nippy_files import HEADER, described, elements, freeze, java, packed, small

DOUBLES = np.array([1.5, -2.0])


def counted(kind: int, code: str, count: int, rest: bytes = b"") -> bytes:
    """A type that says how much there is."""
    return struct.pack(f">b{code}", kind, count) + rest


def typed(kind: int, code: str, value: Any) -> bytes:
    return struct.pack(f">b{code}", kind, value)


def matrix(*rows: bytes) -> bytes:
    """A double[][] whose first row describes the class of all."""
    return HEADER + b"\x75" + described("[[D") + struct.pack(">i", len(rows)) + b"".join(rows)


ROW = b"\x75" + described("[D") + elements(DOUBLES)
AGAIN = b"\x75\x71\x00\x7e\x00\x02" + elements(DOUBLES * 2)
SAME = b"\x71\x00\x7e\x00\x03"

VALUES: dict[str, tuple[bytes, Any]] = {
    "nil": (b"\x03", None),
    "true": (b"\x08", True),
    "false": (b"\x09", False),
    "old true": (b"\x04\x01", True),
    "character": (b"\x0a\x00\x41", "A"),
    "byte": (typed(40, "b", -3), -3),
    "short": (typed(41, "h", -300), -300),
    "int": (typed(42, "i", 70_000), 70_000),
    "long": (typed(43, "q", -(1 << 40)), -(1 << 40)),
    "zero": (b"\x00", 0),
    "small long": (typed(100, "b", 28), 28),
    "middle long": (typed(101, "h", 300), 300),
    "large long": (typed(102, "i", -70_000), -70_000),
    "long of Nippy 3": (typed(87, "b", -128), 0),
    "middle long of Nippy 3": (typed(88, "h", 0), 1 << 15),
    "negative long of Nippy 3": (typed(93, "b", -100), -28),
    "float": (typed(60, "f", 0.5), 0.5),
    "double": (typed(61, "d", 1e-4), 1e-4),
    "zero double": (b"\x37", 0.0),
    "bigint": (counted(44, "i", 2, b"\x01\x00"), 256),
    "biginteger": (counted(45, "i", 1, b"\xff"), -1),
    "decimal": (counted(62, "i", 1, b"\x09") + struct.pack(">i", 1), 0.9),
    "ratio": (counted(70, "i", 1, b"\x01") + struct.pack(">ib", 1, 4), 0.25),
    "date": (typed(90, "q", 1_500_000_000_000), 1_500_000_000_000),
    "uuid": (b"\x5b" + bytes(range(16)), bytes(range(16)).hex()),
    "empty string": (b"\x22", ""),
    "string": (counted(105, "b", 2, b"ab"), "ab"),
    "middle string": (counted(16, "h", 2, "é".encode()), "é"),
    "long string": (counted(13, "i", 1, b"a"), "a"),
    "string of Nippy 3": (counted(96, "b", -126, b"ab"), "ab"),
    "keyword": (counted(106, "b", 4, b"relu"), "relu"),
    "middle keyword": (counted(85, "h", 4, b"relu"), "relu"),
    "long keyword": (counted(14, "i", 4, b"relu"), "relu"),
    "keyword of Nippy 2": (counted(77, "i", 4, b"relu"), "relu"),
    "symbol": (counted(56, "b", 1, b"x"), "x"),
    "empty vector": (b"\x11", []),
    "pair": (b"\x71\x08\x09", [True, False]),
    "triple": (b"\x72\x00\x00\x00", [0, 0, 0]),
    "vector": (counted(110, "b", 1, b"\x03"), [None]),
    "vector of Nippy 3": (counted(97, "b", -127, b"\x03"), [None]),
    "middle vector": (counted(69, "h", 1, b"\x03"), [None]),
    "long vector": (counted(21, "i", 1, b"\x03"), [None]),
    "set": (counted(111, "b", 2, b"\x08\x09"), [True, False]),
    "empty set": (b"\x12", []),
    "sorted set": (counted(28, "i", 1, b"\x08"), [True]),
    "list": (counted(36, "b", 1, b"\x00"), [0]),
    "empty list": (b"\x23", []),
    "empty seq": (b"\x25", []),
    "seq": (counted(38, "b", 1, b"\x00"), [0]),
    "middle seq": (counted(39, "h", 1, b"\x00"), [0]),
    "queue": (counted(26, "i", 1, b"\x00"), [0]),
    "empty map": (b"\x13", {}),
    "map": (counted(112, "b", 1, freeze("a") + b"\x00"), {"a": 0}),
    "middle map": (counted(33, "h", 1, freeze("a") + b"\x00"), {"a": 0}),
    "long map": (counted(30, "i", 1, freeze("a") + b"\x00"), {"a": 0}),
    "map of Nippy 2.10": (counted(27, "i", 2, freeze("a") + b"\x00"), {"a": 0}),
    "map with maps for keys": (
        counted(112, "b", 1, counted(112, "b", 1, freeze("id") + b"\x71\x00\x08") + b"\x03"),
        {frozenset({("id", (0, True))}): None},
    ),
    "meta": (b"\x19" + b"\x13" + b"\x08", True),
    "record": (counted(48, "b", 3, b"a.B") + b"\x13", {}),
    "cached": (b"\x71" + b"\x3b" + freeze("a") + b"\x3b", ["a", "a"]),
    "cached by number": (b"\x71" + b"\x43\x09" + freeze("a") + b"\x43\x09", ["a", "a"]),
    "bytes": (counted(7, "b", 2, b"\x01\xff"), np.array([1, -1])),
    "no bytes": (b"\x35", np.array([])),
    "doubles": (counted(46, "b", 2, b"[D") + java(DOUBLES), DOUBLES),
    "floats": (counted(50, "h", 2, b"[F") + java(DOUBLES, "[F", ">f4"), DOUBLES),
    "ints": (counted(6, "i", 2, b"[I") + java(np.array([7]), "[I", ">i4"), np.array([7])),
    "doubles of Nippy 3": (
        counted(75, "b", 2, b"[D") + counted(15, "h", len(java(DOUBLES)), java(DOUBLES)),
        DOUBLES,
    ),
    "rows": (
        counted(46, "b", 3, b"[[D") + matrix(ROW, AGAIN, SAME),
        [DOUBLES, DOUBLES * 2, DOUBLES],
    ),
    "long array": (counted(108, "i", 1, b"\x00"), [0]),
}


@pytest.mark.parametrize("case", VALUES)
def test_each_type_is_read(case: str) -> None:
    data, expected = VALUES[case]
    np.testing.assert_equal(thaw(memoryview(data)), expected)
    for end in range(len(data)):
        with pytest.raises(UnreadableFile, match="damaged"):
            thaw(memoryview(data[:end]))


@pytest.mark.parametrize("method", [0, 1, 8, 11])
def test_each_compression_is_unpacked(method: int, tmp_path: Path) -> None:
    data = freeze({"a": np.arange(1000.0)})
    (path := tmp_path / "a.nippy").write_bytes(packed(data, method))
    assert bytes(unpack(path)) == data
    assert method == 0 or path.stat().st_size < len(data)


def object_of(name: bytes, stream: bytes = b"\x73") -> bytes:
    """A Java object as Nippy 2 and 3 have it."""
    return packed(counted(46, "b", len(name), name) + HEADER + stream)


BOMB = b"\x71" * 100_000
ZEROS = bytes(1 << 20)

REFUSED: dict[str, tuple[bytes, str]] = {
    "no container": (b"NPX\x00\x03", "no format that is known"),
    "a container alone": (b"NPY", "cut short"),
    "nothing in it": (b"NPY\x00", "cut short"),
    "another compression": (b"NPY\x05abc", "in a way of its own"),
    "Zstandard": (b"NPY\x14abc", "Zstandard"),
    "an unknown compression": (b"NPY\x63abc", "kind of compression, 99"),
    "no LZ4": (b"NPY\x08\x00\x00\x00\x10abc", "cannot be unpacked"),
    "LZ4 of another size": (
        b"NPY\x08\x00\x00\x00\x20" + packed(bytes(16), 8)[8:],
        "unpacks to 32 bytes, and does not",
    ),
    "LZ4 of less": (b"NPY\x08\x00\x00\x00\x08" + packed(bytes(16), 8)[8:], "cannot be unpacked"),
    "a lie about LZ4's size": (b"NPY\x08\x7f\xff\xff\xffabc", "3 bytes unpack to 2,147,483,647"),
    "a negative size": (b"NPY\x08\xff\xff\xff\xffabc", "unpack to -1"),
    "no Snappy": (b"NPY\x01\x05abc", "cannot be unpacked"),
    "a lie about Snappy's size": (b"NPY\x01\xff\xff\xff\xff\x0fabc", "unpack to 4,294,967,295"),
    "no XZ": (b"NPY\x0b\x00\x00\x00\x10" + bytes(range(40)), "cannot be unpacked"),
    "XZ of more": (
        b"NPY\x0b\x00\x00\x00\x10" + lzma.compress(ZEROS * 64),
        "unpacks to 16 bytes, and does not",
    ),
    "a lie about XZ's size": (
        b"NPY\x0b\x7f\xff\xff\xff" + lzma.compress(ZEROS),
        "unpack to 2,147,483,647",
    ),
    "bytes after the value": (packed(b"\x13\x13"), "1 bytes follow"),
    "vectors in vectors": (packed(BOMB), f"more than {DEEPEST} deep"),
    "maps in maps": (packed((b"\x70\x01" + freeze("a")) * 5000), f"more than {DEEPEST} deep"),
    "meta in meta": (packed(b"\x19" * 5000), f"more than {DEEPEST} deep"),
    "a vector of 2 billion": (packed(counted(21, "i", (1 << 31) - 1)), "2147483647 elements"),
    "a vector of less than none": (packed(counted(21, "i", -1)), "-1 elements"),
    "a string of 2 billion": (packed(counted(13, "i", (1 << 31) - 1)), "2147483647 elements"),
    "an array of 2 billion": (
        packed(counted(46, "b", 2, b"[D") + java(DOUBLES)[:-20] + b"\x7f\xff\xff\xff"),
        "17179869176 bytes are announced",
    ),
    "rows of 2 billion": (
        packed(counted(46, "b", 3, b"[[D") + matrix()[:-4] + b"\x7f\xff\xff\xff"),
        "2147483647 rows",
    ),
    "a huge integer": (packed(counted(44, "i", 100, bytes(100))), "an integer of 100 bytes"),
    "a ratio by zero": (
        packed(counted(70, "i", 1, b"\x01") + struct.pack(">ib", 1, 0)),
        "divided by zero",
    ),
    "no text": (packed(counted(105, "b", 2, b"\xff\xfe")), "not text"),
    "a key twice": (packed(counted(112, "b", 2, (freeze("a") + b"\x00") * 2)), "key 'a' twice"),
    "an array for a key": (packed(counted(112, "b", 1, b"\x35\x00")), "array is the key"),
    "cached collections": (packed(b"\x71" + b"\x3b\x11" + b"\x3b"), "cached collection"),
    "a type of one's own": (packed(b"\x80\x00"), r"program's own \(-128\)"),
    "a prefixed type of one's own": (packed(b"\x52\x00\x01"), r"program's own \(82\)"),
    "a deftype": (packed(b"\x51" + freeze("a.B")), "type 81 is not known"),
    "Clojure's code": (packed(counted(47, "b", 2, b"#=")), "text of Clojure"),
    "an object of Java": (object_of(b"java.util.HashMap"), "java.util.HashMap.*unsafe"),
    "an object of Java in quarantine": (
        packed(counted(75, "b", 3, b"a.B") + counted(7, "b", 2, b"ab")),
        r"a\.B.*unsafe",
    ),
    "an object called an array": (object_of(b"[D"), "something else"),
    "an array of objects": (
        object_of(b"[D", b"\x75" + described("[Ljava.lang.Object;")),
        "java.lang.Object.*unsafe",
    ),
    "an array of arrays of arrays": (object_of(b"[[[D"), r"\[\[\[D.*unsafe"),
    "rows of rows": (
        packed(
            counted(46, "b", 3, b"[[D") + matrix(b"\x75\x71\x00\x7e\x00\x00" + struct.pack(">i", 0))
        ),
        "array of arrays of arrays",
    ),
    "a class with fields": (
        object_of(b"[D", b"\x75" + described("[D")[:-3] + b"\x01\x78\x70" + bytes(4)),
        "is no array",
    ),
    "a reference to nothing": (object_of(b"[D", b"\x75\x71\x00\x7e\x00\x05"), "not there"),
    "a row that is its own array": (
        packed(counted(46, "b", 3, b"[[D") + matrix(b"\x71\x00\x7e\x00\x01")),
        "not there",
    ),
    "a class for a row": (
        packed(counted(46, "b", 3, b"[[D") + matrix(b"\x71\x00\x7e\x00\x00")),
        "class for a row",
    ),
    "no stream": (object_of(b"[D")[:-3] + b"abc", "does not begin"),
    "a vectorz object": (object_of(b"mikera.vectorz.Vector"), "model-upgrader"),
    "a vectorz record": (
        packed(counted(48, "b", 14, b"mikera.vectorz") + b"\x13"),
        "model-upgrader",
    ),
} | {f"encryption {method}": (bytes([*b"NPY", method, 0]), "encrypted") for method in ENCRYPTED}


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_file_is_refused_soon_and_by_name(case: str, tmp_path: Path) -> None:
    content, message = REFUSED[case]
    (path := tmp_path / "a.nippy").write_bytes(content)
    load_warm(tmp_path)
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises((UnreadableFile, Unsupported), match=message) as caught:
        load(path)
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert seconds < 1
    assert peak < 16 << 20


def test_too_many_values_are_refused(tmp_path: Path) -> None:
    """A byte each, and an object each if they were read."""
    values = counted(21, "i", 40 * MOST_VALUES, b"\x11" * 40 * MOST_VALUES)
    (path := tmp_path / "a.nippy").write_bytes(packed(values, 8))
    start = time.perf_counter()
    with pytest.raises(UnreadableFile, match="more than 250,000 values"):
        load(path)
    assert time.perf_counter() - start < 3  # 0.3 s where the machine does nothing else


def load_warm(folder: Path) -> None:
    """Modules are loaded by the first file, which is not what is measured."""
    load(small(folder / "warm.nippy"))


def read(data: bytes, path: Path) -> None:
    """A network, or an error of ours."""
    path.write_bytes(data)
    with contextlib.suppress(CortexError):
        load(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nippy")


@settings(max_examples=300, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=5))
def test_bytes_changed_anywhere_are_no_surprise(
    changes: list[tuple[int, int]], folder: Path
) -> None:
    data = bytearray(small(folder / "small.nippy").read_bytes())
    for place, byte in changes:
        data[4 + place % (len(data) - 4)] = byte
    read(bytes(data), folder / "changed.nippy")


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), method=st.sampled_from([0, 1, 8, 11]))
def test_random_bytes_are_no_surprise(data: bytes, method: int, folder: Path) -> None:
    read(b"NPY" + bytes([method]) + data, folder / "random.nippy")
    read(packed(data, method), folder / "random.nippy")
