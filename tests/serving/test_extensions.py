"""Triton's extensions, asked through its client or by their messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from google.protobuf.message import Message

from cortex.serving.errors import InvalidArgument, NotFound
from cortex.serving.pb import open_inference_extensions_pb2 as pb
from cortex.serving.pb import open_inference_grpc_pb2 as protocol
from cortex.serving.rpc.call import Call
from cortex.serving.rpc.descriptions import descriptions
from cortex.serving.rpc.extensions import extensions
from cortex.serving.rpc.protocol import path
from cortex.serving.server import Server

from .repositories import FLOAT, dense, expected, identity, sample
from .running import running
from .test_grpc import tensor, triton_client


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a model with labels and limits, and of one whose batch is fixed."""
    root = tmp_path_factory.mktemp("told")
    limits: dict[str, Any] = {"max_queue": 5, "default_priority": 3, "timeout_ms": 60_000}
    dense(root, labels=("ant", "bee"), max_batch=8, queue_delay_ms=0.25, runners=2, **limits)
    identity(root, "fixed", FLOAT, (2, 3))
    identity(root, "words", 8, ("N",))
    with running(root) as server:
        yield server


@pytest.fixture
def client(told: Server) -> Iterator[Any]:
    """A tritonclient of it."""
    with triton_client(told) as client:
        yield client


def test_a_config_has_triton_s_words(client: Any) -> None:
    found = client.get_model_config("dense", as_json=True)["config"]
    assert found["name"] == "dense"
    assert (found["platform"], found["backend"]) == ("onnxruntime_onnx", "onnxruntime")
    assert found["max_batch_size"] == 8
    assert found["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": ["4"]}]
    assert found["output"] == [{"name": "probabilities", "data_type": "TYPE_FP32", "dims": ["3"]}]
    batching = found["dynamic_batching"]
    assert batching["max_queue_delay_microseconds"] == "250"
    assert batching["default_priority_level"] == "3"
    policy = {"max_queue_size": 5, "default_timeout_microseconds": "60000000"}
    assert batching["default_queue_policy"] == policy
    assert found["instance_group"] == [{"name": "dense", "count": 2, "kind": "KIND_CPU"}]
    told = {name: each["string_value"] for name, each in found["parameters"].items()}
    assert told["cortex.threads"].isdigit()
    assert (told["cortex.provider"], told["cortex.tuning"]) == ("cpu", "config")
    assert told["cortex.labels"] == '["ant", "bee"]'


def test_a_model_whose_requests_share_no_run_has_no_batch(client: Any) -> None:
    found = client.get_model_config("fixed").config
    assert found.max_batch_size == 0
    assert not found.HasField("dynamic_batching")
    assert list(found.input[0].dims) == [2, 3]
    assert client.get_model_config("words").config.input[0].data_type == 13  # TYPE_STRING


def test_statistics_count_what_was_asked(client: Any) -> None:
    def counted() -> Any:
        (found,) = client.get_inference_statistics("fixed").model_stats
        return found

    before = counted()
    x = tensor("x", np.zeros((2, 3), np.float32))
    for _ in range(3):
        client.infer("fixed", [x])
    with pytest.raises(triton.InferenceServerException):
        client.infer("fixed", [])
    after = counted()
    assert (after.name, after.version) == ("fixed", "1")
    assert after.execution_count - before.execution_count == 3
    assert after.inference_stats.success.count - before.inference_stats.success.count == 3
    assert after.inference_stats.fail.count - before.inference_stats.fail.count == 1
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    assert sum(each.compute_infer.count for each in after.batch_stats) == after.execution_count
    assert after.last_inference > 1_600_000_000_000
    names = {each.name for each in client.get_inference_statistics().model_stats}
    assert names == {"dense", "fixed", "words"}


@pytest.mark.parametrize("ask", ["get_model_config", "get_inference_statistics"])
def test_what_is_unknown_is_not_found(client: Any, ask: str) -> None:
    with pytest.raises(triton.InferenceServerException, match="model 'nope' is not here"):
        getattr(client, ask)("nope")


def test_classes_have_labels_as_far_as_there_are_any(client: Any) -> None:
    x = sample(5)
    wanted = [triton.InferRequestedOutput("probabilities", class_count=2)]
    wanted += [triton.InferRequestedOutput("hidden")]
    found = client.infer("dense", [tensor("x", x)], outputs=wanted)
    right = expected(x)["probabilities"]
    labels = [":ant", ":bee", ""]
    for row, classes in zip(right, found.as_numpy("probabilities"), strict=True):
        for index, line in zip(np.argsort(-row), classes, strict=False):
            value, _, rest = line.decode().partition(":")
            assert float(value) == pytest.approx(row[index], abs=1e-6)
            assert rest == f"{index}{labels[index]}"
    np.testing.assert_allclose(found.as_numpy("hidden"), expected(x)["hidden"], 1e-5)
    wanted = [triton.InferRequestedOutput("y", class_count=1)]
    words = tensor("x", np.array([b"a"], object), "BYTES")
    with pytest.raises(triton.InferenceServerException, match="strings have no order"):
        client.infer("words", [words], outputs=wanted)


def test_layers_are_told_to_who_asks_for_them(client: Any) -> None:
    assert len(client.get_model_metadata("dense").outputs) == 1
    for said, names in (
        ("true", ["probabilities", "hidden", "turned", "scores"]),
        ("no", ["probabilities"]),
    ):
        found = client.get_model_metadata("dense", headers={"cortex-layers": said})
        assert [each.name for each in found.outputs] == names
    found = client.get_model_metadata("dense", headers={"cortex-layers": "1"})
    turned = next(each for each in found.outputs if each.name == "turned")
    assert (turned.datatype, list(turned.shape)) == ("FP32", [8, -1])


def test_the_extensions_are_told(client: Any) -> None:
    found = client.get_server_metadata().extensions
    assert {"classification", "model_configuration", "statistics"} <= set(found)
    assert "system_shared_memory" not in found


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("priority", "high", "the request: 'priority' is a whole number from 0 on, found 'high'"),
        ("timeout", -1, "the request: 'timeout' is a whole number from 0 on, found -1"),
    ],
)
def test_a_parameter_of_the_wrong_kind_is_refused(
    told: Server, name: str, value: Any, message: str
) -> None:
    request = protocol.ModelInferRequest(model_name="fixed", raw_input_contents=[b"\0" * 24])
    request.inputs.add(name="x", datatype="FP32", shape=[2, 3])
    kind = "string_param" if isinstance(value, str) else "int64_param"
    setattr(request.parameters[name], kind, value)
    with grpc.insecure_channel(str(told.grpc)) as channel:
        ask: Any = channel.unary_unary(path("ModelInfer"))
        with pytest.raises(grpc.RpcError) as error:
            ask(request.SerializeToString(), timeout=20)
    failed: Any = error.value
    assert failed.details() == message


@dataclass(frozen=True)
class State:
    """One row of an index."""

    name: str
    version: str
    state: str
    reason: str


@dataclass
class FakePlane:
    """What the methods of the repository see of a plane."""

    calls: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])

    def index(self) -> Sequence[State]:
        """Two models."""
        return [State("a", "1", "READY", ""), State("b", "", "UNAVAILABLE", "no weights")]

    async def load(self, name: str, config: str | None = None) -> None:
        """Notes it."""
        if name == "nope":
            raise NotFound("model 'nope' is not here")
        self.calls.append(("load", name, str(config)))

    async def unload(self, name: str) -> None:
        """Notes it."""
        self.calls.append(("unload", name))


def answered(plane: Any, where: str, message: bytes) -> bytes:
    """What the method at a path answers."""

    async def main() -> bytes:
        return await extensions(plane)[where](message, Call())

    return asyncio.run(main())


def ask(plane: FakePlane, method: str, message: Message) -> bytes:
    """One call."""
    return answered(plane, path(method), message.SerializeToString())


def test_the_index_has_states_and_reasons() -> None:
    for ready, names in ((False, ["a", "b"]), (True, ["a"])):
        raw = ask(FakePlane(), "RepositoryIndex", pb.RepositoryIndexRequest(ready=ready))
        found = pb.RepositoryIndexResponse.FromString(raw).models
        assert [each.name for each in found] == names
    told = pb.RepositoryIndexResponse.ModelIndex(
        name="b", version="", state="UNAVAILABLE", reason="no weights"
    )
    raw = ask(FakePlane(), "RepositoryIndex", pb.RepositoryIndexRequest())
    assert pb.RepositoryIndexResponse.FromString(raw).models[1] == told


def test_models_are_loaded_and_unloaded() -> None:
    plane = FakePlane()
    load = pb.RepositoryModelLoadRequest(model_name="a")
    ask(plane, "RepositoryModelLoad", load)
    load.parameters["config"].string_param = "{}"
    ask(plane, "RepositoryModelLoad", load)
    unload = pb.RepositoryModelUnloadRequest(model_name="a")
    unload.parameters["unload_dependents"].bool_param = True
    ask(plane, "RepositoryModelUnload", unload)
    assert plane.calls == [("load", "a", "None"), ("load", "a", "{}"), ("unload", "a")]
    with pytest.raises(NotFound):
        ask(plane, "RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="nope"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("file:1/model.onnx", b"x", "model 'a': 'file:1/model.onnx' is not supported; a model's"),
        ("config", b"{}", "model 'a': 'config' is a string of JSON"),
    ],
)
def test_no_file_comes_with_a_request(name: str, value: bytes, message: str) -> None:
    load = pb.RepositoryModelLoadRequest(model_name="a")
    load.parameters[name].bytes_param = value
    with pytest.raises(InvalidArgument, match=message):
        ask(FakePlane(), "RepositoryModelLoad", load)


def test_what_is_no_message_is_refused() -> None:
    plane: Any = FakePlane()
    for method in extensions(plane):
        with pytest.raises(InvalidArgument, match="the message is no"):
            answered(plane, method, b"\xff")


def test_a_description_is_one_service() -> None:
    service = descriptions().FindServiceByName("inference.GRPCInferenceService")
    names = {method.name for method in service.methods}
    assert {"ModelInfer", "ModelStreamInfer", "RepositoryIndex"} <= names
    assert len(names) == 15
