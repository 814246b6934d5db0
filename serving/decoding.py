"""Pictures that clients send as they are, for models that ask for it: decoded on threads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..runtime.errors import UnreadableFile
from ..runtime.pictures import PictureReader
from ..runtime.preprocessing import Preprocessing
from ..runtime.repository import ModelConfig
from .datatypes import BYTES
from .engine.providers import cores
from .engine.session import TensorSpec
from .errors import InvalidArgument
from .pictures import picture_readers
from .tensors import Array


class Decoding:
    """The inputs of a model as clients see them: those that are pictures as BYTES of [-1, 1].

    That is how Triton's clients send pictures, an element each. The threads are the model's own,
    as many as there are cores, whatever is asked.
    """

    def __init__(self, specs: Sequence[TensorSpec], readers: Mapping[str, PictureReader]) -> None:
        self.readers = readers
        self.inputs: Sequence[TensorSpec] = [
            TensorSpec(spec.name, BYTES, (spec.shape[0], 1)) if spec.name in readers else spec
            for spec in specs
        ]
        self._threads = ThreadPoolExecutor(cores(), "cortex-pictures")

    @classmethod
    def create(cls, specs: Sequence[TensorSpec], config: ModelConfig) -> Decoding | None:
        """That of a model which takes ``specs``; None where its config does not ask for it.

        Raises:
            Unsupported: what the config says of pictures does not fit the model.
        """
        how = config.preprocessing
        if how is None and not config.decode_images:
            return None
        described = [(spec.name, spec.sizes, spec.datatype) for spec in specs]
        readers = picture_readers(described, how or Preprocessing())  # clients follow it, too
        return cls(specs, readers) if config.decode_images else None

    async def arrays(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The inputs as the model takes them.

        Raises:
            InvalidArgument: an element is no picture that will do.
        """
        run = asyncio.get_running_loop().run_in_executor
        found = dict(inputs)
        for name in self.readers:
            found[name] = await run(self._threads, self._read, name, inputs[name])
        return found

    def _read(self, name: str, array: Array) -> Array:
        pictures: list[bytes] = array.reshape(-1).tolist()
        try:
            return self.readers[name].read(pictures, lambda n: f"input {name!r}, picture {n}")
        except UnreadableFile as error:
            raise InvalidArgument(str(error)) from None

    def close(self) -> None:
        """Lets its threads go; what they have not begun is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
