"""Pictures as inputs: every step of a ``Preprocessing``, and what is refused."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cortex.runtime.errors import UnreadableFile, Unsupported
from cortex.runtime.preprocessing import Preprocessing
from cortex.serving.datatypes import DATATYPES
from cortex.serving.pictures import picture_reader, picture_readers

PIXELS = np.random.default_rng(3).integers(0, 256, (4, 6, 3), np.uint8)
LAST, FIRST, OPEN, GRAY = (-1, 4, 6, 3), (-1, 3, 4, 6), (-1, -1, -1, 3), (-1, 4, 6, 1)
ORIENTATION = 0x0112


def encoded(pixels: NDArray[Any] = PIXELS, kind: str = "PNG", **options: Any) -> bytes:
    """A picture in a file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def read(
    picture: bytes, sizes: tuple[int, ...] = LAST, datatype: str = "FP32", **how: Any
) -> NDArray[Any]:
    """One picture as an input has it, without the axis of the batch."""
    reader = picture_reader("x", sizes, DATATYPES[datatype], Preprocessing(**how))
    (row,) = reader.read([picture], lambda n: f"picture {n}")
    return row


X = PIXELS.astype(np.float32)
VALUES: dict[str, tuple[dict[str, Any], NDArray[Any]]] = {
    "as they are": ({}, X),
    "scaled": ({"scale": 1 / 255}, X / 255),
    "one mean and deviation": ({"mean": 127.5, "std": 127.5}, X / 127.5 - 1),
    "by channel": (
        {"scale": 1 / 255, "mean": (0.1, 0.2, 0.3), "std": (1, 2, 3)},
        (X / 255 - (0.1, 0.2, 0.3)) / (1, 2, 3),
    ),
    "blue first": ({"channels": "bgr", "mean": (1, 2, 3)}, X[..., ::-1] - (1, 2, 3)),
}


@pytest.mark.parametrize(("how", "expected"), VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("sizes", [LAST, FIRST, OPEN])
def test_values_are_scaled_then_centred_then_divided(
    sizes: tuple[int, ...], how: dict[str, Any], expected: NDArray[Any]
) -> None:
    row = read(encoded(), sizes, **how)
    wanted = expected.transpose(2, 0, 1) if sizes == FIRST else expected
    assert row.dtype == np.float32
    np.testing.assert_allclose(row, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("datatype", ["FP16", "FP64", "UINT8", "INT64"])
def test_an_input_may_be_of_any_datatype_that_holds_a_picture(datatype: str) -> None:
    row = read(encoded(), datatype=datatype)
    assert row.dtype == DATATYPES[datatype].dtype
    np.testing.assert_array_equal(row, PIXELS)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
def test_a_picture_is_squeezed_as_pillow_does(method: str) -> None:
    large = np.random.default_rng(1).integers(0, 256, (12, 9, 3), np.uint8)
    expected = Image.fromarray(large).resize((6, 4), Image.Resampling[method.upper()])
    np.testing.assert_array_equal(read(encoded(large), filter=method), np.asarray(expected))


def test_the_middle_of_a_picture_is_cut_out() -> None:
    wide = np.zeros((4, 30, 3), np.uint8)
    wide[:, 12:18] = PIXELS
    np.testing.assert_array_equal(read(encoded(wide), fit="crop"), PIXELS)


def test_a_size_that_the_model_leaves_open_is_that_of_the_config() -> None:
    assert read(encoded(), OPEN, size=(8, 9)).shape == (8, 9, 3)
    assert read(encoded(), OPEN, size=(8, None)).shape == (8, 6, 3)


def test_a_picture_stands_upright() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the camera was turned to the left
    turned = encoded(np.ascontiguousarray(np.rot90(PIXELS)), exif=exif)
    np.testing.assert_array_equal(read(turned, OPEN), PIXELS)


MODES: dict[str, tuple[bytes, tuple[int, ...], NDArray[Any]]] = {
    "gray for a gray model": (encoded(PIXELS[..., 0]), GRAY, PIXELS[..., :1]),
    "gray for a coloured one": (encoded(PIXELS[..., 0]), LAST, PIXELS[..., [0, 0, 0]]),
    "gray of 16 bits": (
        encoded(PIXELS[..., 0].astype(np.uint16) * 257), GRAY, PIXELS[..., :1],
    ),
    "transparent": (encoded(np.dstack([PIXELS, PIXELS[..., 0]])), LAST, PIXELS),
    "transparent for a model of four channels": (
        encoded(np.dstack([PIXELS, PIXELS[..., 0]])),
        (-1, 4, 6, 4),
        np.dstack([PIXELS, PIXELS[..., 0]]),
    ),
    "bmp": (encoded(kind="BMP"), LAST, PIXELS),
    "webp": (encoded(kind="WEBP", lossless=True), LAST, PIXELS),
}  # fmt: skip


@pytest.mark.parametrize(("picture", "sizes", "expected"), MODES.values(), ids=MODES)
def test_pictures_of_every_mode(
    picture: bytes, sizes: tuple[int, ...], expected: NDArray[Any]
) -> None:
    np.testing.assert_array_equal(read(picture, sizes), expected)


def test_several_pictures_are_the_rows() -> None:
    reader = picture_reader("x", LAST, DATATYPES["UINT8"], Preprocessing())
    rows = reader.read([encoded(), encoded(255 - PIXELS)], str)
    np.testing.assert_array_equal(rows, [PIXELS, 255 - PIXELS])
    assert reader.read([], str).shape == (0, 4, 6, 3)


def bomb() -> bytes:
    """A PNG of a few bytes that claims 40,000 × 40,000 pixels."""
    chunk = b"IHDR" + (40_000).to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
    head = (13).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
    return b"\x89PNG\r\n\x1a\n" + head + bytes(4) + b"IDAT" + zlib.crc32(b"IDAT").to_bytes(4)


REFUSED: dict[str, tuple[Callable[[], bytes], dict[str, Any], str]] = {
    "no picture": (lambda: b"nothing", {}, "no picture: none of JPEG, PNG, WEBP, BMP"),
    "nothing": (lambda: b"", {}, "no picture: none of JPEG"),
    "of another format": (lambda: encoded(kind="GIF"), {}, "no picture: none of JPEG"),
    "cut short": (lambda: encoded(kind="JPEG")[:-30], {}, "no picture: image file is truncated"),
    "base64": (lambda: b"/9j/4AAQSkZJRg", {}, "it is base64; send the picture's own bytes"),
    "a bomb": (bomb, {}, "no picture: Image size (1600000000 pixels) exceeds limit"),
    "too many pixels": (
        encoded, {"max_pixels": 23}, "6×4 pixels are too many, allowed are 23 in a request",
    ),
    "too many pixels once resized": (
        encoded, {"size": (10, 10), "max_pixels": 99}, "10×10 pixels are too many, allowed are 99",
    ),
    "too many bytes": (lambda: bytes(101), {"max_bytes": 100}, "101 bytes are too many, allowed"),
}  # fmt: skip


@pytest.mark.parametrize(("picture", "how", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_named(
    picture: Callable[[], bytes], how: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnreadableFile) as error:
        read(picture(), OPEN, **how)
    assert str(error.value).startswith(f"picture 0: {message}")
    assert "\n" not in str(error.value)


def test_the_pictures_of_a_request_are_counted_together() -> None:
    reader = picture_reader("x", LAST, DATATYPES["FP32"], Preprocessing(max_pixels=50))
    with pytest.raises(UnreadableFile, match=r"2: 6×4 pixels with those before it are too many"):
        reader.read([encoded()] * 3, str)


def test_pictures_of_several_sizes_need_a_size() -> None:
    reader = picture_reader("x", OPEN, DATATYPES["FP32"], Preprocessing())
    with pytest.raises(UnreadableFile, match="1: it is 3×4, 0 is not; pictures of several sizes"):
        reader.read([encoded(), encoded(PIXELS[:, :3].copy())], str)


UNFIT: dict[str, tuple[tuple[int, ...], str, dict[str, Any], str]] = {
    "no picture": ((-1, 4), "FP32", {}, "takes shape [-1, 4], which is not that of pictures"),
    "channels": (GRAY, "FP32", {"channels": "bgr"}, "takes 1 channels, its preprocessing gives b"),
    "means": (LAST, "FP32", {"mean": (1, 2)}, "takes 3 channels, its preprocessing has 2 of mean"),
    "size": (LAST, "FP32", {"size": (4, 5)}, "takes a width of 6, its preprocessing gives 5"),
    "whole numbers": (LAST, "UINT8", {"scale": 0.5}, "takes UINT8, which does not hold what comes"),
    "datatype": (LAST, "INT8", {}, "takes INT8, which does not hold what comes out"),
}


@pytest.mark.parametrize(("sizes", "datatype", "how", "message"), UNFIT.values(), ids=UNFIT)
def test_a_preprocessing_that_does_not_fit_is_refused(
    sizes: tuple[int, ...], datatype: str, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(Unsupported) as error:
        picture_reader("x", sizes, DATATYPES[datatype], Preprocessing(**how))
    assert f"input 'x' {message}" in str(error.value)


def test_a_model_without_pictures_has_none_to_read() -> None:
    with pytest.raises(Unsupported, match=r"no input .* takes 'a' of shape \[-1, 4\]"):
        picture_readers([("a", (-1, 4), DATATYPES["FP32"])], Preprocessing())


SERVED = Preprocessing(size=(4, 6), channels="bgr", mean=(1, 2, 3), std=0.5, fit="crop")


def test_a_preprocessing_is_the_same_through_json() -> None:
    text = SERVED.model_dump_json(exclude_defaults=True)
    assert Preprocessing.model_validate_json(text) == SERVED
    assert "max_pixels" not in text


@pytest.mark.parametrize(
    "wrong",
    [{"size": [0, 4]}, {"std": 0}, {"std": [1, 0, 1]}, {"mean": "a"}, {"scale": "nan"}, {"x": 1}],
)
def test_a_preprocessing_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Preprocessing.model_validate(wrong)
