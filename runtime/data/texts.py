"""Text for networks that learn to continue it: characters, and the same moved on by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableFile, UsageError
from ..files import regular
from .dataset import INPUT, TARGET, Batch, Task
from .encoders import one_hot
from .rows import Index, Rows, check_size

Array = NDArray[Any]
Encoding = Literal["ids", "one_hot"]

LARGEST = 1 << 30  # bytes


@dataclass(frozen=True)
class Alphabet:
    """The characters that have numbers, in their order."""

    characters: str

    @classmethod
    def of(cls, text: str) -> Alphabet:
        """Those of a text, sorted."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Array:
        """The number of each character, int32.

        Raises:
            UsageError: one has none.
        """
        known = np.frombuffer(self.characters.encode("utf-32-le"), np.uint32)
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        order = np.argsort(known)
        ids = order[np.searchsorted(known, points, sorter=order).clip(max=len(known) - 1)]
        if len(wrong := np.flatnonzero(known[ids] != points)):
            at = int(wrong[0])
            raise UsageError(f"character {text[at]!r} at {at} is not in the alphabet")
        return ids.astype(np.int32)

    def decode(self, ids: Any) -> str:
        """The text of numbers."""
        return "".join(self.characters[number] for number in np.asarray(ids).reshape(-1))


class Text(Rows):
    """Stretches of ``length`` characters, and as ``target`` what follows each of them.

    Args:
        text: the whole.
        length: of a stretch; they follow each other without a gap.
        alphabet: by default the characters that occur.
        inputs, targets: numbers of characters, int32 [n, length], or one-hot, float32
            [n, length, characters].
        stateful: whether row r of a batch continues row r of the one before it, for networks that
            keep their state; what would make the last batch smaller is left out.

    Raises:
        UsageError: the text is too short, or has a character that the alphabet lacks.
    """

    def __init__(
        self,
        text: str,
        length: int,
        *,
        alphabet: Alphabet | None = None,
        inputs: Encoding = "ids",
        targets: Encoding = "ids",
        stateful: bool = False,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        super().__init__(seed=seed, shuffle=shuffle and not stateful)
        if length < 1 or len(text) <= length:
            raise UsageError(f"{len(text):,} characters have no stretch of {length} and the next")
        self.alphabet = Alphabet.of(text) if alphabet is None else alphabet
        if not len(self.alphabet):
            raise UsageError("the alphabet is empty")
        ids = self.alphabet.encode(text)
        count = (len(ids) - 1) // length
        self._ids = {
            name: ids[first : count * length + first].reshape(count, length)
            for first, name in enumerate((INPUT, TARGET))
        }
        self._encodings = {INPUT: inputs, TARGET: targets}
        self._stateful = stateful

    def __len__(self) -> int:
        return len(self._ids[INPUT])

    def take(self, rows: Index) -> Batch:
        return {name: self._encoded(name, ids[rows]) for name, ids in self._ids.items()}

    def tasks(self, size: int, epoch: int | None = None) -> Iterator[Task]:
        """What makes each of ``batches``; those of stateful text are in step with each other."""
        check_size(size)
        if not self._stateful:
            yield from super().tasks(size, epoch)
            return
        lanes = min(size, len(self))
        steps = len(self) // lanes
        for step in range(steps):
            yield lambda step=step: self.take(np.arange(lanes) * steps + step)

    def _encoded(self, name: str, ids: Array) -> Array:
        return one_hot(ids, len(self.alphabet)) if self._encodings[name] == "one_hot" else ids


def read_text(path: Path | str, length: int, **options: Any) -> Text:
    """A file in UTF-8 as stretches of characters; ``options`` are those of ``Text``.

    Raises:
        UnreadableFile: not such a file.
    """
    path = Path(path)
    if regular(path).stat().st_size > LARGEST:
        raise UnreadableFile(f"{path}: more than {LARGEST:,} bytes are too many")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path}: not text in UTF-8: byte {error.start}") from None
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from None
    return Text(text, length, **options)
