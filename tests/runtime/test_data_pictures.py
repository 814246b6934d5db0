"""Pictures in folders by class: what they become, and what is said of one that is broken."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cortex.runtime import data
from cortex.runtime.data import pictures
from cortex.runtime.errors import UnreadableFile, UsageError

RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 256, (2, 3, 4, 6, 3), np.uint8)
ORIENTATION = 0x0112


def encoded(pixels: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of each of two classes, and what is none."""
    for name, some in zip(("cats", "dogs"), PIXELS, strict=True):
        (tmp_path / name).mkdir()
        for n, pixels in enumerate(some):
            (tmp_path / name / f"{n}.png").write_bytes(encoded(pixels))
    (tmp_path / "cats" / ".hidden.png").write_bytes(b"no picture")
    (tmp_path / "cats" / "notes.txt").write_text("no picture")
    (tmp_path / ".cache").mkdir()
    return tmp_path


def test_the_class_is_the_folder(folder: Path) -> None:
    found = data.Pictures(folder, height=4, width=6)
    assert found.classes == ("cats", "dogs")
    batch = found.take(slice(None))
    assert batch["input"].dtype == batch["target"].dtype == np.float32
    wanted = PIXELS.reshape(6, 4, 6, 3) / 255 - 0.5
    np.testing.assert_allclose(batch["input"], wanted, atol=1e-6)
    assert batch["target"].tolist() == [[1, 0]] * 3 + [[0, 1]] * 3
    assert found.column("target").tolist() == [0, 0, 0, 1, 1, 1]
    turned = data.Pictures(folder, height=4, width=6, classes=("dogs", "cats"))
    assert turned.column("target").tolist() == [0, 0, 0, 1, 1, 1]
    assert turned.paths[0].parent.name == "dogs"
    balanced = data.Balanced(found, 4)
    assert all(b["target"].sum(axis=0).tolist() == [1, 1] for b in balanced.batches(2, 0))


WRAPPED: list[Callable[[Any], Any]] = [
    lambda it: it,
    lambda it: data.split(it, 4)[0],
    lambda it: data.Balanced(data.split(it, 4, seed=1)[0], 9),
    lambda it: data.Ahead(data.Augmented(data.Endless(it, 9), [data.flip()])),
    lambda it: data.selected(it, {"x": "input", "y": "target"}),
]


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_the_names_of_the_classes_come_through(folder: Path, wrapped: Any) -> None:
    found = wrapped(data.Pictures(folder, height=4, width=6))
    assert data.classes_of(found) == ("cats", "dogs")
    assert data.classes_of(wrapped(data.Arrays({"input": np.ones(6), "target": np.ones(6)}))) == ()


@pytest.mark.parametrize("kept", [0, pictures.KEPT])
def test_the_same_whether_they_stay_in_memory(
    folder: Path, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "KEPT", kept)
    found = data.Pictures(folder, height=4, width=6, seed=2)
    first, second = (
        np.concatenate([batch["input"] for batch in data.Ahead(found).batches(4, 1)])
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(
        np.sort(first, axis=None), np.sort(PIXELS / 255 - 0.5, axis=None), atol=1e-6
    )


@pytest.mark.parametrize("fit", ["squash", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_server_can_do_the_same(folder: Path, fit: Any, channels: Any) -> None:
    from cortex.serving.datatypes import DATATYPES
    from cortex.serving.pictures import picture_reader

    ours = data.Pictures(
        folder, height=3, width=3, channels=channels, fit=fit, mean=100.0, std=50.0
    )
    reader = picture_reader("x", (-1, 3, 3, channels), DATATYPES["FP32"], ours.preprocessing)
    theirs = reader.read([path.read_bytes() for path in ours.paths], str)
    np.testing.assert_allclose(ours.take(slice(None))["input"], theirs, atol=1e-6)


DEEP = (np.arange(24).reshape(4, 6) * 2700).astype(np.uint16)
TURNED = Image.Exif()
TURNED[ORIENTATION] = 6
READ: dict[str, tuple[bytes, Any]] = {
    "gray": (encoded(PIXELS[0, 0, ..., 0]), PIXELS[0, 0, ..., :1]),
    "16 bits": (encoded(DEEP), (DEEP >> 8)[..., None]),
    "turned": (
        encoded(PIXELS[0, 0, ..., 0].T[::-1], exif=TURNED),
        PIXELS[0, 0, ..., :1],
    ),
    "bmp": (encoded(PIXELS[0, 0, ..., 0], "BMP"), PIXELS[0, 0, ..., :1]),
}


@pytest.mark.parametrize(("raw", "expected"), READ.values(), ids=READ)
def test_how_a_picture_is_read(tmp_path: Path, raw: bytes, expected: Any) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(raw)
    np.testing.assert_array_equal(pictures.read_picture(path, (4, 6, 1)), expected)


BROKEN = {
    "cut short": encoded(PIXELS[0, 0])[:-40],
    "no picture": b"hello",
    "empty": b"",
    "a GIF": encoded(PIXELS[0, 0, ..., 0], "GIF"),
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("ahead", [False, True])
def test_one_broken_picture_is_named_or_skipped(folder: Path, raw: bytes, ahead: bool) -> None:
    (folder / "dogs" / "1.png").write_bytes(raw)
    found: Any = data.Pictures(folder, height=4, width=6)
    with pytest.raises(UnreadableFile, match=r"dogs/1\.png: no picture") as error:
        list((data.Ahead(found) if ahead else found).batches(2, 0))
    assert "\n" not in str(error.value)
    fine = data.Pictures(folder, height=4, width=6, skip_broken=True)
    assert [path.name for path in fine.skipped] == ["1.png"]
    batch = fine.take(slice(None))
    np.testing.assert_array_equal(batch["target"].sum(axis=0), [3, 2])
    np.testing.assert_allclose(batch["input"][4], PIXELS[1, 2] / 255 - 0.5, atol=1e-6)


def test_what_is_too_large_is_not_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = data.Pictures(folder, height=4, width=6)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 20)
    with pytest.raises(UnreadableFile, match=r"0\.png: 6×4 pixels are too many"):
        found.take(slice(None))
    monkeypatch.setattr(pictures, "LARGEST_FILE", 20)
    with pytest.raises(UnreadableFile, match=r"0\.png: 21 bytes are too many, allowed are 20"):
        found.take(slice(None))


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no folder": ("none", {}, "no such folder"),
    "no classes": ("cats", {}, "no folder for a class"),
    "no such class": (".", {"classes": ("cats", "cows")}, "no folder for class 'cows'"),
    "an empty class": (".", {"classes": (".cache",)}, r"\.cache: no pictures"),
    "no height": (".", {"height": 0}, "no pictures are 0×6×3"),
    "two channels": (".", {"channels": 2}, "no pictures are 4×6×2"),
    "divided by nothing": (".", {"std": 0.0}, "divided by 0.0"),
}


@pytest.mark.parametrize(("where", "options", "message"), WRONG.values(), ids=WRONG)
def test_what_makes_no_sense_is_told(
    folder: Path, where: str, options: dict[str, Any], message: str
) -> None:
    size: Any = {"height": 4, "width": 6, **options}
    with pytest.raises((UnreadableFile, UsageError), match=message):
        data.Pictures(folder / where, **size)


def test_all_broken(folder: Path) -> None:
    for path in folder.glob("*/*.png"):
        path.write_bytes(b"")
    with pytest.raises(UnreadableFile, match="none of its pictures can be read"):
        data.Pictures(folder, height=4, width=6, skip_broken=True)


def test_pictures_can_be_named(folder: Path) -> None:
    source = data.NAMED["pictures"](height=4, width=6, path=folder.name)
    assert len(source.open(folder.parent)) == 6
