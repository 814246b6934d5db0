"""Text of strangers, files of other kinds, and a library that crashes: each ends in one line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import h5py
import pytest

from cortex.importer import load
from cortex.importer.keras.containers.hdf5 import open_file
from cortex.importer.keras.containers.text import parse_architecture
from cortex.importer.sniff import Kind, refusal, sniff
from cortex.runtime.errors import UnreadableFile
from cortex.runtime.hdf5.probe import probe

from .keras_files import small_model

MODEL = '{"class_name": "Sequential", "config": []}'
ESCAPED = MODEL.replace('"', '\\"')

ACCEPTED: dict[str, str] = {
    "json": MODEL,
    "with a mark of order": "\ufeff" + MODEL,
    "twice encoded": f'"{ESCAPED}"',
    "wrapped": f'{{"keras_model": {MODEL}, "features": ["class_name"]}}',
    "wrapped text": f'{{"keras_model": "{ESCAPED}", "note": "{{x"}}',
    "yaml": "class_name: Sequential\nconfig: []\n",
    "yaml in flow": "{class_name: Sequential, config: []}".replace("{", "--- {"),
    "yaml of Python 2": "!!python/unicode 'class_name': Sequential\nconfig: []\n",
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_an_architecture_is_found(case: str) -> None:
    assert parse_architecture(ACCEPTED[case], "m") == {"class_name": "Sequential", "config": []}


def test_yaml_has_the_values_json_would_have() -> None:
    text = """
        class_name: Model
        config:
          shape: !!python/tuple [null, 3, !!python/long 4]
          rate: 0.5
          date: 2016-01-01
          first: &it {a: true}
          second: *it
        """
    assert parse_architecture(text, "m")["config"] == {
        "shape": [None, 3, 4],
        "rate": 0.5,
        "date": "2016-01-01",
        "first": {"a": True},
        "second": {"a": True},
    }


NUMPY = """
class_name: Sequential
config:
  input_dim: !!python/object/apply:numpy.core.multiarray.scalar
  - &i8 !!python/object/apply:numpy.dtype
    args: [i8, 0, 1]
    state: !!python/tuple [3, <, null, null, null, -1, -1, 0]
  - !!binary HgAAAAAAAAA=
  alpha: !!python/object/apply:numpy.core.multiarray._reconstruct
    args: [!!python/name:numpy.ndarray '', !!python/tuple [0], !!binary Yg==]
    state: !!python/tuple
    - 1
    - !!python/tuple [2]
    - !!python/object/apply:numpy.dtype
      args: [f4, 0, 1]
      state: !!python/tuple [3, <, null, null, null, -1, -1, 0]
    - false
    - !!binary AAAAPwAAgL8=
"""


def test_numbers_of_numpy_in_yaml_are_plain() -> None:
    """As PyYAML writes what Keras 1 leaves in an architecture."""
    config = parse_architecture(NUMPY, "m")["config"]
    assert config == {"input_dim": 30, "alpha": [0.5, -1.0]}


NO_NUMBERS = {
    "of another dtype": ("i8, 0", "O8, 0", "an array of dtype '<O8'"),
    "that are too few": ("tuple [2]", "tuple [3]", "cannot reshape"),
    "stored in reverse": ("- false", "- true", "axes are stored in reverse"),
    "that are none": ("HgAAAAAAAAA=", "Hg==", "buffer size must be a multiple"),
    "of no bytes": ("HgAAAAAAAAA=", "x", "it is no YAML"),
    "of nothing": ("state:", "start:", "it is no YAML"),
}


@pytest.mark.parametrize("case", NO_NUMBERS)
def test_numbers_of_numpy_that_make_no_sense(case: str) -> None:
    before, after, message = NO_NUMBERS[case]
    with pytest.raises(UnreadableFile, match=message):
        parse_architecture(NUMPY.replace(before, after), "m")


LAUGHS = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)

REFUSED: dict[str, tuple[str, str]] = {
    "nothing": ("", "it is no architecture of Keras, .*: found no object"),
    "no json": ("{", "it is no JSON: "),
    "no object": ("[1, 2]", "it is no architecture of Keras, .*: found a list"),
    "text": ("hello", "it is no architecture of Keras, .*: found text"),
    "deep json": ("[" * 100_000, "more than 200 levels deep"),
    "deep json that ends": ("[" * 201 + "]" * 201, "more than 200 levels deep"),
    "a string without end": ('"' + '\\"' * 1_000_000, "it is no JSON: Unterminated"),
    "many values": ("[" + "[]," * 10_000_000, "it is no JSON of reasonable size"),
    "a long number": ('{"a": ' + "9" * 5000 + "}", "it is no JSON: Exceeds the limit"),
    "a key twice": ('{"a": 1, "a": 2}', "the key 'a' is there twice"),
    "half a character": (r'{"a": ["\ud800"]}', "holds half a character"),
    "two models": (f'{{"a": {MODEL}, "b": {MODEL}}}', "more than one model: 'a', 'b'"),
    "wrapped too often": ('{"a":' * 9 + MODEL + "}" * 9, "found one with 'a'"),
    "no yaml": ("a: [\n b", "it is no YAML: expected .* in line 2"),
    "long yaml": ("a: b\n" * 500_000, "it is no YAML of reasonable size"),
    "deep yaml": ("a: " + "[" * 5000, "more than 100 levels deep"),
    "laughs": (LAUGHS, "more than 200,000 values, its aliases written out"),
    "an alias in itself": ("a: &a [*a]", "the alias 'a' names nothing complete"),
    "a key twice in yaml": ("a: 1\na: 2", "a key twice"),
    "a key that is a number": ("1: 2", "or one that is no string"),
    "a key that is a list": ("? [1]\n: 2", "unhashable key"),
    "a merge": ("a: {<<: {b: 1}}", "could not determine a constructor"),
    "a program": (
        "a: !!python/object/apply:os.system ['touch marker']",
        "the tag 'python/object/apply:os.system' makes an object, which is refused",
    ),
    "a program by name": ("a: !!python/name:os.system", "python/name:os.system' makes an object"),
    "a tag of one's own": ("a: !x b", "the tag '!x' makes an object"),
    "a tag with a prefix": (
        "%TAG !p! tag:yaml.org,2002:python/\n---\na: !p!module:os",
        "module:os",
    ),
    "a set": ("a: !!set {x}", "the tag 'set' makes an object"),
    "no bool": ("a: !!bool maybe", "it is no YAML"),
    "an empty number": ("a: !!int ''", "it is no YAML"),
    "control characters": ("a: \x01", "special characters are not allowed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_text_is_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, message = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreadableFile, match=message) as caught:
        parse_architecture(text, "model.json")
    assert str(caught.value).startswith("model.json: ")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


KINDS: dict[Kind, list[bytes]] = {
    "hdf5": [bytes(before) + b"\x89HDF\r\n\x1a\n" for before in (0, 512, 4096)],
    "zip": [b"PK\x03\x04\x14\x00"],
    "json": [b'  {"class_name"', b'"{\\"class_name\\"', b"\xef\xbb\xbf[1]"],
    "yaml": [b"backend: theano\nclass_name: Sequential\n"],
    "neon": [b"# neon\nlayers:\n- {}\n", b"!obj:experiments.FitExperiment {\n"],
    "nippy": [b"NPY\x08\x00\x00\x00\x01"],
    "numpy": [b"\x93NUMPY\x01\x00v\x00{'descr'"],
    "caffemodel": [b"\n\x05LeNet\xa2\x06\x10\n\x04data"],
    "prototxt": [b'name: "LeNet"\nlayer {\n  name: "data"\n', b"layers{"],
    "pickle": [b"\x80\x02}q\x00(U\x05modelq\x01", b"\x80\x04\x95\x00"],
    "pytorch": [b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."],
    "safetensors": [b'\x40\x00\x00\x00\x00\x00\x00\x00{"__metadata__"'],
    "onnx": [b"\x08\x07\x12\x07pytorch\x1a\x031.9:", b"\x08\x03\x12\x02tf\x1a", b"\x08\x04:\xaa"],
    "tensorflow": [b"\x08\x01\x12\xf0\x05\n\x00", b"\n\x1f\n\x05input\x12\x0bPlaceholder"],
    "tflite": [b"\x1c\x00\x00\x00TFL3\x14\x00"],
    "checkpoint": [b'model_checkpoint_path: "model.ckpt-5"\n'],
    "gzip": [b"\x1f\x8b\x08\x08"],
    "lfs": [b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2\nsize 12\n"],
    "html": [b"<!DOCTYPE html>\n<html>", b"\n<html><head>", b"<?xml version='1.0'?><Error>"],
    "link": [b"../../shared/weights.h5"],
    "text": [b"hello, world", "é".encode() * 40_000],
    "empty": [b""],
    "unknown": [b"\xff\xfe\x00", bytes(100)],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_known_by_its_content(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    for content in KINDS[kind]:
        path.write_bytes(content)
        assert sniff(path) == kind


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"hdf5", "zip"}))
def test_what_is_no_model_is_refused_by_what_it_is(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(KINDS[kind][0])
    with pytest.raises(UnreadableFile, match=r"model\.h5: ") as caught:
        load(path)
    if kind not in ("json", "yaml", "nippy", "neon", "caffemodel", "onnx", "pickle"):
        assert refusal(kind) in str(caught.value)


FOLDERS: dict[str, Kind] = {
    "config.json": "directory",
    "saved_model.pb": "savedmodel",
    "x": "folder",
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_known_by_what_is_in_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    assert sniff(tmp_path) == FOLDERS[name]


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.h5")
    with pytest.raises(UnreadableFile, match="not a regular file"):
        load(tmp_path / "model.h5")


# What a damaged file can do to the process that reads it, and what is said of it.
DISASTERS = {
    "os.kill(os.getpid(), signal.SIGSEGV)": "ends in signal 11",
    "os.abort()": "ends in signal 6",
    "[None for _ in iter(int, 1)]": "takes more than 1 s",
    "time.sleep(60)": "takes more than 1 s",
    "bytearray(8 << 30)": "more than 4,294,967,296 bytes of memory",
    "print(file['/none'])": "object 'none' doesn't exist",
    "print(1 / 0)": "division by zero",
}
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from cortex.runtime.hdf5 import probe
from cortex.runtime.hdf5.stretch import Stretch
probe.SECONDS, probe.PATIENCE = 1, 2
probe.examine = {examine}
print(probe._answer(Stretch.of(Path(sys.argv[1]))).decode())
"""


def read_first(path: Path, examine: str = "probe.examine") -> str:
    """What is said of a file if this is what reading it does, with a second for it."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM.format(examine=examine), str(path)],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("what", DISASTERS)
def test_the_process_that_reads_first_may_end_badly(what: str, tmp_path: Path) -> None:
    path = small_model(tmp_path / "model.h5")
    said = read_first(path, f"lambda file, length: {what}")
    assert said.startswith(": a truncated or damaged HDF5 file: ")
    assert DISASTERS[what] in said


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    """A text whose size, with its header, is nought: HDF5 2.0 looks for the next one for ever."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "x"
    raw = path.read_bytes()
    size = raw.index(b"GCOL") + 24
    path.write_bytes(raw[:size] + (2**64 - 16).to_bytes(8, "little") + raw[size + 8 :])
    assert "reading it takes more than 1 s" in read_first(path)


def test_a_process_that_is_gone_is_started_again(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        with open_file(small_model(tmp_path / name)) as file:
            assert "model_weights" in file
        process: Any = probe._process  # pyright: ignore[reportPrivateUsage]
        process._process.kill()
        process._process.wait()


def test_a_file_is_examined_once_until_it_changes(tmp_path: Path) -> None:
    path = small_model(tmp_path / "a.h5")
    time.sleep(0.05)
    passed: Any = probe._passed  # pyright: ignore[reportPrivateUsage]
    before = len(passed)
    for _ in range(3):
        with open_file(path):
            assert len(passed) == before + 1
    with h5py.File(path, "r+") as file:
        file["link"] = h5py.SoftLink("/x")
    with pytest.raises(UnreadableFile, match="SoftLink"), open_file(path):
        pass


def test_an_archive_in_disguise_is_read_as_what_it_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.h5", "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02.")
    with pytest.raises(UnreadableFile, match="a model of PyTorch"):
        load(tmp_path / "model.h5")
