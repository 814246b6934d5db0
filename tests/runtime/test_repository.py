"""The model repository: all of a version or none of it, whatever goes wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.runtime import repository, weights
from cortex.runtime.check import Check, Recorded
from cortex.runtime.errors import RepositoryError, UnreadableFile, UsageError
from cortex.runtime.repository import (
    CHECK,
    CONFIG,
    INDEX,
    MODEL,
    NAME,
    ModelConfig,
    ModelVersion,
    install,
    newest,
    read_check,
    slug,
    versions,
    write_check,
    write_config,
)

from .networks import drawn


def installed(root: Path, name: str = "net", version: int | None = None) -> ModelVersion:
    """A version with a file in it."""
    with install(root, name, version) as stage:
        stage.model.write_text(f"{name} {stage.version}")
    return ModelVersion(name, stage.version, root / name / str(stage.version))


def files(root: Path) -> list[str]:
    """Everything under a folder, folders too."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_versions_are_numbered(tmp_path: Path) -> None:
    assert [installed(tmp_path).version for _ in range(3)] == [1, 2, 3]
    assert installed(tmp_path, version=7).version == 7
    assert installed(tmp_path).version == 8
    assert installed(tmp_path, version=5).version == 5
    assert installed(tmp_path, "other").version == 1
    found = [(at.name, at.version) for at in versions(tmp_path)]
    assert found == [("net", n) for n in (1, 2, 3, 5, 7, 8)] + [("other", 1)]
    assert (tmp_path / "net/7" / MODEL).read_text() == "net 7"


def test_what_is_installed_may_be_read_by_others(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        version = installed(tmp_path)
    finally:
        os.umask(before)
    assert version.path.stat().st_mode & 0o777 == 0o755
    assert version.model.stat().st_mode & 0o777 == 0o644


def test_versions_are_complete_ones_only(tmp_path: Path) -> None:
    installed(tmp_path)
    (tmp_path / "net/2").mkdir()  # no model
    (tmp_path / "net/03").mkdir()
    (tmp_path / "net/03" / MODEL).touch()
    (tmp_path / "net/latest").mkdir()
    (tmp_path / "net/latest" / MODEL).touch()
    (tmp_path / ".staging-1/1").mkdir(parents=True)
    (tmp_path / ".staging-1/1" / MODEL).touch()
    (tmp_path / "a file").touch()
    (tmp_path / "file").touch()
    assert [(at.name, at.version) for at in versions(tmp_path)] == [("net", 1)]
    assert newest(tmp_path / "net") == 2  # which is not to be written over
    assert newest(tmp_path / "none") == 0


def test_a_repository_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no such folder; name a model repository"):
        versions(tmp_path / "none")


def test_a_version_that_exists_is_not_replaced(tmp_path: Path) -> None:
    installed(tmp_path, version=4)
    before = files(tmp_path)
    with (
        pytest.raises(RepositoryError, match=r"net/4: this version exists; leave --version out"),
        install(tmp_path, "net", 4),
    ):
        raise AssertionError("nothing to do")
    assert files(tmp_path) == before


BAD_NAMES = ["", ".", "..", "../up", "a/b", "/etc", "-rf", ".hidden", "a b", "a\n", "ä", "a" * 129,
             "a\0b", ".staging-x", "~", "*"]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_no_folder_of_the_repository_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="model name"), install(tmp_path / "models", name):
        raise AssertionError("nothing to do")
    assert files(tmp_path) == []


@pytest.mark.parametrize("version", [0, -1, 10**18, True])
def test_a_version_that_is_no_number_is_refused(version: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="use a whole number"), install(tmp_path, "net", version):
        raise AssertionError("nothing to do")
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("stem", "name"),
    [("VGG 16", "vgg-16"), ("a.b-c_d", "a-b-c_d"), ("Ünïcode", "n-code"), ("../..", "model"),
     ("", "model"), ("-x-", "x")],
)  # fmt: skip
def test_the_name_of_a_file(stem: str, name: str) -> None:
    assert slug(stem) == name


@given(st.text(max_size=20))
def test_the_name_of_any_file_is_one_a_repository_takes(stem: str) -> None:
    assert NAME.fullmatch(slug(stem))


class Interrupted(BaseException):
    """As a KeyboardInterrupt is: no Exception."""


@pytest.mark.parametrize("error", [ValueError("no"), Interrupted(), UnreadableFile("no")])
def test_an_error_in_the_block_leaves_nothing(error: BaseException, tmp_path: Path) -> None:
    installed(tmp_path)
    before = files(tmp_path)

    def write(name: str) -> None:
        with install(tmp_path, name) as stage:
            stage.model.write_text("half")
            assert stage.path.is_dir()
            raise error

    for name in ("net", "new"):
        with pytest.raises(type(error)):
            write(name)
    assert files(tmp_path) == before


def no_space(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


DISK: Mapping[str, Callable[[pytest.MonkeyPatch], None]] = {
    "making the stage": lambda patch: patch.setattr(repository.tempfile, "mkdtemp", no_space),
    "flushing": lambda patch: patch.setattr(os, "fsync", no_space),
    "moving": lambda patch: patch.setattr(Path, "rename", no_space),
    "making the folder": lambda patch: patch.setattr(Path, "mkdir", no_space),
}


@pytest.mark.parametrize("fill", DISK.values(), ids=DISK)
@pytest.mark.parametrize("name", ["net", "new"])
def test_a_full_disk_leaves_what_was_there(
    name: str, fill: Callable[[pytest.MonkeyPatch], None], tmp_path: Path
) -> None:
    installed(tmp_path)
    before = files(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        fill(patch)
        with pytest.raises(RepositoryError) as raised:
            installed(tmp_path, name)
    assert str(raised.value) == (
        f"{tmp_path / name}: cannot install the model: No space left on device; nothing was changed"
    )
    assert files(tmp_path) == before
    assert installed(tmp_path, name).version == (2 if name == "net" else 1)


def test_a_disk_that_fills_as_the_model_is_written(tmp_path: Path) -> None:
    """The kernel's own error: /dev/full takes nothing."""

    def write() -> None:
        with install(tmp_path, "net") as stage, open("/dev/full", "wb", buffering=0) as full:
            stage.model.write_text("first")
            full.write(b"more")

    with pytest.raises(RepositoryError, match="cannot install the model: No space left on device"):
        write()
    assert files(tmp_path) == []


def test_an_error_of_another_file_names_it(tmp_path: Path) -> None:
    def write() -> None:
        with install(tmp_path, "net"):
            (tmp_path / "labels.txt").read_text()

    with pytest.raises(RepositoryError, match=r"No such file or directory: .*/labels.txt; nothing"):
        write()


KILLED = """
import sys, time
from pathlib import Path
from cortex.runtime.repository import install

with install(Path(sys.argv[1]), "net") as stage:
    stage.model.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_killed_installation_leaves_no_version_and_is_cleared_away(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    assert any(name.startswith(".staging-") for name in files(tmp_path))
    assert versions(tmp_path) == []
    assert installed(tmp_path).version == 1
    assert files(tmp_path) == ["net", "net/1", f"net/1/{MODEL}"]


def test_installations_wait_for_each_other(tmp_path: Path) -> None:
    inside: list[int] = []

    def work() -> None:
        with install(tmp_path, "net") as stage:
            inside.append(1)
            assert len(inside) == 1
            stage.model.touch()
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [at.version for at in versions(tmp_path)] == [1, 2, 3, 4]


CONFIGS: Mapping[str, tuple[str, str]] = {
    "no JSON": ("{", "Invalid JSON"),
    "no object": ("[]", "Input should be an object"),
    "unknown": ('{"batch": 3}', "batch: there is no such field"),
    "too small": ('{"max_batch": 0}', "max_batch: Input should be greater than or equal to 1"),
    "too large": ('{"queue_delay_ms": 1e9}', "queue_delay_ms: Input should be less than"),
    "a place that is none": ('{"providers": ["tpu"]}', "providers.0: Input should be 'tensorrt',"),
    "a policy that is none": ('{"version_policy": 3}', 'version_policy: use "all", {"lat'),
    "no versions": ('{"version_policy": []}', 'version_policy: use "all", {"latest": 2} or a list'),
    "none of the newest": (
        '{"version_policy": {"latest": 0}}',
        "version_policy.latest.latest: Input should be greater than or equal to 1",
    ),
    "label of a wrong type": ('{"labels": [3]}', "labels.0: Input should be a valid string"),
    "no text": ("\udcff", "Invalid JSON"),
}


@pytest.mark.parametrize(("text", "message"), CONFIGS.values(), ids=CONFIGS)
def test_a_config_that_makes_no_sense_says_where(text: str, message: str, tmp_path: Path) -> None:
    version = installed(tmp_path)
    file = tmp_path / "net" / CONFIG
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RepositoryError) as raised:
        version.config()
    assert str(raised.value).startswith(f"{file}: {message}")
    assert "\n" not in str(raised.value)


def test_a_config_comes_back(tmp_path: Path) -> None:
    version = installed(tmp_path)
    assert version.config() == ModelConfig()
    config = ModelConfig(labels=("a", "ä"), max_batch=8, providers=("cpu",))
    write_config(tmp_path, "net", config)
    assert version.config() == config
    assert json.loads((tmp_path / "net" / CONFIG).read_text()) == {
        "labels": ["a", "ä"],
        "max_batch": 8,
        "providers": ["cpu"],
    }
    assert files(tmp_path / "net") == ["1", f"1/{MODEL}", CONFIG]


def test_a_config_the_disk_will_not_have_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = installed(tmp_path)
    write_config(tmp_path, "net", ModelConfig(max_batch=8))
    before = files(tmp_path)
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(RepositoryError, match="cannot be written: No space left on device"):
        write_config(tmp_path, "net", ModelConfig(max_batch=9))
    assert version.config().max_batch == 8
    assert files(tmp_path) == before


def check() -> Check:
    values = {name: drawn((3, 40), i) for i, name in enumerate(("a/b", "c:0", "ä"))}
    return Check(
        {"x": drawn((3, 4)), "ids": np.arange(3)},
        {"c:0": Recorded.of(values["c:0"])},
        {name: Recorded.of(value, 50) for name, value in values.items()},
        1e-5,
        "recorded",
    )


def test_a_check_comes_back(tmp_path: Path) -> None:
    version = installed(tmp_path)
    assert version.check() is None
    wanted = check()
    write_check(version.path / CHECK, wanted)
    found = version.check()
    assert found is not None
    assert (found.tolerance, found.evidence) == (1e-5, "recorded")
    assert list(found.inputs) == ["x", "ids"]
    assert all(np.array_equal(found.inputs[n], wanted.inputs[n]) for n in wanted.inputs)
    for one, other in ((found.outputs, wanted.outputs), (found.layers, wanted.layers)):
        assert list(one) == list(other)
        for name, record in one.items():
            assert (record.shape, record.stride) == (other[name].shape, other[name].stride)
            assert np.array_equal(record.values, other[name].values)


def damaged(change: Callable[[dict[str, Any]], Any], path: Path) -> Path:
    """A check file of which ``change`` has damaged the index."""
    write_check(path / "whole", check())
    file = weights.WeightsFile.open(path / "whole")
    index = json.loads(file.metadata[INDEX])
    index = change(index) or index
    text = index if isinstance(index, str) else json.dumps(index)
    weights.write(path / CHECK, file.arrays(), {INDEX: text})
    return path / CHECK


DAMAGE: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "no JSON": lambda index: "{",
    "no object": lambda index: "[]",
    "deep": lambda index: "[" * 100_000,
    "nothing": lambda index: "{}",
    "an input that is not there": lambda index: index["inputs"].append("y"),
    "a layer that is not there": lambda index: index["layers"][0].update(name="y"),
    "another shape": lambda index: index["layers"][0].update(shape=[3, 400]),
    "a shape of a wrong type": lambda index: index["layers"][0].update(shape="340"),
    "a stride of nothing": lambda index: index["layers"][0].update(stride=0),
    "another stride": lambda index: index["layers"][0].update(stride=1),
    "a fractional stride": lambda index: index["layers"][0].update(stride=2.5),
    "a tolerance of a wrong type": lambda index: index.update(tolerance="little"),
    "outputs of a wrong type": lambda index: index.update(outputs={"c:0": 1}),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_check_is_an_unreadable_file(
    change: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    file = damaged(change, tmp_path)
    with pytest.raises(UnreadableFile, match="a damaged check file") as raised:
        read_check(file)
    assert str(raised.value).startswith(f"{file}: ")


def test_a_file_that_is_no_check_is_an_unreadable_file(tmp_path: Path) -> None:
    weights.write(tmp_path / "w", {}, {})
    (tmp_path / "h").write_bytes(b"\x89HDF")
    for name in ("w", "h"):
        with pytest.raises(UnreadableFile):
            read_check(tmp_path / name)
