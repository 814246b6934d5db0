"""The server over gRPC, asked as people ask it: tritonclient, health checks, reflection."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import httpx
import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cortex.serving.datatypes import BYTES, DATATYPES
from cortex.serving.pb import open_inference_grpc_pb2 as pb
from cortex.serving.rpc.call import Call
from cortex.serving.rpc.health import WATCH, Health
from cortex.serving.rpc.protocol import SERVICE, path
from cortex.serving.server import Server, serving

from .conftest import KINDS
from .repositories import dense, expected, sample
from .running import anywhere
from .test_tensors import VALUES

Code = grpc.StatusCode


def triton_client(server: Server) -> Any:
    """A tritonclient, to be used in a block."""
    return triton.InferenceServerClient(str(server.grpc))


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    """A tritonclient."""
    with triton_client(server) as client:
        yield client


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    """A plain connection."""
    with grpc.insecure_channel(str(server.grpc)) as channel:
        yield channel


def tensor(name: str, array: Any, datatype: str = "FP32") -> Any:
    """An input of tritonclient's."""
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def wanted(*names: str) -> list[Any]:
    """Requested outputs of tritonclient's."""
    return [triton.InferRequestedOutput(name) for name in names]


def call(channel: grpc.Channel, method: str, message: bytes) -> bytes:
    """One call with bytes."""
    answer: Any = channel.unary_unary(method)
    return answer(message, timeout=20)


def status(channel: grpc.Channel, method: str, message: bytes) -> tuple[grpc.StatusCode, str]:
    """The status and message of a call that must fail."""
    with pytest.raises(grpc.RpcError) as error:
        call(channel, method, message)
    failed: Any = error.value
    return failed.code(), failed.details()


def test_the_server_tells_about_itself(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata().name == "cortex"
    assert client.is_model_ready("dense")
    assert client.is_model_ready("dense", "1")
    assert not client.is_model_ready("broken")


def test_a_model_tells_about_itself(client: Any) -> None:
    found = client.get_model_metadata("dense")
    assert (found.name, list(found.versions), found.platform) == (
        "dense",
        ["1", "2"],
        "onnxruntime_onnx",
    )
    (x,), (y,) = found.inputs, found.outputs  # layers are no outputs
    assert (x.name, x.datatype, list(x.shape)) == ("x", "FP32", [-1, 4])
    assert (y.name, y.datatype, list(y.shape)) == ("probabilities", "FP32", [-1, 3])


@pytest.mark.parametrize("name", KINDS)
def test_every_datatype_there_and_back(client: Any, name: str) -> None:
    values = VALUES[name] if name != "BYTES" else [b"", b"a", "é".encode(), b"\0b"]
    array = np.array(values, DATATYPES[name].dtype).reshape(2, 2)
    if name == "BF16":
        array = array.view(ml_dtypes.bfloat16)
    found = client.infer(f"same-{name.lower()}", [tensor("x", array, name)])
    assert found.get_output("y").datatype == name
    answer = found.as_numpy("y")
    assert answer.shape == (2, 2)
    if name == "BYTES":
        assert (answer == array).all()
    else:
        assert (answer.dtype, answer.tobytes()) == (array.dtype, array.tobytes())


@pytest.mark.parametrize("name", [name for name in KINDS if DATATYPES[name].field])
def test_every_datatype_in_typed_contents(channel: grpc.Channel, name: str) -> None:
    values = VALUES[name] if name != "BYTES" else [b"", b"a", "é".encode(), b"\0b"]
    request = pb.ModelInferRequest(model_name=f"same-{name.lower()}", id="7")
    given = request.inputs.add(name="x", datatype=name, shape=[2, 2])
    getattr(given.contents, DATATYPES[name].field).extend(values)
    answer = pb.ModelInferResponse.FromString(
        call(channel, path("ModelInfer"), request.SerializeToString())
    )
    assert answer.id == "7"
    assert answer.model_version == "1"
    assert answer.outputs[0].shape == [2, 2]
    if DATATYPES[name] is not BYTES:
        raw = np.array(values, DATATYPES[name].dtype).tobytes()
        assert list(answer.raw_output_contents) == [raw]


def test_the_answer_is_right(client: Any) -> None:
    x = sample(5)
    found = client.infer("dense", [tensor("x", x)], request_id="abc")
    assert found.get_response().id == "abc"
    assert found.get_response().model_version == "2"
    np.testing.assert_allclose(found.as_numpy("probabilities"), expected(x)["probabilities"], 1e-5)


def test_any_layer_on_request(client: Any) -> None:
    x = sample(3)
    names = ("turned", "hidden", "probabilities")
    found = client.infer("dense", [tensor("x", x)], outputs=wanted(*names))
    assert [output.name for output in found.get_response().outputs] == list(names)
    np.testing.assert_allclose(found.as_numpy("hidden"), expected(x)["hidden"], 1e-5)
    np.testing.assert_allclose(found.as_numpy("turned"), expected(x)["hidden"].T, 1e-5)


def test_a_model_with_a_fixed_first_axis_is_served(client: Any) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert (client.infer("fixed", [tensor("x", x)]).as_numpy("y") == x).all()


def test_many_callers_at_once_get_their_own_answers(server: Server) -> None:
    inputs = [sample(1 + n % 3, seed=n) for n in range(100)]

    async def main() -> list[Any]:
        async with triton_aio.InferenceServerClient(str(server.grpc)) as client:
            calls = [client.infer("dense", [tensor("x", x)]) for x in inputs]
            return list(await asyncio.gather(*calls))

    for x, answer in zip(inputs, asyncio.run(main()), strict=True):
        found = answer.as_numpy("probabilities")
        np.testing.assert_allclose(found, expected(x)["probabilities"], 1e-4)


REFUSED = {
    "unknown model": (
        "nope",
        [("x", sample(), "FP32")],
        Code.NOT_FOUND,
        "model 'nope' is not here",
    ),
    "not ready": (
        "broken",
        [("x", sample(), "FP32")],
        Code.UNAVAILABLE,
        "no version of it is ready",
    ),
    "name": ("dense", [("z", sample(), "FP32")], Code.INVALID_ARGUMENT, "no such input"),
    "shape": ("dense", [("x", sample()[:, :3], "FP32")], Code.INVALID_ARGUMENT, "found [2, 3]"),
    "datatype": (
        "dense",
        [("x", sample().astype(np.float64), "FP64")],
        Code.INVALID_ARGUMENT,
        "the model takes FP32, found 'FP64'",
    ),
}


@pytest.mark.parametrize(
    ("model", "inputs", "code", "message"), REFUSED.values(), ids=REFUSED.keys()
)
def test_a_wrong_request_has_its_status(
    client: Any, model: str, inputs: Sequence[Any], code: grpc.StatusCode, message: str
) -> None:
    with pytest.raises(triton.InferenceServerException) as error:
        client.infer(model, [tensor(*each) for each in inputs])
    failed: Any = error.value
    assert failed.status() == str(code)
    assert message in failed.message()


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata"])
@pytest.mark.parametrize("version", ["", "9"])
def test_what_is_unknown_is_not_found(channel: grpc.Channel, method: str, version: str) -> None:
    name = "dense" if version else "nope"
    message = pb.ModelReadyRequest(name=name, version=version).SerializeToString()
    assert status(channel, path(method), message)[0] is Code.NOT_FOUND


def test_the_metadata_of_a_model_that_is_not_ready_is_unavailable(channel: grpc.Channel) -> None:
    message = pb.ModelMetadataRequest(name="broken").SerializeToString()
    assert status(channel, path("ModelMetadata"), message)[0] is Code.UNAVAILABLE


def raw_request(*raw: bytes, typed: Sequence[float] = ()) -> bytes:
    """A request for one row of the dense network."""
    request = pb.ModelInferRequest(model_name="dense", raw_input_contents=raw)
    given = request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    given.contents.fp32_contents.extend(typed)
    return request.SerializeToString()


ROW = raw_request(b"\0" * 16)
BAD_BYTES = {
    "byte count": (raw_request(b"\0" * 12), "takes 16 bytes, found 12"),
    "raw and typed": (raw_request(b"\0" * 16, typed=[1, 2, 3, 4]), "its elements come twice"),
    "too many raw": (raw_request(b"\0" * 16, b""), "the request has 1 inputs and 2 raw contents"),
    "nothing": (raw_request(), "shape [1, 4] takes 4 elements, found 0"),
    "no message": (b"\x3a\x7f", "no protobuf message: a field ends at byte 129 of 2"),
    "not UTF-8": (b"\x0a\x01\xff", "the message is no ModelInferRequest"),
}


@pytest.mark.parametrize(("message", "reason"), BAD_BYTES.values(), ids=BAD_BYTES)
def test_wrong_bytes_are_an_invalid_argument(
    channel: grpc.Channel, message: bytes, reason: str
) -> None:
    code, details = status(channel, path("ModelInfer"), message)
    assert code is Code.INVALID_ARGUMENT
    assert reason in details


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", "ServerLive", "ServerReady"])
def test_other_methods_refuse_what_is_no_message(channel: grpc.Channel, method: str) -> None:
    code, details = status(channel, path(method), b"\xff")
    assert code is Code.INVALID_ARGUMENT
    assert details == f"the message is no {method}Request"


def test_an_unknown_method_is_unimplemented_and_the_connection_stays(channel: grpc.Channel) -> None:
    for method in (path("LogSettings"), "/no.such.Service/Method"):
        assert status(channel, method, b"")[0] is Code.UNIMPLEMENTED
        live = pb.ServerLiveResponse.FromString(call(channel, path("ServerLive"), b""))
        assert live.live


def test_a_request_whose_deadline_passes_is_never_run(tmp_path: Path) -> None:
    dense(tmp_path, queue_delay_ms=60_000)

    async def main() -> None:
        async with asyncio.timeout(20), serving(anywhere(tmp_path)) as server:
            async with grpc.aio.insecure_channel(str(server.grpc)) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await channel.unary_unary(path("ModelInfer"))(ROW, timeout=0.1)
                assert error.value.code() is Code.DEADLINE_EXCEEDED
            async with httpx.AsyncClient() as http:
                ended, page = re.compile("cortex_request_seconds_count.* 1.0"), ""
                while not ended.search(page):  # the server may learn of it later than the client
                    page = (await http.get(f"http://{server.metrics}/metrics")).text
            assert 'cortex_queue_requests{model="dense",version="1"} 0.0' in page
            assert 'cortex_executions_total{model="dense",version="1"} 0.0' in page

    asyncio.run(main())


def test_health_is_told_for_the_server_and_each_model(channel: grpc.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)

    def of(service: str) -> str:
        answer = health.Check(health_pb2.HealthCheckRequest(service=service))
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    assert of("") == of(SERVICE) == of("dense") == "SERVING"
    assert of("broken") == "NOT_SERVING"
    with pytest.raises(grpc.RpcError) as error:
        of("nope")
    failed: Any = error.value
    assert failed.code() is Code.NOT_FOUND


def test_reflection_describes_the_protocol(channel: grpc.Channel) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)

    def ask(request: Any) -> Any:
        requests = iter([request])
        (answer,) = stub.ServerReflectionInfo(requests)
        return answer

    Request = reflection_pb2.ServerReflectionRequest  # noqa: N806
    listed = ask(Request(list_services="")).list_services_response.service
    assert {service.name for service in listed} == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    for service in listed:
        answer = ask(Request(file_containing_symbol=service.name)).file_descriptor_response
        files = [FileDescriptorProto.FromString(raw) for raw in answer.file_descriptor_proto]
        name = service.name.rpartition(".")[2]
        assert name in {each.name for file in files for each in file.service}


def test_reflection_tells_of_the_extensions(channel: grpc.Channel) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
    (answer,) = stub.ServerReflectionInfo(iter([asked]))
    (raw,) = answer.file_descriptor_response.file_descriptor_proto
    (service,) = FileDescriptorProto.FromString(raw).service
    assert {"ModelInfer", "ModelStreamInfer", "RepositoryIndex"} <= {
        method.name for method in service.method
    }


@pytest.mark.parametrize(
    "method",
    [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        path("ServerLive"),
    ],
)
def test_a_message_that_is_none_is_the_clients_fault(
    channel: grpc.Channel, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    code, details = status(channel, method, b"\x0a\xff")
    assert code == Code.INVALID_ARGUMENT
    assert details.startswith("the message is no ")
    assert not caplog.records


def test_health_checks(channel: grpc.Channel) -> None:
    Request, Answer = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse  # noqa: N806
    stub: Any = health_pb2_grpc.HealthStub(channel)
    for service, found in (
        ("", Answer.SERVING),
        (SERVICE, Answer.SERVING),
        ("dense", Answer.SERVING),
        ("broken", Answer.NOT_SERVING),
    ):
        assert stub.Check(Request(service=service)).status == found
    with pytest.raises(grpc.RpcError) as error:
        stub.Check(Request(service="none"))
    failed: Any = error.value
    assert failed.code() is Code.NOT_FOUND
    watch = stub.Watch(Request(service="none"))
    assert next(watch).status == Answer.SERVICE_UNKNOWN
    watch.cancel()


def test_of_two_who_watch_one_may_leave() -> None:
    async def main() -> list[int]:
        health = Health()

        async def one() -> AsyncGenerator[bytes]:
            yield b""

        first, second = (health.streams[WATCH](one(), Call()) for _ in range(2))
        seen = [await anext(first), await anext(second)]
        await first.aclose()
        health.set({"": True})
        seen.append(await anext(second))
        health.end()
        assert [each async for each in second] == []
        return [health_pb2.HealthCheckResponse.FromString(each).status for each in seen]

    assert asyncio.run(main()) == [2, 2, 1]


def test_a_message_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    dense(tmp_path)

    async def main() -> None:
        async with (
            serving(anywhere(tmp_path, max_message_mb=1)) as server,
            grpc.aio.insecure_channel(str(server.grpc)) as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await channel.unary_unary(path("ModelInfer"))(b"\0" * (2 << 20))
            assert error.value.code() is Code.RESOURCE_EXHAUSTED
            await channel.unary_unary(path("ServerLive"))(b"")

    asyncio.run(main())


def test_who_watches_the_health_is_told_when_the_server_closes(tmp_path: Path) -> None:
    dense(tmp_path)
    seen: list[health_pb2.HealthCheckResponse] = []

    async def watch(channel: grpc.aio.Channel) -> None:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        async for answer in stub.Watch(health_pb2.HealthCheckRequest(service="dense")):
            seen.append(answer.status)

    async def main() -> None:
        async with asyncio.timeout(20):
            async with serving(anywhere(tmp_path, drain_seconds=3600)) as server:
                channel = grpc.aio.insecure_channel(str(server.grpc))
                watching = asyncio.create_task(watch(channel))
                while not seen:
                    await asyncio.sleep(0.01)
            await watching  # a watcher is told and sent home; it does not hold the server up
            await channel.close()

    asyncio.run(main())
    assert seen == [
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.NOT_SERVING,
    ]


def test_a_call_that_is_cancelled_is_counted_and_harms_nobody(server: Server) -> None:
    async def main() -> None:
        async with grpc.aio.insecure_channel(str(server.grpc)) as channel:
            ask: Any = channel.unary_unary(path("ModelInfer"))
            calls = [ask(ROW) for _ in range(8)]
            calls[3].cancel()
            answers = await asyncio.gather(*calls, return_exceptions=True)
            for n, answer in enumerate(answers):
                assert isinstance(answer, bytes) == (n != 3)

    asyncio.run(main())


def test_a_step_of_a_sequence_is_refused_and_what_is_not_known_is_ignored(
    channel: grpc.Channel,
) -> None:
    request = pb.ModelInferRequest.FromString(ROW)
    request.parameters["sequence_id"].int64_param = 0  # no sequence
    request.parameters["sequence_start"].bool_param = True
    request.parameters["color"].string_param = "red"
    request.parameters["nothing"].SetInParent()
    request.inputs[0].parameters["binary_data_size"].int64_param = 16
    request.outputs.add(name="probabilities").parameters["binary_data"].bool_param = True
    call(channel, path("ModelInfer"), request.SerializeToString())
    request.parameters["sequence_id"].int64_param = 3
    code, details = status(channel, path("ModelInfer"), request.SerializeToString())
    assert code == Code.INVALID_ARGUMENT
    assert "'sequence_id' is not supported" in details
