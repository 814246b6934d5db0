"""Augmentation: what each step does, that no epoch is like another, and that each comes again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cortex.runtime import data
from cortex.runtime.data.augmentation import Augmentation
from cortex.runtime.data.sampling import warped
from cortex.runtime.errors import UsageError

Array = NDArray[Any]
RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 9, 7, 2), np.float32)


def images(**others: Array) -> data.Arrays:
    """Six images, and what they are."""
    target = data.one_hot(np.arange(6) % 3, 3)
    return data.Arrays({"input": IMAGES, "target": target, **others}, shuffle=False)


STEPS: dict[str, Augmentation] = {
    "rotate": data.rotate(30),
    "rotate into black": data.rotate(30, fill=0.0),
    "shift": data.shift(0.3, 0.2),
    "scale": data.scale(0.7, 1.3),
    "stretch": data.scale(0.7, 1.3, stretch=True),
    "flip": data.flip(),
    "flip upside down": data.flip(horizontal=False, vertical=True),
    "crop": data.crop(9, 7, padding=2),
    "noise": data.noise(0.1),
    "even noise": data.noise(0.1, "uniform"),
    "brightness": data.brightness(0.2),
    "contrast": data.contrast(0.5),
    "cutout": data.cutout(4),
    "mixup": data.mixup(1.0),
}


def inputs(dataset: Any, epoch: int | None, size: int = 3) -> Array:
    return np.concatenate([batch["input"] for batch in dataset.batches(size, epoch)])


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_no_epoch_is_like_another_and_each_comes_again(step: Augmentation) -> None:
    before = IMAGES.copy()
    augmented = data.Augmented(images(), [step], seed=7)
    epochs = [inputs(augmented, epoch) for epoch in range(3)]
    for n, found in enumerate(epochs):
        assert found.shape == IMAGES.shape
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, inputs(augmented, n))
        assert not np.array_equal(found, epochs[n - 1])
        assert not np.array_equal(found[:3], found[3:])
    np.testing.assert_array_equal(inputs(data.Ahead(augmented, workers=3), 1), epochs[1])
    assert not np.array_equal(inputs(data.Augmented(images(), [step], seed=8), 0), epochs[0])
    np.testing.assert_array_equal(inputs(augmented, None), IMAGES)
    np.testing.assert_array_equal(IMAGES, before)


def test_every_augmentation_can_be_named() -> None:
    assert {type(step).__name__ for step in STEPS.values()} == set(data.AUGMENTATIONS)
    assert all(getattr(data, name) is step for name, step in data.AUGMENTATIONS.items())


# What an image [[0 1 2] [3 4 5] [6 7 8]] becomes where each pixel (x, y) comes from a place.
SMALL = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
HALF = [[1, 0, 0], [0, 1, -0.5]]
MAPS: dict[str, tuple[Any, float | None, Any]] = {
    "nothing": ([[1, 0, 0], [0, 1, 0]], None, SMALL),
    "one to the right": ([[1, 0, 1], [0, 1, 0]], None, [[1, 2, 2], [4, 5, 5], [7, 8, 8]]),
    "and filled": ([[1, 0, 1], [0, 1, 0]], -1.0, [[1, 2, -1], [4, 5, -1], [7, 8, -1]]),
    "half a pixel down": (HALF, None, [[0, 1, 2], [1.5, 2.5, 3.5], [4.5, 5.5, 6.5]]),
    "half of it outside": (HALF, 0.0, [[0, 0.5, 1], [1.5, 2.5, 3.5], [4.5, 5.5, 6.5]]),
    "a quarter turn": ([[0, 1, 0], [-1, 0, 0]], None, [[6, 3, 0], [7, 4, 1], [8, 5, 2]]),
    "mirrored": ([[-1, 0, 0], [0, 1, 0]], None, [[2, 1, 0], [5, 4, 3], [8, 7, 6]]),
    "twice as large": ([[0.5, 0, 0], [0, 0.5, 0]], None, [[2, 2.5, 3], [3.5, 4, 4.5], [5, 5.5, 6]]),
    "far away": ([[1, 0, 1e6], [0, 1, 0]], 9.0, np.full((3, 3), 9)),
}  # fmt: skip


@pytest.mark.parametrize(("maps", "fill", "expected"), MAPS.values(), ids=MAPS)
def test_pixels_come_from_where_the_map_says(maps: Any, fill: float | None, expected: Any) -> None:
    found = warped(SMALL, np.array([maps], np.float64), fill)
    wanted = np.asarray(expected, np.float32).reshape(3, 3)
    np.testing.assert_allclose(found[0, ..., 0], wanted, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 5, 6, 3), (70, 30, 31, 1), (2, 1, 5, 1), (2, 5, 1, 2)])
@pytest.mark.parametrize("fill", [None, 0.25])
def test_sampling_agrees_with_scipy(shape: tuple[int, ...], fill: float | None) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(1)
    given = rng.random(shape, np.float32)
    maps = rng.normal(0, 0.4, (shape[0], 2, 3)) + np.eye(2, 3)
    found = warped(given, maps, fill)
    middle = (np.array(shape[1:3]) - 1) / 2
    for image, (ax, ay), out in zip(given, maps, found, strict=True):
        matrix = np.array([[ay[1], ay[0]], [ax[1], ax[0]]])
        offset = middle + np.array([ay[2], ax[2]]) - matrix @ middle
        mode = {"mode": "nearest"} if fill is None else {"mode": "grid-constant", "cval": fill}
        for channel in range(shape[3]):
            wanted = ndimage.affine_transform(image[..., channel], matrix, offset, order=1, **mode)
            np.testing.assert_allclose(out[..., channel], wanted, atol=2e-4)


def test_moves_in_a_row_sample_once_and_in_their_order() -> None:
    smooth = np.add.outer(np.sin(np.arange(33) / 5), np.cos(np.arange(33) / 4))
    given = np.tile(smooth.astype(np.float32)[None, ..., None], (2, 1, 1, 1))
    steps = [data.rotate(20), data.scale(0.8, 0.8), data.shift(0.1)]
    dataset = data.Arrays({"input": given}, shuffle=False)
    (found,) = data.Augmented(dataset, steps).batches(2, 0)
    key = np.random.default_rng((0, 0, 0, 0))
    in_turn = given
    for step in steps:
        in_turn = step.images(in_turn, key)
    middle = (slice(None), slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(found["input"][middle], in_turn[middle], atol=0.03)


def test_a_mask_moves_as_its_image_does() -> None:
    steps = [data.rotate(40), data.flip(), data.crop(5, 5)]
    twice = data.selected(images(), {"input": "input", "mask": "input", "target": "target"})
    for batch in data.Augmented(twice, steps, on=("input", "mask")).batches(4, 2):
        np.testing.assert_array_equal(batch["input"], batch["mask"])


def test_evaluation_sees_the_middle_of_a_crop() -> None:
    found = inputs(data.Augmented(images(), [data.crop(5, 3, padding=4)]), None)
    np.testing.assert_array_equal(found, IMAGES[:, 2:7, 2:5])


def test_a_crop_is_a_part_of_the_image() -> None:
    given = np.arange(6 * 9 * 7, dtype=np.float32).reshape(6, 9, 7, 1)
    dataset = data.Arrays({"input": given}, shuffle=False)
    found = inputs(data.Augmented(dataset, [data.crop(4, 3)]), 0)
    for whole, part in zip(given, found, strict=True):
        top, left = np.argwhere(whole[..., 0] == part[0, 0, 0])[0]
        np.testing.assert_array_equal(part, whole[top : top + 4, left : left + 3])


def test_what_is_drawn_is_as_large_as_it_says() -> None:
    zeros = np.zeros((40, 16, 16, 1), np.float32)
    rng = np.random.default_rng(3)
    normal = data.noise(0.3).images(zeros, rng)
    assert abs(normal.std() - 0.3) < 0.01
    even = data.noise(0.3, "uniform").images(zeros, rng)
    assert 0.28 < even.max() <= 0.3
    assert -0.3 <= even.min() < -0.28
    light = data.brightness(0.3).images(zeros, rng)
    assert np.ptp(light, axis=(1, 2, 3)).max() == 0
    assert 0.2 < np.abs(light).max() <= 0.3
    ramp = zeros + np.linspace(-1, 1, 16, dtype=np.float32)[:, None]
    spread = data.contrast(0.5).images(ramp + 3, rng).max(axis=(1, 2, 3)) - 3
    assert 0.5 <= spread.min() < 0.7
    assert 1.3 < spread.max() <= 1.5
    holes = (data.cutout(4, fill=1.0).images(zeros, rng) == 1).sum(axis=(1, 2, 3))
    assert holes.max() == 16
    assert holes.min() >= 4


def test_a_mixture_has_parts_of_both_and_of_their_targets() -> None:
    given = {"input": np.eye(6, dtype=np.float32), "target": np.eye(6)}
    dataset = data.Arrays({**given, "input": given["input"].reshape(6, 6, 1, 1)}, shuffle=False)
    (batch,) = data.Augmented(dataset, [data.mixup(1.0)]).batches(6, 0)
    np.testing.assert_allclose(batch["input"].reshape(6, 6), batch["target"], atol=1e-6)
    np.testing.assert_allclose(batch["target"].sum(axis=1), 1)
    assert batch["target"].dtype == np.float64


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no such array": ([data.flip()], {"on": ("x",)}, "no 'x'; they have input, target"),
    "no images": ([data.flip()], {"on": ("target",)}, r"'target' of shape \[6, 3\] is no batch"),
    "too large a crop": ([data.crop(10, 3)], {}, "no 10×3 in images of 9×7"),
}


@pytest.mark.parametrize(("steps", "options", "message"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_told(steps: Any, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        next(data.Augmented(images(), steps, **options).batches(6, 0))


def test_classes_by_number_do_not_mix() -> None:
    with pytest.raises(UsageError, match="'mask' is bool, which does not mix"):
        next(data.Augmented(images(mask=IMAGES > 0.5), [data.mixup()]).batches(6, 0))


@pytest.mark.parametrize(
    "make", [lambda: data.scale(0, 1), lambda: data.scale(2, 1), lambda: data.mixup(0)]
)
def test_ranges_are_checked(make: Any) -> None:
    with pytest.raises(ValueError, match="above 0"):
        make()
