"""ONNX files that lie: each is refused by name, soon, and with memory flat."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from cortex.importer.onnx.build import described
from cortex.importer.onnx.file import read_file
from cortex.importer.onnx.reader import read
from cortex.importer.source import ModelSource
from cortex.runtime.errors import CortexError, UnreadableFile, Unsupported

from .onnx_files import (
    as_external,
    convnet,
    drawn,
    ints,
    model,
    node,
    recurrent,
    saved,
    transformer,
)

SECONDS, BYTES = 1.0, 32 << 20
SQUARE = {"x": ("N", 4)}


def lying(change: Callable[[TensorProto], Any]) -> ModelProto:
    """A model whose one array was changed."""
    proto = model([node("MatMul", "x w", "y")], SQUARE, {"y": None}, {"w": drawn(4, 4)})
    change(proto.graph.initializer[0])
    return proto


def shaped(*dims: int) -> ModelProto:
    """One whose array says it has another shape."""

    def change(tensor: TensorProto) -> None:
        del tensor.dims[:]
        tensor.dims.extend(dims)

    return lying(change)


def outside(**entries: str) -> ModelProto:
    """One whose array is said to lie in another file."""

    def change(tensor: TensorProto) -> None:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)

    return lying(change)


def deep(levels: int) -> ModelProto:
    """An If in an If in an If."""
    body = last = helper.make_graph([node("Identity", "x", "y")], "g", [], [])
    for _ in range(levels):
        inner = helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=last)
        body = helper.make_graph([inner], "g", [], [])
    return model(list(body.node), SQUARE, {"y": None})


def doubling(kind: str, times: int) -> ModelProto:
    """A few nodes that ask for an array of 2**times parts."""
    nodes = [node("Shape", "x", "a0")]
    nodes += [
        node(kind, f"a{i} a{i}", f"a{i + 1}", **({"axis": 0} if kind == "Concat" else {}))
        for i in range(times)
    ]
    return model([*nodes, node("Reshape", f"x a{times}", "y")], SQUARE, {"y": None})


def filling(size: int) -> ModelProto:
    """A constant of any size, in a few bytes."""
    nodes = [node("ConstantOfShape", "s", "c"), node("Add", "x c", "y")]
    return model(nodes, SQUARE, {"y": None}, {"s": ints(size, 4)})


def turning(times: int) -> ModelProto:
    """A weight that is transposed over and over."""
    nodes = [node("Transpose", f"w{i}", f"w{i + 1}") for i in range(times)]
    nodes += [node("MatMul", f"x w{times}", "y")]
    return model(nodes, SQUARE, {"y": None}, {"w0": drawn(4, 4)})


def repeated(times: int) -> ModelProto:
    """Named dimensions that multiply."""
    nodes = [node("Reshape", "x s", "y")]
    return model(nodes, {"x": ("N", *(f"d{i}" for i in range(times)))}, {"y": None},
                 {"s": ints(0, -1)})  # fmt: skip


HOSTILE: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "more elements than bytes": (lambda: shaped(1 << 40, 4), "a shape of"),
    "a size below zero": (lambda: shaped(-4, -4), "its shape is"),
    "sizes that overflow": (lambda: shaped(1 << 62, 1 << 62, 0), "a shape of"),
    "a hundred axes": (lambda: shaped(*[1] * 100), "its shape is"),
    "fewer elements than bytes": (lambda: shaped(2, 2), "a shape of"),
    "an array elsewhere": (lambda: outside(location="/etc/passwd"), "no place in the model's"),
    "an array above": (lambda: outside(location="../w.bin"), "no place in the model's"),
    "an array nowhere": (lambda: outside(location="w.bin"), "no such file"),
    "an array without a place": (outside, "no place in the model's folder"),
    "an array behind the end": (lambda: outside(location="net.onnx", offset="999999999"), "bytes"),
    "an array before the start": (lambda: outside(location="net.onnx", offset="-8"), "no place"),
    "an array at no number": (lambda: outside(location="net.onnx", offset="x"), "no place"),
    "an array longer than it is": (lambda: outside(location="net.onnx", length="1"), "bytes"),
    "a name with a zero byte": (lambda: outside(location="w\0.bin"), "no place"),
    "a node of nothing": (
        lambda: model([node("Relu", "missing", "y")], SQUARE, {"y": None}),
        "not a valid ONNX model",
    ),
    "a value computed twice": (
        lambda: model([node("Relu", "x", "y"), node("Abs", "x", "y")], SQUARE, {"y": None}),
        "not a valid ONNX model",
    ),
    "nodes in a circle": (
        lambda: model([node("Add", "x b", "a"), node("Abs", "a", "b")], SQUARE, {"a": None}),
        "not a valid ONNX model",
    ),
    "an operator nobody knows": (
        lambda: model([node("Own", "x", "y")], SQUARE, {"y": None}),
        "not a valid ONNX model",
    ),
    "a type nobody knows": (
        lambda: lying(lambda tensor: setattr(tensor, "data_type", 99)),
        "type 99|not a valid",
    ),
    "loops in loops": (lambda: deep(20), "If"),
    "shapes that double": (lambda: doubling("Concat", 40), "open sizes|cannot take"),
    "sizes that square": (lambda: doubling("Mul", 60), "too many factors|too large|cannot take"),
    "a constant of any size": (lambda: filling(1 << 40), "is too large"),
    "a weight turned for ever": (lambda: turning(5000), "changed too often"),
    "sixty open sizes": (lambda: repeated(60), "its 61 axes are too many"),
    "a reshape of too many axes": (
        lambda: model([node("Reshape", "x s", "y")], SQUARE, {"y": None},
                      {"s": np.ones(5000, np.int64)}),
        "5000 axes",
    ),
    "a split into too much": (
        lambda: model([node("Split", "x", "y", axis=1, split=[1 << 40])], SQUARE, {"y": None},
                      opset=11),
        "its parts",
    ),
    "windows of nothing": (
        lambda: model([node("Conv", "i w", "y", strides=[0])], {"i": ("N", 4, 8)}, {"y": None},
                      {"w": drawn(4, 4, 3)}),
        "strides|do not fit",
    ),
    "a group of no channels": (
        lambda: model([node("Conv", "i w", "y", group=3)], {"i": ("N", 4, 8)}, {"y": None},
                      {"w": drawn(4, 4, 3)}),
        "in 3 groups for 4 channels",
    ),
    "an axis that is not there": (
        lambda: model([node("Softmax", "x", "y", axis=7)], SQUARE, {"y": None}),
        "has no axis 7",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused(case: str, tmp_path: Path) -> None:
    make, said = HOSTILE[case]
    path = saved(tmp_path / "net.onnx", make())
    described(read_file(saved(tmp_path / "warm.onnx", convnet())))  # so that imports do not count
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises((UnreadableFile, Unsupported), match=said) as caught:
            described(read_file(path))
        assert time.perf_counter() - start < SECONDS * 3  # tracemalloc takes two thirds of it
        assert tracemalloc.get_traced_memory()[1] < BYTES + 8 * path.stat().st_size
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_arrays_reached_through_a_link(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.bin").symlink_to(secret)
    path = saved(folder / "net.onnx", outside(location="w.bin"))
    with pytest.raises(UnreadableFile, match="no place in the model's folder"):
        read(ModelSource(path))


def test_an_array_of_a_model_served_as_it_is_is_confined_too(tmp_path: Path) -> None:
    proto = outside(location="../w.bin")
    proto.graph.node.append(node("NonZero", "y", "z"))
    with pytest.raises(UnreadableFile, match="no place in the model's folder"):
        read(ModelSource(saved(tmp_path / "net.onnx", proto)))


def test_arrays_that_would_lie_over_the_check(tmp_path: Path) -> None:
    proto = as_external(lying(lambda _: None), "check.safetensors")
    proto.graph.node.append(node("NonZero", "y", "z"))
    (tmp_path / "check.safetensors").write_bytes(bytes(64))
    onnx.save(proto, tmp_path / "net.onnx")
    with pytest.raises(UnreadableFile, match=r"it keeps arrays in 'check\.safetensors'"):
        read(ModelSource(tmp_path / "net.onnx"))


VALID = [make().SerializeToString() for make in (convnet, lambda: recurrent("LSTM"), transformer)]


@pytest.mark.parametrize("whole", VALID)
def test_cut_short(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(CortexError):
            described(read_file(path))


@given(st.sampled_from(VALID), st.integers(0, 1 << 32), st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_bytes_changed_anywhere(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, seed: int, count: int
) -> None:
    chance, changed = random.Random(seed), bytearray(whole)
    for _ in range(count):
        changed[chance.randrange(min(len(changed), 4000))] = chance.randrange(256)
    path = tmp_path_factory.getbasetemp() / "changed.onnx"
    path.write_bytes(changed)
    start, said = time.perf_counter(), ""
    try:
        network = described(read_file(path)).network
        for array in network.parameters.values():
            np.asarray(array)
    except CortexError as error:
        said = str(error)
    assert "\n" not in said
    assert time.perf_counter() - start < 10
    path.unlink()
