"""Files that are no models, or that would harm: each refused in one line that says why."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5s, h5t  # pyright: ignore[reportAttributeAccessIssue]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex.importer import load
from cortex.importer.keras.containers.hdf5 import Group, open_file
from cortex.runtime.errors import CortexError, UnreadableFile

from .keras_files import small_model


def write_text(text: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(text)


def truncated(path: Path) -> None:
    small_model(path)
    path.write_bytes(path.read_bytes()[:3000])


def no_config(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("model_weights").attrs["layer_names"] = np.array([], "S1")


def edited(change: Callable[[h5py.File], None]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        small_model(path)
        with h5py.File(path, "r+") as file:
            change(file)

    return make


KERNEL = "model_weights/hidden/hidden/kernel:0"


def replaced(make: Callable[[h5py.File], None]) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        del file[KERNEL]
        make(file)

    return edited(change)


def external_link(file: h5py.File) -> None:
    file[KERNEL] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file: h5py.File) -> None:
    file[KERNEL] = h5py.SoftLink("/model_weights/classes/classes/kernel:0")


def external_data(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (4, 3), "f4", external=[("/etc/passwd", 0, 48)])


def virtual_data(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4, 3))
    file.create_virtual_dataset(KERNEL, layout)


def shape_bomb(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (1 << 20, 1 << 19), "f4", chunks=(1024, 1024))


def bomb_below_the_limit(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (1 << 15, 1 << 15), "f4", chunks=(1024, 1024))


def objects(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (4,), h5py.string_dtype())


def not_a_dataset(file: h5py.File) -> None:
    file.create_group(KERNEL)


def chunk_bomb(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (12,), "f4", chunks=(1 << 28,), maxshape=(None,))


def other_filter(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (4, 3), "i4", scaleoffset=2)


def odd_number(file: h5py.File) -> None:
    kind = h5t.IEEE_F32LE.copy()
    kind.set_fields(31, 22, 9, 0, 22)
    place = h5d.create(file.id, KERNEL.encode(), kind, h5s.create_simple((4, 3)))
    place.write(h5s.ALL, h5s.ALL, np.ones((4, 3), np.float32))


def many_links(file: h5py.File) -> None:
    group = file.create_group("many")
    for number in range(100_001):
        group.id.links.create_hard(str(number).encode(), group.id, b"/model_weights")


def deep_groups(file: h5py.File) -> None:
    group: Any = file
    for _ in range(101):
        group = group.create_group("g")


def compound_attribute(file: h5py.File) -> None:
    del file.attrs["model_config"]
    file.attrs["model_config"] = np.zeros(2, [("a", "i4"), ("b", "f4")])


def numeric_attribute(file: h5py.File) -> None:
    file.attrs["model_config"] = 3


def huge_attribute(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["x"] = np.zeros(14_000_000)


def overlapping(path: Path) -> None:
    """Twenty arrays that say they are stored in the same place."""
    size, nowhere = 40_000, b"\xff" * 8
    with h5py.File(path, "w") as file:
        first: Any = file.create_dataset("0", data=np.ones(size // 4, np.float32))
        for number in range(1, 20):
            file.create_dataset(str(number), (size // 4,), "f4")
        place = int(first.id.get_offset()).to_bytes(8, "little")
    length = size.to_bytes(8, "little")
    path.write_bytes(path.read_bytes().replace(nowhere + length, place + length))


def echoes(path: Path) -> None:
    """An attribute of many long strings, each of which is the same one."""
    text = "x" * (4 << 20)
    with h5py.File(path, "w") as file:
        file.attrs.create("model_config", [text] + ["y"] * 3999, dtype=h5py.string_dtype())
    raw = path.read_bytes()
    start = raw.index(len(text).to_bytes(4, "little"))
    first = raw[start : start + 16]
    path.write_bytes(raw[:start] + first * 4000 + raw[start + 16 * 4000 :])


def config(text: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file.attrs["model_config"] = text

    return change


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (write_text(b""), "it is empty"),
    "text": (write_text(b"hello, world"), "it is text, but no architecture"),
    "zip": (write_text(b"PK\x03\x04" + bytes(30)), "a truncated or damaged zip archive"),
    "pointer": (write_text(b"version https://git-lfs"), "a pointer of Git LFS"),
    "json without weights": (write_text(b'{"class_name": "Model", "config": {}}'), "add --weights"),
    "truncated": (truncated, "truncated or damaged"),
    "weights only": (no_config, "it holds weights only"),
    "no weights": (edited(lambda f: f.__delitem__("model_weights")), "it has no weights"),
    "external link": (replaced(external_link), "ExternalLink, which is refused"),
    "soft link": (replaced(soft_link), "SoftLink, which is refused"),
    "external data": (replaced(external_data), "outside the file, which is refused"),
    "virtual data": (replaced(virtual_data), "outside the file, which is refused"),
    "shape bomb": (replaced(shape_bomb), "it declares 2,199,023,255,552 bytes"),
    "small bomb": (replaced(bomb_below_the_limit), "it declares 4,294,967,296 bytes"),
    "chunk bomb": (replaced(chunk_bomb), "one chunk of it is 1,073,741,824 bytes, refused"),
    "filter": (replaced(other_filter), "compressed by filter 6; only gzip and lzf"),
    "odd numbers": (replaced(odd_number), "it holds float64, not numbers"),
    "deep groups": (edited(deep_groups), "or 100 groups in each other"),
    "overlap": (overlapping, "its arrays claim 800,000 bytes of a file of"),
    "compound": (edited(compound_attribute), "'model_config' is neither text nor numbers"),
    "number for text": (edited(numeric_attribute), "no text"),
    "strings": (replaced(objects), "not numbers"),
    "group for dataset": (replaced(not_a_dataset), "is no dataset"),
    "missing array": (replaced(lambda _: None), "'kernel:0' is missing"),
    "no json": (edited(config("{")), "it is no JSON"),
    "deep json": (edited(config("[" * 100_000)), "more than 200 levels deep"),
    "json of something": (edited(config("[1, 2]")), "is no architecture of Keras"),
    "nonsense": (
        edited(config('{"class_name": "Model", "config": {"layers": 3}}')),
        "its architecture cannot be understood",
    ),
    "no layers": (
        edited(config('{"class_name": "Sequential", "config": []}')),
        "its architecture cannot be understood|a model without layers",
    ),
}


SLOW: dict[str, tuple[Callable[[Path], Any], str]] = {
    "many links": (edited(many_links), "/many: more than 100,000 objects"),
    "huge attribute": (huge_attribute, "the attribute 'x' is too large"),
    "echoes": (echoes, "damaged HDF5 file: .*memory"),
}


@pytest.mark.parametrize(
    "case", [*HOSTILE, *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW)]
)
def test_is_refused(case: str, tmp_path: Path) -> None:
    make, message = {**HOSTILE, **SLOW}[case]
    path = tmp_path / "model.h5"
    make(path)
    with pytest.raises(UnreadableFile, match=message) as caught:
        load(path)
    path.unlink()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_groups_that_hold_each_other_are_walked_once(tmp_path: Path) -> None:
    path = small_model(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        file["model_weights/hidden/again"] = file["model_weights"]
        file["model_weights/itself"] = file["/"]
    assert load(path).network.graph.outputs.keys() == {"classes"}
    with open_file(path) as file:
        assert sorted(Group(path, file).datasets()) == [
            f"model_weights/{layer}/{layer}/{array}:0"
            for layer in ("classes", "hidden")
            for array in ("bias", "kernel")
        ]


def test_arrays_in_chunks_are_read(tmp_path: Path) -> None:
    path, values = tmp_path / "a.h5", np.arange(60.0).reshape(12, 5)
    options: list[dict[str, Any]] = [
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"compression": "lzf", "maxshape": (None, 5)},
    ]
    with h5py.File(path, "w", userblock_size=1024) as file:
        for number, option in enumerate(options):
            file.create_dataset(str(number), data=values, chunks=(5, 2), **option)
    with open_file(path) as file:
        arrays = [Group(path, file).array(name) for name in ("0", "1")]
    for array in arrays:
        np.testing.assert_array_equal(array, values)


def test_a_name_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_group("a\n\x1b[2J")["x"] = h5py.SoftLink("/")
    with (
        pytest.raises(UnreadableFile, match=r"a\\n\\x1b.*'x' is a SoftLink") as caught,
        open_file(path),
    ):
        pass
    assert str(caught.value).isprintable()


def test_raw_bfloat16_becomes_float32(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for kind in ("u2", "V2"):
            raw = np.array([0x3F80, 0xC000], np.uint16).view(kind)
            file.create_dataset(kind, data=raw).attrs["dtype"] = "bfloat16"
    with open_file(path) as file:
        arrays = [Group(path, file).array(name) for name in ("u2", "V2")]
    for array in arrays:
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, [1, -2])


def test_there_must_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no such file"):
        load(tmp_path / "absent.h5")


def test_a_name_list_in_pieces_is_read_whole(tmp_path: Path) -> None:
    path = small_model(tmp_path / "model.h5")
    whole = load(path).network
    with h5py.File(path, "r+") as file:
        names: Any = file["model_weights"].attrs["layer_names"]
        del file["model_weights"].attrs["layer_names"]
        for i, name in enumerate(names):
            file["model_weights"].attrs[f"layer_names{i}"] = [name]
    pieces = load(path).network
    assert pieces.graph == whole.graph
    assert pieces.parameters.keys() == whole.parameters.keys()


def test_an_architecture_and_weights_in_two_files(tmp_path: Path) -> None:
    path = small_model(tmp_path / "model.h5")
    whole = load(path).network
    with h5py.File(path) as file:
        architecture = json.loads(str(file.attrs["model_config"]))
    (tmp_path / "model.json").write_text(json.dumps({**architecture, "keras_version": "2.4.0"}))
    parts = load(tmp_path / "model.json", path).network
    x = {"x": np.ones((2, 4), np.float32)}
    np.testing.assert_array_equal(parts.run(x)["classes"], whole.run(x)["classes"])


ONE_FOLDER = [HealthCheck.function_scoped_fixture]


@settings(max_examples=60, deadline=None, suppress_health_check=ONE_FOLDER)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(share: float, tmp_path: Path) -> None:
    path = small_model(tmp_path / "model.h5")
    raw = path.read_bytes()
    path.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(UnreadableFile):
        load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children)
    ),
    max_leaves=4,
)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a tree of JSON."""
    items: Any = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found: list[tuple[Any, Any]] = []
    for key, value in list(items):
        found.append((tree, key))
        if isinstance(value, dict | list):
            found += places(value)
    return found


@settings(max_examples=300, deadline=None, suppress_health_check=ONE_FOLDER)
@given(data=st.data())
def test_an_architecture_with_a_surprise_is_read_right_or_refused(
    data: st.DataObject, tmp_path: Path
) -> None:
    """Any value anywhere replaced by any other: an answer or an error of ours, nothing else."""
    path = small_model(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        architecture = json.loads(str(file.attrs["model_config"]))
        spots = places(architecture)
        for _ in range(data.draw(st.integers(1, 2))):
            container, key = spots[data.draw(st.integers(0, len(spots) - 1))]
            container[key] = data.draw(JSON)
        file.attrs["model_config"] = json.dumps(architecture)
    with contextlib.suppress(CortexError):
        network = load(path).network
        inputs = {
            name: np.zeros([2 if isinstance(n, str) else n for n in tensor.shape])
            for name, tensor in network.graph.inputs.items()
        }
        assert network.run(inputs)
