"""Which Keras wrote a file, and on which backend: what that means for its layers and arrays."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .arrays import Arrays
from .keras1 import arrays as arrays_of_keras_1
from .keras1 import keeps_deviation

THEANO = "theano"
ALONE = ("2.0", "2.1", "2.2", "2.3")


@dataclass(frozen=True, slots=True)
class Origin:
    """What the file as a whole says about how its layers compute."""

    version: str
    """The version of Keras, whose meaning of options the file has."""
    backend: str
    weights_version: str
    """The version of Keras that wrote the arrays."""

    @property
    def generation(self) -> int:
        """1, 2 or 3: its major version."""
        return generation_of(self.version)

    def is_before(self, *numbers: int) -> bool:
        """Whether the file is of an older version than this, such as (2, 4), as far as it says."""
        found = [int(n) for n in re.findall(r"\d+", self.version)[: len(numbers)]]
        return found < list(numbers[: len(found)])

    @property
    def is_tf_keras(self) -> bool:
        """Whether it is the Keras 2 inside TensorFlow, not the one that stood alone up to 2.3."""
        alone = ".".join(self.version.split(".")[:2]) in ALONE
        return self.generation == 2 and ("-tf" in self.version or not alone)

    @property
    def loses_masks_of_lists(self) -> bool:
        """Whether what is called on a list hands no mask on, as Keras 3.0 to 3.3 looked for one.

        Keras asked the list for its mask, not the tensors in it (``Layer.__call__``).
        """
        return self.generation > 2 and self.is_before(3, 4)

    def in_keras_2(self, kind: str, config: Any, stored: Arrays) -> Arrays:
        """The arrays of a layer, those of Keras 1 as Keras 2 would have stored them."""
        if generation_of(self.weights_version) > 1:
            return stored
        return Arrays.named(
            arrays_of_keras_1(
                kind,
                config,
                [array for _, array in stored.stored],
                flip=self.backend == THEANO,
                deviation=keeps_deviation(self.weights_version or self.version),
            )
        )

    @property
    def turns_kernels(self) -> bool:
        """Whether kernels are still as Theano has them: where it convolves, others correlate."""
        return self.backend == THEANO and generation_of(self.weights_version) > 1


def generation_of(version: str) -> int:
    """1, 2 or 3; a file that names no version is older than those that do."""
    major = version.split(".")[0]
    return min(max(int(major), 1), 3) if major.isdigit() else 1
