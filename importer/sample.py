"""The input a model is checked with where nobody gives one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ..runtime.check import Array
from ..runtime.errors import GraphError, UnreadableFile, Unsupported, UsageError
from ..runtime.files import regular
from ..runtime.ir import Graph, infer
from ..runtime.network import sizes_of
from ..runtime.ops import Embedding
from ..runtime.tensor import STRING, Tensor
from .sample_text import strings_for

ROWS = 2
OPEN_LENGTH = 16
SMALLEST_IMAGE = 64
LARGEST = 1 << 27
"""Numbers in an input that is made up; more are no network's, but a file's that wants memory."""
IMAGE_SIZES = (SMALLEST_IMAGE, 96, 128, 160, 192, 224, 256, 299, 331, 512)


def sample_inputs(graph: Graph) -> dict[str, Array]:
    """Two rows of every input.

    Floats are uniform in [-1, 1) from Philox(0), ids below the smallest vocabulary they feed,
    strings words of the vocabulary they are looked up in and one that is not, states zero. Open
    lengths are 16; open images the smallest size from 64 on that the network accepts.

    Raises:
        Unsupported: no size that was tried fits, or an input is too large to be made up.
    """
    generator = np.random.Generator(np.random.Philox(0))
    sizes = _open_sizes(graph)
    for name, tensor in graph.inputs.items():
        if math.prod(_shape(tensor, sizes)) > LARGEST:
            shape = tuple(tensor.shape[1:])
            raise Unsupported(f"input {name!r} of shape {shape} is too large; give one by --input")
    drawn = {
        name: strings_for(graph, name, _shape(tensor, sizes), generator)
        if tensor.dtype == STRING
        else _drawn(generator, tensor, sizes, _vocabulary(graph, name))
        for name, tensor in graph.inputs.items()
        if name not in graph.states
    }
    return drawn | first_states(graph, drawn)


def first_states(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The states of a first call, which are zeros, for these inputs."""
    sizes: dict[str, int] = {}
    for name, array in inputs.items():
        if name in graph.inputs:
            sizes |= zip(map(str, graph.inputs[name].shape), array.shape, strict=False)
    shapes = {name: graph.inputs[name].shape for name in graph.states}
    return {
        name: np.zeros([n if isinstance(n, int) else sizes.get(n, 1) for n in shape], np.float32)
        for name, shape in shapes.items()
    }


def given_inputs(graph: Graph, path: Path) -> dict[str, Array]:
    """The arrays of an .npy file, for a network of one input, or of an .npz file by input name.

    Raises:
        UnreadableFile: no such file, or not NumPy's.
        UsageError: arrays that do not fit the network.
    """
    try:
        loaded: Any = np.load(regular(path), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            if len(graph.inputs) != 1:
                raise UsageError(f"{path}: the inputs are {sorted(graph.inputs)}; give an .npz")
            arrays: dict[str, Array] = {next(iter(graph.inputs)): loaded}
        else:
            with loaded:
                arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, BadZipFile):  # numpy's words tell how to unpickle it
        raise UnreadableFile(f"{path}: not an .npy or .npz file of numbers") from None
    return fitting(graph, arrays, str(path))


def fitting(graph: Graph, arrays: Mapping[str, Array], source: str) -> dict[str, Array]:
    """The arrays in the dtypes the network takes, if they are what it takes.

    Raises:
        UsageError: another shape, no numbers, numbers that are not finite, or no strings.
    """
    try:
        sizes_of(graph.inputs, arrays)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None
    for name, array in arrays.items():
        if graph.inputs[name].dtype == STRING:
            if array.dtype.kind != "U" and not all(isinstance(one, str) for one in array.flat):
                raise UsageError(f"{source}: input {name!r}: it must hold strings")
        elif array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise UsageError(f"{source}: input {name!r}: it must hold finite numbers")
    return {name: arrays[name].astype(_dtype(tensor)) for name, tensor in graph.inputs.items()}


def _dtype(tensor: Tensor) -> str:
    return {"float": "float32", STRING: "object"}.get(tensor.dtype, tensor.dtype)


def _drawn(
    generator: np.random.Generator, tensor: Tensor, sizes: Mapping[str, int], vocabulary: int
) -> Array:
    shape = _shape(tensor, sizes)
    if tensor.dtype == "float" and not vocabulary:
        return generator.uniform(-1, 1, shape).astype(np.float32)
    if tensor.dtype == "bool":
        return generator.random(shape) < 0.5
    ids = generator.integers(0, vocabulary or 2, shape)
    return ids.astype(_dtype(tensor))


def _shape(tensor: Tensor, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(sizes[n] if isinstance(n, str) else n for n in tensor.shape)


def _vocabulary(graph: Graph, name: str) -> int:
    """The smallest vocabulary of the embeddings that look up this input; 0 if none does."""
    sizes = [
        n.op.vocabulary for n in graph.nodes if isinstance(n.op, Embedding) and name in n.inputs
    ]
    return min(sizes, default=0)


def _open_sizes(graph: Graph) -> Mapping[str, int]:
    names = {n for tensor in graph.inputs.values() for n in tensor.shape if isinstance(n, str)}
    images = {
        n for t in graph.inputs.values() if t.rank > 3 for n in t.shape[1:] if isinstance(n, str)
    }
    lengths = dict.fromkeys(names - images - {"N"}, OPEN_LENGTH)
    trials: Sequence[int] = IMAGE_SIZES if images else (0,)
    problem = ""
    for size in trials:
        sizes = {"N": ROWS, **lengths, **dict.fromkeys(images, size)}
        try:
            infer(graph, sizes)
        except GraphError as error:
            problem = str(error)
        else:
            return sizes
    raise Unsupported(
        f"no size of the open axes {sorted(names)} fits ({problem}); give one by --input"
    )
