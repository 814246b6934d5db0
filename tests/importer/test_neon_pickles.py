"""Pickles are programs: what is taken of them, and everything that is refused, unrun."""

from __future__ import annotations

import collections
import pickle
import struct
import time
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex.importer import load
from cortex.importer.neon import opcodes
from cortex.importer.neon.pickled import read_pickle
from cortex.runtime.errors import CortexError, UnreadableFile

from .neon_files import layer, model, python2, transform

HEAD = b"\x80\x02"
RNG = np.random.default_rng(3)
VALUE: dict[str, Any] = {
    "matrix": RNG.normal(size=(3, 4)).astype(np.float32),
    "columns": np.asfortranarray(RNG.normal(size=(40, 30))),
    "large": RNG.normal(size=(400, 2)).astype(np.float32),
    "half": RNG.normal(size=5).astype(np.float16),
    "swapped": np.arange(5, dtype=">i4"),
    "flags": np.array([True, False]),
    "nothing": np.zeros((0, 3), np.uint8),
    "single": np.float32(2.5),
    "texts": ["a", "é", "x" * 600],
    "bytes": b"\x00\xff",
    "tuple": (1, 2, (3,), -70000, 1 << 40),
    "other": [None, True, False, 2.5, {}, [], ()],
    "ordered": collections.OrderedDict(a=1, b=[2]),
}


def same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, np.ndarray):
        array = np.asarray(found)
        return array.dtype == wanted.dtype and np.array_equal(array, wanted)
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[k], wanted[k]) for k in wanted)
    return found == wanted


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_reads_what_python_3_writes(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "x.prm"
    path.write_bytes(pickle.dumps({**VALUE, "set": {1, 2}}, protocol))
    found = read_pickle(path)
    assert found.pop("set") == [1, 2]
    assert same(found, VALUE)


def test_reads_what_python_2_wrote(tmp_path: Path) -> None:
    path = tmp_path / "x.prm"
    value = {name: VALUE[name] for name in ("matrix", "large", "flags", "nothing", "other")}
    value["texts"] = ["abc", "x" * 300]
    path.write_bytes(python2(value))
    assert same(read_pickle(path), value)


def test_arrays_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.prm"
    path.write_bytes(python2({"a": np.arange(10_000.0)}))
    found = read_pickle(path)["a"]
    assert found.shape == (10_000,)
    data = bytearray(path.read_bytes())
    place = data.index(struct.pack("<d", 77.0))
    data[place : place + 8] = struct.pack("<d", -1.0)
    path.write_bytes(data)
    assert np.asarray(found)[77] == -1


def test_memory_stays_flat_however_large_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.prm"
    fc = layer("Linear", "fc", nout=2000, params={"W": np.zeros((2000, 2000), np.float32)})
    path.write_bytes(python2(model([fc, fc], 2000)))
    read_pickle(path)  # what is imported by then does not count
    tracemalloc.start()
    try:
        found = read_pickle(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 30_000_000
    assert peak < 1_000_000
    assert found["train_input_shape"] == 2000


class Evil:
    """What calls a function when a pickle is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def dumped(function: Any, *arguments: Any, protocol: int = 2) -> bytes:
    return pickle.dumps({"model": Evil(function, *arguments)}, protocol)


def array_of(shape: bytes, dtype: bytes, data: bytes) -> bytes:
    """A pickle of one array, by the opcodes of its shape, its dtype's state and its bytes."""
    begin = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01"
    return HEAD + begin + shape + dtype + b"\x89" + data + b"tb."


def dtype(name: bytes, state: bytes = b"U\x01<NNN") -> bytes:
    made = b"cnumpy\ndtype\n(U" + bytes([len(name)]) + name + b"K\x00K\x01tR"
    return made + b"(K\x03" + state + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"


def doubled(opcode: bytes, levels: int) -> bytes:
    """Each level holds the one below twice."""
    made = b"]q\x00"
    for level in range(levels):
        both = b"h" + bytes([level])
        made += b"(" + both * 2 + opcode + b"q" + bytes([level + 1])
    return HEAD + made + b"."


def text(count: int) -> bytes:
    return b"X" + struct.pack("<I", count) + b"x" * count


FOUR = b"U\x10" + bytes(16)
HOSTILE: Mapping[str, tuple[bytes | Callable[[], bytes], str]] = {
    "os.system": (dumped(__import__("os").system, "touch pwned"), r"posix\.system"),
    "os.system, protocol 4": (
        dumped(__import__("os").system, "true", protocol=4),
        r"posix\.system",
    ),
    "eval": (dumped(eval, "1"), "eval"),
    "exec": (dumped(exec, "1", protocol=4), "exec"),
    "getattr": (dumped(getattr, 1, "real"), "getattr"),
    "import": (dumped(__import__, "os"), "__import__"),
    "subprocess": (HEAD + b"csubprocess\nPopen\n(U\x04truetR.", r"subprocess\.Popen"),
    "numpy.load": (dumped(np.load, "x"), r"numpy"),
    "runstring": (HEAD + b"cnumpy.testing\nrunstring\n(U\x011}tR.", r"numpy\.testing"),
    "INST": (HEAD + b"(U\x04trueios\nsystem\n.", "INST"),
    "OBJ": (HEAD + b"(cnumpy\nndarray\nU\x04trueo.", "OBJ"),
    "NEWOBJ": (HEAD + b"cnumpy\nndarray\n)\x81.", "NEWOBJ"),
    "an array's class called": (HEAD + b"cnumpy\nndarray\n)R.", "numpy ndarray"),
    "EXT1": (HEAD + b"\x82\x01.", "EXT1"),
    "persistent id": (HEAD + b"K\x01Q.", "BINPERSID"),
    "a name of dots": (b"\x80\x04\x8c\x08builtins\x8c\x0beval.__call\x93.", "eval"),
    "a call of a number": (HEAD + b"K\x01)R.", "cannot be called"),
    "a state for a list": (HEAD + b"](K\x01tb.", "no array"),
    "objects in an array": (
        array_of(b"K\x01\x85", dtype(b"O8", b"U\x01|NNN"), b"](Nea"),
        "objects",
    ),
    "fields": (array_of(b"K\x01\x85", dtype(b"V8"), FOUR), "none of numbers"),
    "fields in the state": (
        array_of(b"K\x01\x85", dtype(b"f8", b"U\x01<N(U\x01atN"), FOUR),
        "several fields",
    ),
    "a shape that lies": (array_of(b"J\xff\xff\xff\x7f\x85", dtype(b"f8"), FOUR), "has 16 bytes"),
    "a negative shape": (
        array_of(b"J\xfe\xff\xff\xffJ\xff\xff\xff\xff\x86", dtype(b"f8"), FOUR),
        "no shape",
    ),
    "a shape of lists": (array_of(doubled(b"t", 60)[2:-1], dtype(b"f8"), FOUR), "no shape"),
    "a shape of many axes": (array_of(b"(" + b"K\x01" * 60 + b"t", dtype(b"u1"), b"U\x01x"), ""),
    "BINBYTES8 of exabytes": (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0f.", "ends too early"),
    "BINUNICODE of gigabytes": (HEAD + b"X\xff\xff\xff\xff.", "ends too early"),
    "BINSTRING below zero": (HEAD + b"T\xff\xff\xff\xff.", "ends too early"),
    "FRAME of exabytes": (b"\x80\x04\x95" + b"\xff" * 8 + b"\x8c\x01a\x94.", "no network of neon"),
    "a whole number of megabytes": (HEAD + b"\x8b" + struct.pack("<i", 1 << 20), "whole number"),
    "a doubling list": (doubled(b"l", 60), "more than"),
    "a doubling tuple": (doubled(b"t", 60), "more than"),
    "a doubling dict": (
        HEAD + b"}q\x00" + b"".join(
            b"}(K\x00h" + bytes([i]) + b"K\x01h" + bytes([i]) + b"uq" + bytes([i + 1])
            for i in range(60)
        ) + b".",
        "more than",
    ),
    "a key of doubling tuples": (
        HEAD + b"}" + doubled(b"t", 60)[2:-1] + b"Ns.",
        "a key is a",
    ),
    "an ordered dict of such a key": (
        doubled(b"t", 60)[:-1] + b"ccollections\nOrderedDict\n](h\x3cN\x86e\x85R.",
        "a key is a",
    ),
    "nested": (HEAD + b"]" * 5000 + b"a" * 4999 + b".", "deep"),
    "nested tuples": (HEAD + b")" + b"\x85" * 5000 + b".", "deep"),
    "within itself": (HEAD + b"]q\x00h\x00a.", "deep"),
    "a dict within itself": (HEAD + b"}q\x00K\x01h\x00s.", "deep"),
    "a chain of lists": (
        lambda: HEAD + b"]q\x00(" + b"".join(
            b"]q\x01h\x02aq\x02" if i else b"]q\x02" for i in range(5000)
        ) + b"e.",
        "deep",
    ),
    "opcodes without end": (lambda: HEAD + b"N0" * 400_000, "opcodes"),
    "a text again and again": (
        lambda: HEAD + text(1 << 20) + b"q\x00" + b"c_codecs\nencode\nh\x00U\x06latin1\x86R0" * 50,
        "again and again",
    ),
    "a list again and again": (
        lambda: HEAD + b"](" + b"N" * 50_000 + b"eq\x00" + b"c__builtin__\nlist\nh\x00\x85R0" * 50,
        "again and again",
    ),
    "one array's bytes again and again": (
        lambda: HEAD + b"T" + struct.pack("<i", 1 << 20) + bytes(1 << 20) + b"q\x00" + b"".join(
            [array_of(b"J\x00\x00\x10\x00\x85", dtype(b"u1", b"U\x01|NNN"), b"h\x00")[2:-1] + b"0"]
            * 20
        ),
        "again and again",
    ),
    "another encoding": (HEAD + b"c_codecs\nencode\nU\x01aU\x03zip\x86R.", "encoding"),
    "a stack that is empty": (HEAD + b"0.", "damaged"),
    "a mark that is missing": (HEAD + b"e.", "damaged"),
    "a memo that is missing": (HEAD + b"h\x05.", "damaged"),
    "a name without end": (HEAD + b"c" + b"x" * 5000, "no end"),
    "an opcode that is none": (HEAD + b"\xfe.", "no opcode"),
    "no end": (python2({"model": 1})[:-1], "ends too early"),
    "a list": (python2([1, 2]), "no network of neon"),
    "another dict": (python2({"weights": 1, "biases": 2}), "it has 'weights', 'biases'"),
    "a model that is a number": (python2({"model": 1}), "no container"),
    "a layer of another package": (
        python2(model([layer("Linear", "a") | {"type": "os.system"}], 3)),
        "not of neon",
    ),
    "a layer that is a number": (python2(model([3], 3)), "not a name"),
    "a config that is a list": (
        python2(model([{"type": "neon.layers.layer.Linear", "config": [1]}], 3)),
        "its config is no mapping",
    ),
    "params that are a text": (python2(model([layer("Linear", "a", params="x")], 3)), "no arrays"),
    "a parameter that is a text": (
        python2(model([layer("Linear", "a", params={"W": "x"})], 3)),
        "'W' is no array",
    ),
    "an input of no shape": (python2(model([layer("SkipNode", "a")], "abc")), "shape"),
    "an input below zero": (python2(model([layer("SkipNode", "a")], (-1, 2)), ), "shape"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made, why = HOSTILE[name]
    path = tmp_path / "evil.prm"
    path.write_bytes(made if isinstance(made, bytes) else made())
    start = time.monotonic()
    with pytest.raises(CortexError, match=rf"evil\.prm.*{why}") as caught:
        load(path)
    assert time.monotonic() - start < 1
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)
    assert [at.name for at in tmp_path.iterdir()] == ["evil.prm"]


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole, path = python2(model([DENSE], 3)), tmp_path / "x.prm"
    for end in range(3, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(UnreadableFile):
            load(path)


def test_a_file_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.prm"
    path.write_bytes(b"")
    with pytest.raises(UnreadableFile, match="empty"):
        next(opcodes.opcodes(path))


DENSE = layer(
    "Linear", "fc", nout=2, init=transform("Gaussian"), params={"W": RNG.normal(size=(2, 3))}
)
VALID = python2(model([DENSE, layer("Activation", "a", transform=transform("Tanh"))], 3))


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(st.tuples(st.integers(2, len(VALID) - 1), st.integers(0, 255)), max_size=6))
def test_a_damaged_file_is_read_or_refused(changes: list[tuple[int, int]], tmp_path: Path) -> None:
    data, path = bytearray(VALID), tmp_path / "x.prm"
    for place, byte in changes:
        data[place] = byte
    path.write_bytes(data)
    try:
        load(path)
    except CortexError as error:
        assert str(path) in str(error)  # noqa: PT017  another error fails the test
