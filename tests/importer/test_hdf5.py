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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex.importer import load
from cortex.runtime.errors import CortexError, UnreadableFile

from .keras_files import small_model


def write_text(text: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(text)


def truncated(path: Path) -> None:
    small_model(path)
    path.write_bytes(path.read_bytes()[:3000])


def no_config(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("model_weights").attrs["layer_names"] = [b"a"]


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


def config(text: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file.attrs["model_config"] = text

    return change


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (write_text(b""), "it is empty"),
    "text": (write_text(b"hello, world"), "it starts with b'hello, w'"),
    "zip": (write_text(b"PK\x03\x04" + bytes(30)), "a zip archive"),
    "pointer": (write_text(b"version https://git-lfs"), "a pointer of Git LFS"),
    "json without weights": (write_text(b'{"class_name": "Model"}'), "add --weights"),
    "truncated": (truncated, "truncated or damaged"),
    "weights only": (no_config, "these are weights only"),
    "no weights": (edited(lambda f: f.__delitem__("model_weights")), "it has no weights"),
    "external link": (replaced(external_link), "ExternalLink, which is refused"),
    "soft link": (replaced(soft_link), "SoftLink, which is refused"),
    "external data": (replaced(external_data), "outside the file, which is refused"),
    "virtual data": (replaced(virtual_data), "outside the file, which is refused"),
    "shape bomb": (replaced(shape_bomb), "it declares 2,199,023,255,552 bytes"),
    "small bomb": (replaced(bomb_below_the_limit), "it declares 4,294,967,296 bytes"),
    "strings": (replaced(objects), "not numbers"),
    "group for dataset": (replaced(not_a_dataset), "is no dataset"),
    "missing array": (replaced(lambda _: None), "'kernel:0' is missing"),
    "no json": (edited(config("{")), "its architecture is no JSON"),
    "deep json": (edited(config("[" * 100_000)), "its architecture is no JSON"),
    "json of something": (edited(config("[1, 2]")), "names no model"),
    "nonsense": (
        edited(config('{"class_name": "Model", "config": {"layers": 3}}')),
        "its architecture cannot be understood",
    ),
    "no layers": (
        edited(config('{"class_name": "Sequential", "config": []}')),
        "its architecture cannot be understood|a model without layers",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_is_refused(case: str, tmp_path: Path) -> None:
    make, message = HOSTILE[case]
    path = tmp_path / "model.h5"
    make(path)
    with pytest.raises(UnreadableFile, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


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
