"""Makes folders of small pictures, one for each of three shapes: what finetune.yaml learns from.

    python examples/make_pictures.py FOLDER

Needs nothing but the base install.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle")
SIZE, EACH = 32, 200


def picture(shape: str, rng: np.random.Generator) -> Image.Image:
    """A shape of some size and colour somewhere on a plain, noisy ground."""
    ground = rng.integers(0, 256, 3)
    ink = (ground + rng.integers(90, 166, 3)) % 256
    image = Image.new("RGB", (SIZE, SIZE), tuple(ground.tolist()))
    half = int(rng.integers(7, 12))
    x, y = rng.integers(half + 1, SIZE - half - 1, 2).tolist()
    draw, box, fill = ImageDraw.Draw(image), (x - half, y - half, x + half, y + half), tuple(ink)
    if shape == "circle":
        draw.ellipse(box, fill)
    elif shape == "square":
        draw.rectangle(box, fill)
    else:
        draw.polygon([(x, y - half), (x - half, y + half), (x + half, y + half)], fill)
    noise = rng.normal(0, 8, (SIZE, SIZE, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def main(folder: Path, each: int = EACH) -> None:
    """Writes so many pictures of each shape."""
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        (folder / shape).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            picture(shape, rng).save(folder / shape / f"{i:03}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
