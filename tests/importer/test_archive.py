"""Models of Keras 3: what an archive holds is read, and what it may not hold is refused."""

from __future__ import annotations

import io
import json
import pickle
import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cortex.importer import load
from cortex.importer.keras.containers import zipped
from cortex.importer.keras.containers.archive import open_archive, read_shards
from cortex.runtime.errors import UnreadableFile

from .keras_files import dense_arrays

Members = Mapping[str, bytes]

ARCHITECTURE = {
    "class_name": "Sequential",
    "config": {
        "name": "model",
        "layers": [
            {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 4]}},
            {"class_name": "Dense", "config": {"name": "hidden", "units": 3}},
            {"class_name": "Dense", "config": {"name": "classes", "units": 2}},
        ],
    },
}
ARRAYS = {
    f"layers/{layer}/vars/{number}": array
    for layer, sizes in {"dense": (4, 3), "dense_1": (3, 2)}.items()
    for number, array in enumerate(dense_arrays(*sizes).values())
}


def weights(arrays: Mapping[str, Any] = ARRAYS) -> bytes:
    """A file of weights of Keras 3."""
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        for name, array in arrays.items():
            opened.create_dataset(name, data=array)
    return file.getvalue()


def members(**others: bytes) -> dict[str, bytes]:
    """What Keras 3 saves of a small model; ``others`` replace members, by name without ending."""
    found = {
        "metadata.json": json.dumps({"keras_version": "3.8.0"}).encode(),
        "config.json": json.dumps(ARCHITECTURE).encode(),
        "model.weights.h5": weights(),
        "assets/layers/lookup/vocabulary.txt": b"one\ntwo\n",
    }
    for name, content in others.items():
        found[next(key for key in found if key.startswith(name))] = content
    return found


def zip_file(path: Path, content: Members, method: int = zipfile.ZIP_STORED) -> Path:
    """An archive of these members."""
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def folder(path: Path, content: Members) -> Path:
    """The same as a folder."""
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


FORMS: dict[str, Callable[[Path, Members], Path]] = {
    "stored": zip_file,
    "deflated": lambda path, content: zip_file(path, content, zipfile.ZIP_DEFLATED),
    "folder": folder,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_model_is_read(form: str, tmp_path: Path) -> None:
    archive = open_archive(FORMS[form](tmp_path / "m.keras", members()))
    assert json.loads(archive.config) == ARCHITECTURE
    assert archive.metadata == {"keras_version": "3.8.0"}
    assert {name: read() for name, read in archive.assets.items()} == {
        "layers/lookup/vocabulary.txt": b"one\ntwo\n"
    }
    assert sorted(archive.weights.datasets()) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(archive.weights.array(name), array)
    with pytest.raises(UnreadableFile, match="'vars/0' is missing"):
        archive.weights.array("vars/0")


@pytest.mark.parametrize("form", FORMS)
def test_a_model_computes(form: str, tmp_path: Path) -> None:
    network = load(FORMS[form](tmp_path / "m.keras", members())).network
    (hidden, bias), (classes, last) = (dense_arrays(4, 3).values(), dense_arrays(3, 2).values())
    x = np.ones((2, 4), np.float32)
    (y,) = network.run({"x": x}).values()
    np.testing.assert_allclose(y, (x @ hidden + bias) @ classes + last, rtol=1e-5)


def sharded(**index: Any) -> dict[str, bytes]:
    """The small model with its weights in two shards, one layer over both."""
    found, names = members(), list(ARRAYS)
    del found["model.weights.h5"]
    places = {
        "/layers/dense/vars": ["model_00000.weights.h5"],
        "/layers/dense_1/vars": ["model_00000.weights.h5", "model_00001.weights.h5"],
    }
    found["model.weights.json"] = json.dumps({"weight_map": {**places, **index}}).encode()
    for number, part in enumerate((names[:3], names[3:])):
        shard = weights({name: ARRAYS[name] for name in part})
        found[f"model_0000{number}.weights.h5"] = shard
    return found


@pytest.mark.parametrize("form", FORMS)
def test_shards_are_one_tree(form: str, tmp_path: Path) -> None:
    tree = open_archive(FORMS[form](tmp_path / "m.keras", sharded())).weights
    assert sorted(tree.datasets()) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(tree.array(name), array)


def test_shards_are_found_beside_their_index(tmp_path: Path) -> None:
    folder(tmp_path, sharded())
    assert sorted(read_shards(tmp_path / "model.weights.json").datasets()) == sorted(ARRAYS)


SHARDS: dict[str, tuple[dict[str, bytes], str]] = {
    "no shard": (sharded(**{"/x/vars": "model_00007.weights.h5"}), "missing shard 'model_00007"),
    "outside": (sharded(**{"/x/vars": "../m.keras"}), r"missing shard '\.\./m.keras'"),
    "no name": (sharded(**{"/x/vars": [3]}), "missing shard 3"),
    "no group": (sharded(**{"/x/vars": "model_00000.weights.h5"}), "'/x/vars', which no shard has"),
    "twice": ({**sharded(), "model_00001.weights.h5": weights()}, "two shards have 'layers/dense/"),
    "no index": ({**sharded(), "model.weights.json": b"[]"}, "no 'weight_map'"),
    "no json": ({**sharded(), "model.weights.json": b"["}, "model.weights.json: it is no JSON"),
}


@pytest.mark.parametrize("case", SHARDS)
def test_shards_are_refused(case: str, tmp_path: Path) -> None:
    content, message = SHARDS[case]
    for form in (zip_file, folder):
        with pytest.raises(UnreadableFile, match=message):
            _ = open_archive(form(tmp_path / form.__name__, content)).weights


class Payload:
    """What a pickle can do when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("marker"),))


def pickled() -> bytes:
    """Weights as Keras writes them with ``weights_format="npz"``: arrays of pickled objects."""
    file = io.BytesIO()
    np.savez(file, layers=np.array([Payload()], dtype=object))
    return file.getvalue()


def edited(change: Callable[[zipfile.ZipInfo], Any], name: str = "config.json") -> Any:
    """A member whose entry is changed before it is written."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            for each, data in members().items():
                entry = zipfile.ZipInfo(each)
                if each == name:
                    change(entry)
                file.writestr(entry, data)

    return make


def added(name: str, data: bytes = b"") -> Callable[[Path], Path]:
    """A member more."""
    return lambda path: zip_file(path, {**members(), name: data})


def twice(path: Path) -> None:
    zip_file(path, members())
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("model.weights.h5", b"\x80\x04cos\nsystem\n")


def bomb(path: Path) -> None:
    zip_file(path, {**members(), "assets/zeros": bytes(50 << 20)}, zipfile.ZIP_DEFLATED)
    # Deflate shrinks zeros to a thousandth: a bomb must lie about its size.
    raw = path.read_bytes()
    path.write_bytes(raw.replace(struct.pack("<I", 50 << 20), struct.pack("<I", 80 << 20)))


def flagged(bits: int) -> Callable[[Path], None]:
    """Flags set in all entries and headers."""

    def make(path: Path) -> None:
        raw = bytearray(zip_file(path, members()).read_bytes())
        for signature, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
            at = raw.find(signature)
            while at >= 0:
                raw[at + place] |= bits
                at = raw.find(signature, at + 1)
        path.write_bytes(raw)

    return make


def directory(
    field: int, value: bytes, name: bytes = b"model.weights.h5"
) -> Callable[[Path], None]:
    """A field of one entry of the directory changed; the member's own header says another thing."""

    def make(path: Path) -> None:
        raw = bytearray(zip_file(path, members()).read_bytes())
        at = raw.rindex(b"model.weights.h5") - 46 + field
        raw[at : at + len(value)] = value
        path.write_bytes(raw)

    return make


def prefixed(path: Path) -> None:
    content = zip_file(path, members()).read_bytes()
    path.write_bytes(b"PK\x03\x04" + content)


def cut(path: Path) -> None:
    path.write_bytes(zip_file(path, members()).read_bytes()[:-200])


def flipped(path: Path) -> None:
    raw = bytearray(zip_file(path, members()).read_bytes())
    raw[raw.index(weights()[-24:]) + 5] ^= 1
    path.write_bytes(raw)


def many(path: Path) -> None:
    zip_file(path, {**members(), **{f"assets/{number}": b"" for number in range(10_001)}})


def shape_bomb() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened.create_dataset("layers/dense/vars/0", (1 << 20, 1 << 19), "f4", chunks=(1024, 1024))
    return file.getvalue()


def soft_link() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened["layers/dense/vars/0"] = h5py.SoftLink("/etc")
    return file.getvalue()


def made(**others: bytes) -> Callable[[Path], Path]:
    return lambda path: zip_file(path, members(**others))


LINK = (stat.S_IFLNK | 0o777) << 16
NPZ = {name: data for name, data in members().items() if "weights" not in name}

HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "two of one name": (twice, "two members have the same name, refused as unsafe"),
    "absolute": (added("/etc/passwd"), "its name leads out of the archive, refused"),
    "upwards": (added("assets/../../x"), "leads out of the archive"),
    "backslash": (added("assets\\..\\x"), "leads out of the archive"),
    "drive": (added("c:/x"), "leads out of the archive"),
    "dot": (added("./config.json"), "leads out of the archive"),
    "link": (edited(lambda m: setattr(m, "external_attr", LINK)), "it is a link or a device"),
    "bomb": (bomb, "zeros: it declares 83,886,080 bytes, but 5.,... are stored, refused"),
    "encrypted": (flagged(0x1), "metadata.json: it is encrypted, refused"),
    "bzip2": (
        edited(lambda m: setattr(m, "compress_type", zipfile.ZIP_BZIP2)),
        "it is compressed by method 12; only deflate",
    ),
    "many members": (many, "10,005 members are too many"),
    "two sizes": (directory(24, b"\x01\x00\x00\x00"), "it is stored as it is, but of two sizes"),
    "another place": (directory(42, b"\x09\x00\x00\x00"), "damaged zip archive"),
    "the place of another": (directory(42, bytes(4)), "damaged zip archive"),
    "another method": (
        directory(10, b"\x08\x00"),
        "differs from its own header",
    ),
    "data before": (prefixed, "damaged zip archive: 'metadata.json' is not where it may be"),
    "cut": (cut, "a truncated or damaged zip archive"),
    "a flipped bit": (flipped, "Bad CRC-32 for file 'model.weights.h5'"),
    "pickled weights": (
        lambda path: zip_file(path, {**NPZ, "model.weights.npz": pickled()}),
        "model.weights.npz: its weights are Python pickles",
    ),
    "no weights": (lambda path: zip_file(path, NPZ), "it has no model.weights.h5; add --weights"),
    "pickle for weights": (
        made(model=pickle.dumps(Payload())),
        "model.weights.h5: not an HDF5 file",
    ),
    "archive for weights": (made(model=pickled()), "model.weights.h5: not an HDF5 file"),
    "damaged weights": (made(model=weights()[:1000]), "model.weights.h5: a truncated or damaged"),
    "shape bomb": (made(model=shape_bomb()), "vars/0: it declares 2,199,023,255,552 bytes"),
    "soft link": (made(model=soft_link()), "'0' is a SoftLink, which is refused"),
    "no text": (made(config=b"\xff{}"), "config.json: not text in UTF-8: byte 0"),
    "no json": (made(config=b"{"), "config.json: it is no JSON"),
    "no version": (made(metadata=b"[]"), "metadata.json: it is no object"),
    "no config": (lambda path: zip_file(path, {"x": b""}), "no model: it has no config.json"),
    "pytorch": (lambda path: zip_file(path, {"m/data.pkl": b""}), "a model of PyTorch"),
    "numpy": (lambda path: zip_file(path, {"a.npy": b""}), "arrays of NumPy, without a network"),
    "no archive": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(60)), "damaged zip archive"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_is_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, message = HOSTILE[case]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.keras"
    make(path)
    with pytest.raises(UnreadableFile, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]  # nothing was unpacked


def test_an_archive_in_an_archive_is_refused(tmp_path: Path) -> None:
    archive = open_archive(zip_file(tmp_path / "m.keras", members(assets=pickled())))
    (read,) = archive.assets.values()
    with pytest.raises(UnreadableFile, match="an archive in an archive"):
        read()


def test_a_member_is_not_read_beyond_its_limit(tmp_path: Path) -> None:
    path = zip_file(tmp_path / "m.keras", members())
    with (
        zipped.open_zip(path) as file,
        pytest.raises(UnreadableFile, match=r"m\.keras:config\.json: .* bytes is too large"),
    ):
        file.read("config.json", 100)


def test_a_model_of_the_corpus(corpus: Any) -> None:
    archive = open_archive(corpus("k3_sonar_lstm.keras"))
    assert archive.metadata["keras_version"] == "3.8.0"
    assert archive.weights.array("layers/lstm/cell/vars/1").shape == (64, 256)
