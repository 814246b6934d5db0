"""What is found in repositories, however they are laid out, and what is refused."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import pytest

from cortex.runtime.errors import CortexError, RepositoryError
from cortex.runtime.repository import ModelConfig
from cortex.runtime.versions import Latest, VersionPolicy, candidates
from cortex.serving.repository import layout, triton
from cortex.serving.repository.catalogue import Catalogue
from cortex.serving.repository.proof import outcomes

from .adders import adder, graph
from .running import anywhere

PLAIN: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]] = {
    # files of a repository, and the versions found with the graph of each, or why there is none
    "ours": (
        {"net/1/model.onnx": "", "net/2/model.onnx": ""},
        {"1": "model.onnx", "2": "model.onnx"},
    ),
    "any name": ({"net/3/resnet.onnx": ""}, {"3": "resnet.onnx"}),
    "ours among others": ({"net/1/a.onnx": "", "net/1/model.onnx": ""}, {"1": "model.onnx"}),
    "no version": ({"net/resnet.onnx": ""}, {"1": "resnet.onnx"}),
    "no version, with settings": ({"net/m.onnx": "", "net/config.json": "{}"}, {"1": "m.onnx"}),
    "versions before loose files": (
        {"net/m.onnx": "", "net/2/model.onnx": ""},
        {"2": "model.onnx"},
    ),
    "two graphs": (
        {"net/1/a.onnx": "", "net/1/b.onnx": ""},
        {"1": "one graph is needed, called model.onnx; found a.onnx, b.onnx"},
    ),
    "another kind of model": (
        {"net/1/model.plan": "", "net/config.pbtxt": 'backend: "onnxruntime"'},
        {"1": "one graph is needed, called model.onnx; found none"},
    ),
    "named by its settings": (
        {
            "net/1/a.onnx": "",
            "net/1/b.onnx": "",
            "net/config.pbtxt": 'default_model_filename: "b.onnx"',
        },
        {"1": "b.onnx"},
    ),
    "nothing of ours": ({"net/1/model.plan": "", "x.onnx": "", "net/0/model.onnx": ""}, {}),
    "bad names": ({".net/1/model.onnx": "", "net/one/model.onnx": "", "-n/1/m.onnx": ""}, {}),
    "deeper": ({"net/1/more/model.onnx": ""}, {}),
}


def write(root: Path, files: Mapping[str, str]) -> None:
    """Writes files by relative path."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(("files", "expected"), PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("remote", [False, True])
def test_versions_and_their_graphs_are_found(
    tmp_path: Path, files: Mapping[str, str], expected: Mapping[str, str], remote: bool
) -> None:
    write(tmp_path, {"else/readme.txt": "", **files})
    place = f"file://{tmp_path}" if remote else str(tmp_path)
    models = Catalogue([place], tmp_path / "else").scan()
    found: dict[str, str] = {}
    for model in models.values():
        assert model.name == "net"
        for number, version in model.versions.items():
            try:
                found[str(number)] = version.bring(model.described()).graph
            except RepositoryError as error:
                found[str(number)] = str(error).partition(": ")[2]
    assert found == expected


PBTXT: Mapping[str, tuple[str, ModelConfig]] = {
    "nothing": ("", ModelConfig()),
    "name": ('name: "net" platform: "onnxruntime_onnx"', ModelConfig()),
    "batch": ("max_batch_size: 8", ModelConfig(max_batch=8)),
    "no batch": ("max_batch_size: 0", ModelConfig(max_batch=1)),
    "delay": (
        "dynamic_batching { max_queue_delay_microseconds: 250 }",
        ModelConfig(queue_delay_ms=0.25),
    ),
    "queue": (
        "dynamic_batching { default_queue_policy { max_queue_size: 9 } }",
        ModelConfig(max_queue=9),
    ),
    "instances": (
        "instance_group [ { count: 2 kind: KIND_CPU } ]",
        ModelConfig(runners=2, providers=("cpu",)),
    ),
    "GPU": ("instance_group { kind: KIND_GPU }", ModelConfig(runners=1, providers=("cuda", "cpu"))),
    "GPUs": (
        "instance_group { kind: KIND_GPU gpus: [0, 2] }",
        ModelConfig(runners=1, providers=("cuda", "cpu"), devices=(0, 2)),
    ),
    "priority and timeout": (
        "dynamic_batching { default_priority_level: 2 "
        "default_queue_policy { default_timeout_microseconds: 1500 } }",
        ModelConfig(default_priority=2, timeout_ms=1.5),
    ),
    "all": ("version_policy: { all {} }", ModelConfig(version_policy="all")),
    "latest": (
        "version_policy { latest { num_versions: 2 } }",
        ModelConfig(version_policy=Latest(latest=2)),
    ),
    "latest, no number": ("version_policy { latest {} }", ModelConfig()),
    "specific": (
        "version_policy { specific { versions: [3, 1] } }",
        ModelConfig(version_policy=(3, 1)),
    ),
    "comments and forms": (
        "# a comment\nmax_batch_size: 8; dynamic_batching: < max_queue_delay_microseconds: 1000, >",
        ModelConfig(max_batch=8, queue_delay_ms=1.0),
    ),
    "twice": ("max_batch_size: 4 max_batch_size: 8", ModelConfig(max_batch=8)),
}


@pytest.mark.parametrize(("text", "config"), PBTXT.values(), ids=PBTXT)
def test_tritons_settings_are_ours(text: str, config: ModelConfig) -> None:
    declared = triton.read(text.encode(), "net", "config.pbtxt")
    assert (declared.config, list(declared.ignored)) == (config, [])


REFUSED: Mapping[str, tuple[str, str]] = {
    "another name": ('name: "other"', "config.pbtxt: name 'other': the model's folder is 'net'"),
    "platform": ('platform: "tensorrt_plan"', "platform 'tensorrt_plan': only ONNX models are"),
    "backend": ('backend: "python"', "config.pbtxt: backend 'python': only ONNX models are served"),
    "negative": ("max_batch_size: -1", "config.pbtxt: max_batch_size: Input should be greater"),
    "no number": ("max_batch_size: many", "config.pbtxt: max_batch_size: Input should be a valid"),
    "too large": ("max_batch_size: 99999999", "config.pbtxt: max_batch: Input should be less"),
    "no versions": ("version_policy { specific {} }", 'version_policy: use "all", {"latest": 2}'),
    "a message is needed": ("dynamic_batching: 3", "config.pbtxt: dynamic_batching: Input should"),
    "no text": ("name { a: 1 }", "config.pbtxt: name: Input should be a valid string"),
    "open brace": ("input {", "config.pbtxt:1:8 : '': expected '}'"),
    "open bracket": ("a: [1, 2", "config.pbtxt:1:9 : '': Expected \",\""),
    "no value": ("a: }", "config.pbtxt:1:4 : 'a: }': expected a value"),
    "no colon": ("\nname 3", "config.pbtxt:2:6 : 'name 3': expected ':'"),
    "open quote": ("a: 'x", "String missing ending quote"),
    "binary": ("\x00\x01", "config.pbtxt:1:1"),
    "deep": ("a {" * 1000, "messages more than 20 deep"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_settings_that_make_no_sense_are_refused(text: str, message: str) -> None:
    with pytest.raises(CortexError) as caught:
        triton.read(text.encode(), "net", "config.pbtxt")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fields_without_a_meaning_here_are_named() -> None:
    declared = triton.read(
        b"""
        input { name: "x" dims: [2] reshape { shape: [1, 2] } }
        dynamic_batching { preferred_batch_size: [4, 8] }
        instance_group { count: 1 profile: "a" }
        optimization { cuda { graphs: true } }
        parameters { key: "a" value: { string_value: "b" } }
        """,
        "net",
        "config.pbtxt",
    )
    assert list(declared.ignored) == [
        "dynamic_batching.preferred_batch_size",
        "input.reshape",
        "instance_group.profile",
        "optimization",
        "parameters",
    ]


DECLARED: Mapping[str, tuple[str, str]] = {
    "as it is": ('input { name: "x" data_type: TYPE_FP32 dims: [-1, 2] }', ""),
    "batched": ('max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: 2 }', ""),
    "outputs": ('max_batch_size: 4 output { name: "y" data_type: TYPE_FP32 dims: [2] }', ""),
    "open": ('max_batch_size: 4 output { name: "y" dims: [-1] }', ""),
    "no such input": ('input { name: "z" }', "config.pbtxt: input 'z': the model has x"),
    "datatype": (
        'input { name: "x" data_type: TYPE_INT64 dims: [-1, 2] }',
        "config.pbtxt: input 'x' is declared as INT64 [-1, 2], the model has FP32 [-1, 2]",
    ),
    "size": (
        'max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: [3] }',
        "config.pbtxt: input 'x' is declared as FP32 [-1, 3], the model has FP32 [-1, 2]",
    ),
    "batch axis told twice": (
        'max_batch_size: 4 output { name: "y" dims: [-1, 2] }',
        "config.pbtxt: output 'y' is declared as [-1, -1, 2], the model has FP32 [-1, 2]",
    ),
}


@pytest.mark.parametrize(("text", "reason"), DECLARED.values(), ids=DECLARED)
def test_declared_tensors_are_held_against_the_model(
    tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "net" / "1").mkdir(parents=True)
    (tmp_path / "net" / "1" / "model.onnx").write_bytes(graph(1))
    (tmp_path / "net" / "config.pbtxt").write_text(text)
    assert [outcome.reason for outcome in outcomes(anywhere(tmp_path))] == [reason]


POLICIES: Mapping[str, tuple[VersionPolicy, list[int]]] = {
    "all": ("all", [7, 3, 2, 1]),
    "newest, the older ones in reserve": (Latest(latest=1), [7, 3, 2, 1]),
    "named": ((2, 7, 2), [7, 2]),
    "named and not there": ((4, 1), [4, 1]),
}


@pytest.mark.parametrize(("policy", "expected"), POLICIES.values(), ids=POLICIES)
def test_policies_choose_versions(policy: VersionPolicy, expected: list[int]) -> None:
    assert list(candidates(policy, [3, 1, 2, 7])) == expected


GIVEN: Mapping[str, tuple[str, ModelConfig | str]] = {
    "ours": ('{"max_batch": 3}', ModelConfig(max_batch=3)),
    "nothing": ("{}", ModelConfig()),
    "Triton's": ('{"max_batch_size": 3}', ModelConfig(max_batch=3)),
    "Triton's in camel case": (
        '{"maxBatchSize": 3, "dynamicBatching": {"maxQueueDelayMicroseconds": "2000"}}',
        ModelConfig(max_batch=3, queue_delay_ms=2.0),
    ),
    "no JSON": ("{", "model 'net': config: no JSON: Expecting property name"),
    "no object": ("[]", "model 'net': config: a JSON object is needed"),
    "wrong value": ('{"max_batch": 0}', "model 'net': config: max_batch: Input should be greater"),
    "deep": ("[" * 100_000, "model 'net': config: no JSON: "),
}


@pytest.mark.parametrize(("text", "expected"), GIVEN.values(), ids=GIVEN)
def test_settings_may_come_with_a_request(text: str, expected: ModelConfig | str) -> None:
    if isinstance(expected, ModelConfig):
        assert layout.given(text, "net").config == expected
        return
    with pytest.raises(CortexError) as caught:
        layout.given(text, "net")
    assert str(caught.value).startswith(expected)


def test_of_two_models_with_a_name_the_first_repositorys_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for root, version in (("a", 1), ("b", 2), ("b", 3)):
        adder(tmp_path / root, version=version)
    adder(tmp_path / "b", "other")
    catalogue = Catalogue([str(tmp_path / "a"), str(tmp_path / "b")], None)
    for _ in range(2):
        found = catalogue.scan()
        assert {name: list(model.versions) for name, model in found.items()} == {
            "adder": [1],
            "other": [1],
        }
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/b/adder: not served: {tmp_path}/a/adder has the same name and comes first"
    ]


@pytest.mark.parametrize("remote", [False, True])
def test_a_graph_that_makes_no_model_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, remote: bool
) -> None:
    names = ("my net/1", "net/01", "net/v1", "\u00dcnet/1", ".old/1", "new/.staging-1", "net/2/old")
    write(tmp_path, {f"{name}/model.onnx": "" for name in names})
    catalogue = Catalogue([f"file://{tmp_path}" if remote else str(tmp_path)], tmp_path / "x")
    for _ in range(2):
        assert not catalogue.scan()
    said = sorted(record.getMessage() for record in caplog.records)
    assert [line.partition(": not served: a model lies at ")[0] for line in said] == [
        f"{'file://' if remote else ''}{tmp_path}/{name}/model.onnx"
        for name in ("my net/1", "net/01", "net/v1", "\u00dcnet/1")
    ]


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, {"net/1/model.onnx": "", "pipe/config.pbtxt": ""})
    for path in ("loop", "net/loop", "net/1/loop"):
        (tmp_path / path).symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "linked").symlink_to("net")
    (tmp_path / "through").symlink_to("net/1/model.onnx/more")
    (tmp_path / "pipe/1").mkdir()
    os.mkfifo(tmp_path / "pipe/1/model.onnx")  # whoever opens it waits for ever
    found = Catalogue([str(tmp_path)], None).scan()
    assert {name: list(model.versions) for name, model in found.items()} == {
        "net": [1],
        "linked": [1],
    }


def test_a_closed_folder_closes_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("closed", "lost+found", "open"):
        write(tmp_path, {f"{name}/1/model.onnx": ""})
    listed = os.scandir

    def scandir(folder: str) -> Any:  # root, who may run this, is let in everywhere
        if folder.endswith(("closed", "lost+found")):
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    catalogue = Catalogue([str(tmp_path)], None)
    for _ in range(2):
        assert list(catalogue.scan()) == ["open"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/closed: not looked at: Permission denied"
    ]


@pytest.fixture
def memory() -> Iterator[Any]:
    """An empty file system that is not this machine's."""
    system: Any = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def test_remote_versions_are_copied_whole_and_once(tmp_path: Path, memory: Any) -> None:
    adder(tmp_path / "here", max_batch=4)
    memory.put(str(tmp_path / "here"), "/bucket/models", recursive=True)
    cache = tmp_path / "cache"
    catalogue = Catalogue(["memory://bucket/models"], cache)
    model = catalogue.scan()["adder"]
    declared = model.described()
    assert declared.config == ModelConfig(max_batch=4)
    placed = model.versions[1].bring(declared)
    assert sorted(file.name for file in placed.path.iterdir()) == [
        "check.safetensors",
        "model.onnx",
    ]
    before = placed.model.stat()
    assert model.versions[1].bring(declared) == placed
    assert placed.model.stat() == before

    memory.pipe("/bucket/models/adder/1/model.onnx", graph(5))
    renewed = catalogue.scan()["adder"]
    assert renewed != model
    assert renewed.versions[1].bring(declared).path != placed.path
    again = Catalogue(["memory://bucket/models"], cache)
    again.scan()
    assert not placed.path.exists(), "what the repository no longer has goes at the next start"


def test_a_copy_that_fails_leaves_nothing(
    tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/m/net/1/model.onnx", graph(1))
    catalogue = Catalogue(["memory://m"], tmp_path)
    model = catalogue.scan()["net"]
    memory.pipe("/m/net/1/model.onnx", graph(1, padding=9))
    with pytest.raises(RepositoryError, match=r"net/1/model\.onnx: it has .* bytes, listed"):
        model.versions[1].bring(model.described())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not list(tmp_path.rglob("1-*"))


PLACES = {
    "memory://nowhere": "memory://nowhere: no such folder; name a model repository",
    "nowhere": "nowhere: no such folder; name a model repository (cortex-import writes ./models)",
    "what://x": "what://x: Protocol not known: what",
}


@pytest.mark.parametrize(("place", "message"), PLACES.items())
def test_a_repository_must_be_there(place: str, message: str, memory: Any) -> None:
    with pytest.raises(RepositoryError) as caught:
        Catalogue([place], None).scan()
    assert str(caught.value) == message


def test_copies_without_a_cache_go_with_the_server(tmp_path: Path, memory: Any) -> None:
    memory.pipe("/m/net/1/model.onnx", graph(1))
    catalogue = Catalogue(["memory://m"], None)
    model = catalogue.scan()["net"]
    path = model.versions[1].bring(model.described()).path
    assert path.is_dir()
    catalogue.close()
    assert not path.exists()
