"""Files of data: what is read from them, and what is said of those that are not whole."""

from __future__ import annotations

import gzip
import io
import logging
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cortex.runtime import data
from cortex.runtime.errors import CortexError, UnreadableFile, UsageError

Array = NDArray[Any]
RNG = np.random.default_rng(0)
KINDS = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}
DIGITS = RNG.integers(0, 256, (20, 28, 28), np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10


def idx(array: Array, dtype: str = "u1") -> bytes:
    """An array as IDX."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, KINDS[dtype], array.ndim, *array.shape)
    return head + array.astype(dtype).tobytes()


def whole(dataset: data.Rows) -> data.Batch:
    """All examples in their own order."""
    return dataset.take(slice(None))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", KINDS)
def test_idx(tmp_path: Path, dtype: str, packed: bool) -> None:
    array = RNG.integers(0, 100, (3, 4, 2))
    raw = idx(array, dtype)
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    found = data.read_idx(path)
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, array)


GOOD = idx(DIGITS[:2])
PACKED = gzip.compress(GOOD)
HUGE = struct.pack(">BBBB3I", 0, 0, 8, 3, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
BAD_IDX = {
    "empty": (b"", "cut short"),
    "no IDX": (b"hello, world", "not an IDX file"),
    "no such type": (b"\0\0\x0a\1" + b"\0\0\0\1a", "not an IDX file"),
    "no axes": (b"\0\0\x08\0", "not an IDX file"),
    "half a header": (GOOD[:9], "cut short"),
    "cut short": (GOOD[:-1], "declares 1,568 bytes, and can hold|cut short"),
    "too long": (GOOD + b"!", "more than the 1,568 bytes"),
    "of more than there is": (HUGE + b"x" * 50, "declares 79,228,"),
    "packed, of more than there is": (gzip.compress(HUGE), "declares 79,228,"),
    "packed, cut short": (PACKED[: len(PACKED) // 2], "cut short|declares"),
    "packed, damaged": (PACKED[:300] + b"\0" * 50 + PACKED[350:], "rror|CRC|declares|more than"),
    "packed, too long": (gzip.compress(GOOD + b"!"), "more than the 1,568 bytes"),
}


@pytest.mark.parametrize(("raw", "message"), BAD_IDX.values(), ids=BAD_IDX)
def test_damaged_idx(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "x.idx"
    path.write_bytes(raw)
    with pytest.raises(UnreadableFile, match=f"x.idx: .*({message})"):
        data.read_idx(path)


def mnist(folder: Path, stem: str = "t10k", dots: str = "-", packed: bool = True) -> Path:
    """A pair of MNIST's files."""
    folder.mkdir(exist_ok=True)
    for name, array in ((f"images{dots}idx3", DIGITS), (f"labels{dots}idx1", LABELS)):
        raw = idx(array)
        path = folder / f"{stem}-{name}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(raw) if packed else raw)
    return folder


@pytest.mark.parametrize("dots", ["-", "."])
@pytest.mark.parametrize("packed", [False, True])
def test_mnist_from_four_files(tmp_path: Path, dots: str, packed: bool) -> None:
    for stem in ("train", "t10k"):
        mnist(tmp_path, stem, dots, packed)
    for part in ("train", "test"):
        found = whole(data.load_mnist(part, tmp_path))
        assert found["input"].dtype == found["target"].dtype == np.float32
        np.testing.assert_allclose(found["input"][..., 0], DIGITS / 255 - 0.5, atol=1e-6)
        np.testing.assert_array_equal(found["target"].argmax(axis=1), LABELS)


@pytest.mark.parametrize(("split", "first"), [(None, 17), (5, 5)])
def test_mnist_from_one_pair(tmp_path: Path, split: int | None, first: int) -> None:
    mnist(tmp_path)
    train, test = (data.load_mnist(part, tmp_path, split=split) for part in ("train", "test"))
    assert (len(train), len(test)) == (first, 20 - first)
    parts = [whole(each)["input"] for each in (train, test)]
    np.testing.assert_allclose(np.concatenate(parts)[..., 0], DIGITS / 255 - 0.5, atol=1e-6)


def test_where_mnist_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist(tmp_path / "mnist")
    monkeypatch.setenv("CORTEX_DATA", str(tmp_path))
    assert len(data.load_mnist("train")) == 17


def test_small_digits_stand_in_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CORTEX_DATA", str(tmp_path))
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train, test = (data.load_mnist(p, digits=True) for p in ("train", "test"))
    assert "scikit-learn's digits stand in" in caplog.text
    assert (len(train), len(test)) == (1527, 270)
    with pytest.raises(UnreadableFile, match="no MNIST files"):  # who names a folder means it
        data.load_mnist("train", tmp_path, digits=True)
    images = whole(train)["input"]
    assert images.shape == (1527, 28, 28, 1)
    assert (images.min(), images.max()) == (-0.5, 0.5)


def test_the_real_digits() -> None:
    folder = os.environ.get("CORTEX_DATA")
    if not folder:
        pytest.skip("CORTEX_DATA is not set: no real files to test with")
    found = whole(data.load_mnist("train", Path(folder) / "mnist"))
    assert found["input"].shape == (8500, 28, 28, 1)
    assert found["target"].argmax(axis=1)[:5].tolist() == [7, 2, 1, 0, 4]


def labelled(folder: Path, labels: Array) -> None:
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(labels))


def lists(folder: Path) -> None:
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(idx(LABELS))


BAD_MNIST: dict[str, tuple[Callable[[Path], Any], dict[str, Any], str]] = {
    "no files": (lambda folder: folder.rename(folder.parent / "moved"), {}, "no MNIST files"),
    "labels too few": (lambda folder: labelled(folder, LABELS[:3]), {}, "3 labels for 20 images"),
    "labels too large": (lambda folder: labelled(folder, LABELS + 5), {}, "label 14 is no digit"),
    "images that are lists": (lists, {}, r"uint8 of shape \(20,\) is not MNIST's"),
    "no such part": (lambda folder: None, {"part": "tests"}, "not 'tests'"),
    "nothing left": (lambda folder: None, {"split": 20}, "20 digits do not split at 20"),
}


@pytest.mark.parametrize(("spoil", "options", "message"), BAD_MNIST.values(), ids=BAD_MNIST)
def test_damaged_mnist(
    tmp_path: Path, spoil: Callable[[Path], Any], options: dict[str, Any], message: str
) -> None:
    folder = mnist(tmp_path / "digits")
    spoil(folder)
    asked: Any = {"part": "train", "folder": folder, **options}
    with pytest.raises((UnreadableFile, UsageError), match=message):
        data.load_mnist(**asked)


PHOTOS = RNG.integers(0, 256, (4, 32, 32, 3), np.uint8)


def cifar(classes: int, largest: int | None = None) -> bytes:
    """Four records; the fine label comes last."""
    labels = [0, 1, 2, classes - 1 if largest is None else largest]
    planes = PHOTOS.transpose(0, 3, 1, 2).reshape(4, -1)
    coarse = b"" if classes == 10 else b"\7"
    return b"".join(
        coarse + bytes([label]) + row.tobytes() for label, row in zip(labels, planes, strict=True)
    )


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("part", ["train", "test"])
def test_cifar(tmp_path: Path, classes: Any, part: Any) -> None:
    names = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch", "train", "test"]
    for name in names:
        (tmp_path / f"{name}.bin").write_bytes(cifar(classes))
    found = whole(data.load_cifar(part, tmp_path, classes=classes))
    count = 20 if (part, classes) == ("train", 10) else 4
    assert found["input"].shape == (count, 32, 32, 3)
    np.testing.assert_allclose(found["input"][:4], PHOTOS / 255 - 0.5, atol=1e-6)
    assert found["target"].argmax(axis=1)[:4].tolist() == [0, 1, 2, classes - 1]


@pytest.mark.parametrize(
    ("name", "classes"), [("batches.meta.txt", 10), ("fine_label_names.txt", 100)]
)
def test_the_classes_of_cifar_have_the_names_beside_them(
    tmp_path: Path, name: str, classes: Any
) -> None:
    for file in ("test.bin", "test_batch.bin"):
        (tmp_path / file).write_bytes(cifar(classes))
    assert data.load_cifar("test", tmp_path, classes=classes).classes == ()
    names = [f"class {n}" for n in range(classes)]
    (tmp_path / name).write_text("\n".join([*names, ""]) + "\n")
    assert data.load_cifar("test", tmp_path, classes=classes).classes == tuple(names)
    (tmp_path / name).write_text("one\n")
    with pytest.raises(UnreadableFile, match=f"{name}: 1 names for {classes} classes"):
        data.load_cifar("test", tmp_path, classes=classes)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "no such file"),
        (b"", "0 bytes are no CIFAR-10"),
        (cifar(10)[:-1], "12,291 bytes are no CIFAR-10 of 3073 each"),
        (cifar(10, largest=10), "label 10 is not from 0 to 9"),
    ],
)
def test_damaged_cifar(tmp_path: Path, raw: bytes | None, message: str) -> None:
    if raw is not None:
        (tmp_path / "test_batch.bin").write_bytes(raw)
    with pytest.raises(UnreadableFile, match=f"test_batch.bin: {message}"):
        data.load_cifar("test", tmp_path)


ARRAYS: dict[str, Array] = {
    "input": RNG.normal(size=(6, 3, 2)).astype(">f8"),
    "target": np.asfortranarray(RNG.integers(0, 5, (6, 4))),
    "flag": np.arange(6) > 2,
}


def saved(folder: Path, save: Any = np.savez) -> Path:
    """The arrays in a file."""
    save(folder / "x.npz", **ARRAYS)
    return folder / "x.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("names", [None, {"x": "target", "y": "target"}])
def test_npz(tmp_path: Path, save: Any, names: dict[str, str] | None) -> None:
    found = whole(data.read_npz(saved(tmp_path, save), names))
    wanted = ARRAYS if names is None else {new: ARRAYS[old] for new, old in names.items()}
    assert sorted(found) == sorted(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype.isnative


def npz(*members: tuple[str, bytes]) -> bytes:
    """An archive of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, raw in members:
            archive.writestr(name, raw)
    return file.getvalue()


def npy(array: Any, pickled: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=pickled)
    return file.getvalue()


ONES = npy(np.ones((4, 2)))
BAD_NPZ = {
    "empty": (b"", "a damaged .npz"),
    "no archive": (ONES, "a damaged .npz"),
    "no arrays": (npz(), "has no arrays"),
    "cut short": (npz(("x.npy", ONES))[:-30], "a damaged .npz"),
    "pickle": (npz(("x.npy", pickle.dumps([1]))), "'x' is no array"),
    "objects": (npz(("x.npy", npy(np.array([{}]), True))), "'x' holds object, not numbers"),
    "text": (npz(("x.npy", npy(np.array(["a"])))), "'x' holds <U1, not numbers"),
    "too few numbers": (npz(("x.npy", ONES[:-8])), "'x' declares 64 bytes, and 56 follow"),
    "too many": (npz(("x.npy", ONES + b"!")), "'x' declares 64 bytes, and 65 follow"),
    "more than there are": (
        npz(("x.npy", ONES.replace(b"(4, 2), }      ", b"(99999999, 2), }"[:15]))),
        "'x' (declares|is no array)",
    ),
    "a bomb": (npz(*((f"{n}.npy", bytes(1 << 20)) for n in range(3))), "array|unsafe|follow"),
    "two of a name": (npz(("x.npy", ONES), ("x.npy", ONES)), "two arrays of one name"),
    "unequal": (npz(("x.npy", ONES), ("y.npy", npy(np.ones(3)))), "not as many rows"),
    "one number": (npz(("x.npy", npy(np.float32(3)))), "one number"),
}


@pytest.mark.parametrize(("raw", "message"), BAD_NPZ.values(), ids=BAD_NPZ)
def test_damaged_npz(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "x.npz").write_bytes(raw)
    with pytest.raises((UnreadableFile, UsageError), match=message):
        data.read_npz(tmp_path / "x.npz")


def test_an_array_that_is_missing(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(UnreadableFile, match="no array 'z'; it has flag, input, target"):
        data.read_npz(tmp_path / "x.npz", {"input": "z"})


def hdf5(path: Path, **options: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in ARRAYS.items():
            if array.dtype != bool:
                file.create_dataset(name, data=array, **options)
                file.create_dataset(f"inside/{name}", data=array)
    return path


@pytest.mark.parametrize("options", [{}, {"chunks": True, "compression": "gzip"}])
def test_hdf5(tmp_path: Path, options: dict[str, Any]) -> None:
    path = hdf5(tmp_path / "x.h5", **options)
    for names in (None, {"input": "inside/input", "target": "/target"}):
        found = data.Hdf5(path, names, seed=3)
        memory = data.Arrays({name: ARRAYS[name] for name in ("input", "target")}, seed=3)
        for dataset in (found, data.Balanced(found, 9), data.split(found, 4)[0]):
            assert len(dataset) in (4, 6, 9)
        for epoch in (None, 2):
            pairs = zip(found.batches(4, epoch), memory.batches(4, epoch), strict=True)
            for ours, theirs in pairs:
                for name in ("input", "target"):
                    np.testing.assert_array_equal(ours[name], theirs[name])
        twice = found.take(np.array([3, 1, 3]))
        np.testing.assert_array_equal(twice["input"], ARRAYS["input"][[3, 1, 3]])
        found.close()
        with pytest.raises(UnreadableFile, match="damaged"):
            found.take(slice(None))


def linked(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["input"] = h5py.ExternalLink("/etc/passwd", "/")


def outside(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("input", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def large(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("input", (1 << 30,), "u1", chunks=(1 << 20,))


def with_text(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["input"] = ["a", "b"]


BAD_HDF5: dict[str, tuple[Callable[[Path], Any], dict[str, str] | None, str]] = {
    "no file": (lambda path: None, None, "no such file"),
    "no HDF5": (lambda path: path.write_bytes(b"hello"), None, "not an HDF5 file"),
    "cut short": (lambda path: os.truncate(hdf5(path), 3000), None, "truncated or damaged"),
    "a link": (linked, None, "ExternalLink, which is refused"),
    "data outside": (outside, None, "outside the file"),
    "more than there is": (large, None, "declares 1,073,741,824 bytes"),
    "text": (with_text, None, "not numbers"),
    "nothing at the top": (lambda path: h5py.File(path, "w").close(), None, "no datasets"),
    "no such dataset": (hdf5, {"input": "inside/none"}, "'none' is missing"),
    "a group": (hdf5, {"input": "inside"}, "'inside' is no dataset"),
    "inside a dataset": (hdf5, {"input": "input/none"}, "'input/none' is no dataset"),
}


@pytest.mark.parametrize(("make", "names", "message"), BAD_HDF5.values(), ids=BAD_HDF5)
def test_damaged_hdf5(
    tmp_path: Path, make: Callable[[Path], Any], names: Any, message: str
) -> None:
    make(tmp_path / "x.h5")
    with pytest.raises(UnreadableFile, match=f"x.h5.*{message}"):
        data.Hdf5(tmp_path / "x.h5", names)


CSV = 'age,job,pay,left\n31,"nurse, night",1.5e3,yes\n20,cook,900,no\n44,cook,,yes\n'


def table(folder: Path, text: str | bytes = CSV, **options: Any) -> data.Table:
    path = folder / "x.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return data.read_table(path, **options)


def test_a_table(tmp_path: Path) -> None:
    found = table(tmp_path, target="left", one_hot=("job", "left"), missing=0.0)
    assert found.inputs == ("age", "job_cook", "job_nurse, night", "pay")
    assert found.targets == ("left_no", "left_yes")
    assert data.classes_of(found.data) == ("no", "yes")
    batch = whole(found.data)
    assert batch["input"].dtype == batch["target"].dtype == np.float32
    assert batch["input"].tolist() == [[31, 0, 1, 1500], [20, 1, 0, 900], [44, 1, 0, 0]]
    assert batch["target"].tolist() == [[0, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("text", "options", "inputs", "targets"),
    [
        ("1;2\n3;4\n", {"delimiter": ";", "header": False}, [[1, 2], [3, 4]], None),
        ("1,2\n\n3,4", {"header": False, "target": "1"}, [[1], [3]], [[2], [4]]),
        ("\ufeffa, b\r\n 1, 2 \r\n", {"target": ["b", "a"], "drop": []}, None, None),
        ("a,b,c\n1,2,x\n", {"drop": ("c",), "target": ("b",)}, [[1]], [[2]]),
    ],
)
def test_other_tables(
    tmp_path: Path, text: str, options: dict[str, Any], inputs: Any, targets: Any
) -> None:
    if inputs is None:
        with pytest.raises(UsageError, match="no column is left"):
            table(tmp_path, text, **options)
        return
    batch = whole(table(tmp_path, text, **options).data)
    assert batch["input"].tolist() == inputs
    assert targets is None or batch["target"].tolist() == targets


BAD_CSV = {
    "empty": ("", {}, "it is empty"),
    "a header alone": ("a,b\n", {}, "it has no rows"),
    "ragged": ("a,b\n1,2\n3\n", {}, "row 3 has 1 values, not 2"),
    "text": ("a,b\n1,2\n3,x\n", {}, "row 3, column 'b': 'x' is no number"),
    "without a header": ("1,2\n3,x\n", {"header": False}, "row 2, column '1': 'x'"),
    "a hole": ("a,b\n1,\n", {}, "row 2, column 'b': a number is missing"),
    "not a number": ("a\nnan\n", {}, "'nan' is no number"),
    "too large": ("a\n1e99\n", {}, "'1e99' is no number"),
    "two of a name": ("a,a\n1,2\n", {}, "two columns have one name"),
    "no such column": ("a\n1\n", {"target": "b"}, "no column 'b'; it has a"),
    "bytes": (b"a\n\xff\n", {}, "not text in UTF-8"),
    "an open quote": ('a\n"1\n', {}, "not a table"),
    "a long field": ("a\n" + "1" * 200_000 + "\n", {}, "not a table: field larger"),
    "a long delimiter": ("a\n", {"delimiter": "::"}, "not one character"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "options", "message"), BAD_CSV.values(), ids=BAD_CSV)
def test_damaged_tables(
    tmp_path: Path, text: str | bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((UnreadableFile, UsageError), match=message):
        table(tmp_path, text, **options)


def test_text_and_the_same_moved_on_by_one() -> None:
    text = data.Text("abcabcabca", 3, shuffle=False)
    batch = whole(text)
    assert batch["input"].dtype == batch["target"].dtype == np.int32
    assert batch["input"].tolist() == [[0, 1, 2]] * 3
    assert batch["target"].tolist() == [[1, 2, 0]] * 3
    assert text.alphabet.decode(batch["target"][0]) == "bca"
    one_hot = whole(data.Text("abcabcabca", 3, inputs="one_hot", targets="one_hot"))
    np.testing.assert_array_equal(one_hot["input"].argmax(axis=-1), batch["input"])
    assert one_hot["target"].shape == (3, 3, 3)


def test_rows_of_stateful_text_go_on_in_the_next_batch() -> None:
    letters = "".join(map(chr, range(0x3B1, 0x3B1 + 23)))
    text = data.Text(letters, 2, stateful=True)
    for epoch in (None, 4):
        batches = [*text.batches(3, epoch)]
        lanes = np.concatenate([batch["input"] for batch in batches], axis=1)
        assert lanes.tolist() == [[*range(6)], [*range(6, 12)], [*range(12, 18)]]
    assert [len(batch["input"]) for batch in text.batches(99)] == [11]


def no_utf8(path: Path) -> data.Text:
    path.write_bytes(b"ab\xff")
    return data.read_text(path, 2)


BAD_TEXT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "too short": (lambda path: data.Text("abc", 3), "3 characters have no stretch of 3"),
    "of no length": (lambda path: data.Text("abc", 0), "no stretch of 0"),
    "no such character": (
        lambda path: data.Text("abcd", 2, alphabet=data.Alphabet("abc")),
        "'d' at 3 is not in",
    ),
    "no alphabet": (
        lambda path: data.Text("abcd", 2, alphabet=data.Alphabet("")),
        "alphabet is empty",
    ),
    "no file": (lambda path: data.read_text(path, 2), "no such file"),
    "bytes": (no_utf8, "UTF-8: byte 2"),
    "a folder": (lambda path: data.read_text(path.parent, 2), "not a regular file"),
}


@pytest.mark.parametrize(("make", "message"), BAD_TEXT.values(), ids=BAD_TEXT)
def test_text_that_cannot_be_learnt(
    tmp_path: Path, make: Callable[[Path], Any], message: str
) -> None:
    with pytest.raises((UsageError, UnreadableFile), match=message):
        make(tmp_path / "x.txt")


def test_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("naïve Σ\n", "utf-8")
    text = data.read_text(tmp_path / "x.txt", 7)
    assert text.alphabet.decode(whole(text)["input"]) == "naïve Σ"


READERS: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "idx": (GOOD[:400], data.read_idx),
    "packed": (PACKED, data.read_idx),
    "npz": (npz(("x.npy", ONES)), data.read_npz),
    "csv": (CSV.encode(), lambda path: data.read_table(path, one_hot=("job", "left"))),
    "text": (CSV.encode(), lambda path: data.read_text(path, 3)),
}


DAMAGE = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4)
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=1)
)


def said(read: Callable[[Path], Any], path: Path) -> str:
    """What is said of a file; nothing if it can be read."""
    try:
        read(path)
    except CortexError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("good", "read"), READERS.values(), ids=READERS)
@settings(max_examples=60, deadline=None, database=None)
@given(places=DAMAGE, cut=st.integers(0, 5000))
def test_no_damage_is_more_than_an_error(
    tmp_path_factory: pytest.TempPathFactory,
    good: bytes,
    read: Callable[[Path], Any],
    places: list[tuple[int, int]],
    cut: int,
) -> None:
    raw = bytearray(good)
    for place, value in places:
        raw[place % len(raw)] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(raw[: max(1, cut % (2 * len(raw)))])
    assert "\n" not in said(read, path)


@settings(max_examples=60, deadline=None, database=None)
@given(TABLES)
def test_every_table_of_numbers_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "numbers.csv"
    path.write_text("\n".join(",".join(map(repr, row)) for row in rows))
    found = whole(data.read_table(path, header=False).data)["input"]
    np.testing.assert_array_equal(found, np.array(rows, np.float32))


def text_files(folder: Path) -> None:
    (folder / "x.csv").write_text("a,b\n1,2\n3,4\n")
    (folder / "x.txt").write_text("abcdefg")


def written(folder: Path) -> None:
    (folder / "test_batch.bin").write_bytes(cifar(10))


NAMED: dict[str, tuple[Callable[[Path], Any], dict[str, Any]]] = {
    "mnist": (mnist, {"part": "train"}),
    "cifar": (written, {"part": "test"}),
    "npz": (saved, {"path": "x.npz"}),
    "hdf5": (lambda folder: hdf5(folder / "x.h5"), {"path": "x.h5"}),
    "csv": (text_files, {"path": "x.csv", "target": "b"}),
    "text": (text_files, {"path": "x.txt", "length": 2}),
}


@pytest.mark.parametrize("kind", NAMED)
def test_every_source_can_be_named(kind: str, tmp_path: Path) -> None:
    make, options = NAMED[kind]
    make(tmp_path)
    source = data.NAMED[kind](**options)
    assert source.type == kind
    first, second = (source.open(tmp_path, seed) for seed in (0, 1))
    assert (first.seed, second.seed) == (0, 1)
    assert "input" in next(iter(first.batches(2, 0)))
