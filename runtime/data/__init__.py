"""What networks learn from: datasets that give batches of arrays by name.

    train, test = data.split(data.Pictures("photos", height=64, width=64), 0.8, seed=1)
    train = data.Ahead(data.Augmented(data.Balanced(train), [data.rotate(10), data.flip()]))

Readers call the arrays ``input`` and ``target``; images are [n, height, width, channels].
"""

from collections.abc import Mapping

from .ahead import Ahead
from .arrays import Arrays
from .augmentation import Affine, Augmentation, Augmented
from .changes import brightness, contrast, cutout, mixup, noise
from .cifar import load_cifar
from .dataset import INPUT, TARGET, Batch, Dataset, Task, classes_of, source_of
from .encoders import Categories, one_hot
from .endless import Balanced, Endless
from .hdf5 import Hdf5
from .idx import read_idx
from .mnist import load_mnist
from .moves import crop, flip, rotate, scale, shift
from .npz import read_npz
from .pictures import Pictures
from .rows import Part, Rows, split
from .selected import Mapped, selected
from .sources import NAMED, Source
from .tables import Table, read_table
from .texts import Alphabet, Text, read_text

AUGMENTATIONS: Mapping[str, type[Augmentation]] = {
    each.__name__: each
    for each in (
        rotate, shift, scale, flip, crop, noise, brightness, contrast, cutout, mixup
    )
}  # fmt: skip
"""Every augmentation by the name that specs have for it."""

__all__ = [
    "AUGMENTATIONS",
    "INPUT",
    "NAMED",
    "TARGET",
    "Affine",
    "Ahead",
    "Alphabet",
    "Arrays",
    "Augmentation",
    "Augmented",
    "Balanced",
    "Batch",
    "Categories",
    "Dataset",
    "Endless",
    "Hdf5",
    "Mapped",
    "Part",
    "Pictures",
    "Rows",
    "Source",
    "Table",
    "Task",
    "Text",
    "brightness",
    "classes_of",
    "contrast",
    "crop",
    "cutout",
    "flip",
    "load_cifar",
    "load_mnist",
    "mixup",
    "noise",
    "one_hot",
    "read_idx",
    "read_npz",
    "read_table",
    "read_text",
    "rotate",
    "scale",
    "selected",
    "shift",
    "source_of",
    "split",
]  # fmt: skip
