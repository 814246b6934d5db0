"""What changes in a repository while its models are served: what takes whose place, and when."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import numpy as np
import pytest

from cortex.runtime.repository import MODEL
from cortex.serving.errors import Forbidden, InvalidArgument, NotFound, Unavailable
from cortex.serving.metrics import Metrics
from cortex.serving.models import Models
from cortex.serving.plane import Plane

from .adders import X, adder, configure, graph
from .running import anywhere, running

SOON = 10.0  # seconds
SERVING, NOT_SERVING = 1, 2  # of the health service


def serve(root: Path, body: Callable[[Models, Plane], Awaitable[None]], **settings: Any) -> None:
    """Runs ``body`` with a repository that is looked at every few milliseconds."""
    settings = {"model_control": "poll", "poll_seconds": 0.01} | settings

    async def main() -> None:
        metrics = Metrics("0")
        async with asyncio.timeout(60), Models(anywhere(root, **settings), metrics) as models:
            await models.start()
            await body(models, Plane(models, metrics, "0"))

    asyncio.run(main())


async def until(said: Callable[[], bool]) -> None:
    """Waits until something is so."""
    async with asyncio.timeout(SOON):
        while not said():
            await asyncio.sleep(0.005)


async def added(models: Models, name: str = "adder", version: str = "") -> float:
    """What a model adds: the number of the version that answers."""
    model = await models.get(name, version)
    (output,) = await model.infer({"x": X}, (), None)
    return float((output.array - X)[0, 0])


def told(models: Models, name: str = "adder") -> dict[str, str]:
    """The state of each version of a model."""
    return {at.version: at.state for at in models.index() if at.name == name}


def test_a_new_version_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    adder(tmp_path)

    async def body(models: Models, plane: Plane) -> None:
        assert await added(models) == 1
        adder(tmp_path)
        await until(lambda: told(models) == {"2": "READY"})
        assert await added(models) == 2
        with pytest.raises(NotFound, match="model 'adder' has no version '1'; it has '2'"):
            await models.get("adder", "1")
        assert [at.version for at in plane.statistics()] == ["2"]

    serve(tmp_path, body)


def test_no_request_fails_while_versions_change(tmp_path: Path) -> None:
    from tritonclient.grpc import InferenceServerClient, InferInput

    adder(tmp_path)
    stop, wrong, versions = threading.Event(), list[str](), set[str]()

    def ask(url: str) -> None:
        tensor = InferInput("x", [2, 2], "FP32")
        tensor.set_data_from_numpy(X)
        with InferenceServerClient(url) as client:
            while not stop.is_set():
                try:
                    found: Any = client.infer("adder", [tensor])
                except Exception as error:
                    wrong.append(str(error))
                    return
                version = found.get_response().model_version
                versions.add(version)
                if not np.array_equal(found.as_numpy("y"), X + int(version)):
                    wrong.append(f"version {version}: {found.as_numpy('y')}")

    with running(tmp_path, model_control="poll", poll_seconds=0.02) as server:
        threads = [threading.Thread(target=ask, args=(str(server.grpc),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        last = 1
        for _ in range(30):
            last = adder(tmp_path)
            threading.Event().wait(0.05)
        expect(lambda: bool(wrong) or str(last) in versions)
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert str(last) in versions
    assert len(versions) > 5


def test_a_bad_version_never_takes_a_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    adder(tmp_path)

    async def body(models: Models, plane: Plane) -> None:
        adder(tmp_path, wrong=True)
        await until(lambda: told(models) == {"1": "READY", "2": "UNAVAILABLE"})
        assert await added(models) == 1
        bad = models.index()[1]
        assert "the first layer that differs is 'added', by" in bad.reason
        assert models.sound
        (counted,) = [at for at in plane.statistics() if at.version == "2"]
        assert (counted.check_failures, counted.ready) == (1, False)
        await asyncio.sleep(0.1)
        assert counted.loads.count == 1, "it is not tried again until it changes"
        (tmp_path / "adder" / "2" / MODEL).write_bytes(graph(3))  # as its check has it
        await until(lambda: told(models) == {"2": "READY"})
        assert await added(models) == 3

    serve(tmp_path, body)
    errors = [at.getMessage() for at in caplog.records if at.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "/adder/2: not ready, what was loaded before still answers: output 'y' diff" in errors[0]


def test_what_passes_stands_in_for_a_newer_version_that_does_not(tmp_path: Path) -> None:
    for wrong in (False, False, True):
        adder(tmp_path, wrong=wrong)

    async def body(models: Models, plane: Plane) -> None:
        assert told(models) == {"2": "READY", "3": "UNAVAILABLE"}
        assert await added(models) == 2

    serve(tmp_path, body)


def test_files_that_change_in_place_are_loaded_beside(tmp_path: Path) -> None:
    adder(tmp_path)

    async def body(models: Models, plane: Plane) -> None:
        (tmp_path / "adder" / "1" / MODEL).write_bytes(b"no model")
        await until(lambda: "still answers: " in models.index()[0].reason)
        assert told(models) == {"1": "READY"}
        assert await added(models) == 1
        (counted,) = plane.statistics()
        assert counted.ready

    serve(tmp_path, body)


def test_removed_versions_and_models_go(tmp_path: Path) -> None:
    for _ in range(3):
        adder(tmp_path, version_policy="all")
    adder(tmp_path, "other")

    async def body(models: Models, plane: Plane) -> None:
        assert told(models) == {"1": "READY", "2": "READY", "3": "READY"}
        shutil.rmtree(tmp_path / "adder" / "3")
        await until(lambda: told(models) == {"1": "READY", "2": "READY"})
        assert await added(models) == 2
        assert await added(models, version="1") == 1
        shutil.rmtree(tmp_path / "adder")
        await until(lambda: told(models) == {})
        with pytest.raises(NotFound, match="model 'adder' is not here; here are 'other'"):
            await models.get("adder")
        assert await added(models, "other") == 1
        assert [at.name for at in plane.statistics()] == ["other"]
        adder(tmp_path)
        await until(lambda: told(models) == {"1": "READY"})

    serve(tmp_path, body)


def test_an_older_version_is_loaded_before_the_removed_one_goes(tmp_path: Path) -> None:
    adder(tmp_path)
    adder(tmp_path)

    async def body(models: Models, plane: Plane) -> None:
        assert told(models) == {"2": "READY"}
        shutil.rmtree(tmp_path / "adder" / "2")
        found = set[float]()
        async with asyncio.timeout(SOON):
            while 1.0 not in found:
                found.add(await added(models))
                await asyncio.sleep(0)
        assert found == {1.0, 2.0}

    serve(tmp_path, body)


def test_changed_settings_are_taken_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        adder(tmp_path)

    async def body(models: Models, plane: Plane) -> None:
        configure(tmp_path, version_policy={"latest": 2})
        await until(lambda: told(models) == {"2": "READY", "3": "READY"})
        configure(tmp_path, version_policy=[1, 7])
        await until(lambda: told(models) == {"1": "READY", "7": "UNAVAILABLE"})
        assert models.index()[1].reason == "its version_policy names it, and it is not there"
        before = await models.get("adder")
        configure(tmp_path, version_policy=[1, 7], max_batch=0)
        await until(lambda: "config.json: max_batch: " in models.index()[0].reason)
        assert told(models) == {"1": "READY", "7": "UNAVAILABLE"}
        assert await models.get("adder") is before
        configure(tmp_path, version_policy="all")
        await until(lambda: told(models) == {"1": "READY", "2": "READY", "3": "READY"})
        assert await models.get("adder", "1") is before, "the policy alone makes no new model"
        configure(tmp_path, version_policy="all", max_batch=3)
        await until(lambda: models.index()[0].reason == "")
        async with asyncio.timeout(SOON):
            while (await models.get("adder", "1")).config.max_batch != 3:
                await asyncio.sleep(0.01)
        assert not any(
            model["reason"] for model in [{"reason": at.reason} for at in models.index()]
        )

    serve(tmp_path, body)
    errors = [at.getMessage() for at in caplog.records if "max_batch" in at.getMessage()]
    assert len(errors) == 1


def test_a_repository_that_vanishes_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "models"
    adder(root)

    async def body(models: Models, plane: Plane) -> None:
        root.rename(tmp_path / "elsewhere")
        await until(lambda: "what is loaded goes on" in caplog.text)
        await asyncio.sleep(0.05)
        assert await added(models) == 1
        (tmp_path / "elsewhere").rename(root)
        adder(root)
        await until(lambda: told(models) == {"2": "READY"})

    serve(root, body)
    assert caplog.text.count("what is loaded goes on") == 1


def test_ignored_fields_are_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    adder(tmp_path)
    (tmp_path / "adder" / "config.pbtxt").write_text(
        'optimization {} instance_group { profile: "a" }'
    )

    async def body(models: Models, plane: Plane) -> None:
        adder(tmp_path)
        await until(lambda: told(models) == {"2": "READY"})

    serve(tmp_path, body)
    lines = [at.getMessage() for at in caplog.records if "nothing here" in at.getMessage()]
    assert lines == [
        "model 'adder': of its settings these mean nothing here: "
        "instance_group.profile, optimization"
    ]


def test_a_version_that_goes_finishes_what_it_has_accepted(tmp_path: Path) -> None:
    adder(tmp_path, queue_delay_ms=300)

    async def body(models: Models, plane: Plane) -> None:
        model = await models.get("adder")
        model.users += 1
        asked = asyncio.create_task(model.infer({"x": X}, (), None))
        await asyncio.sleep(0)
        adder(tmp_path)
        await until(lambda: told(models).get("2") == "READY")
        assert told(models) == {"1": "UNLOADING", "2": "READY"}
        (output,) = await asked
        assert np.array_equal(output.array, X + 1)
        await asyncio.sleep(0.05)
        assert "1" in told(models), "somebody has it still"
        model.users -= 1
        await until(lambda: told(models) == {"2": "READY"})

    serve(tmp_path, body)


def test_without_a_watch_the_repository_is_read_once(tmp_path: Path) -> None:
    adder(tmp_path)

    async def body(models: Models, plane: Plane) -> None:
        adder(tmp_path)
        await asyncio.sleep(0.1)
        assert told(models) == {"1": "READY"}
        for control in (plane.load("adder"), plane.unload("adder")):
            with pytest.raises(Forbidden, match="--model-control none"):
                await control

    serve(tmp_path, body, model_control="none")


def test_clients_say_what_is_loaded(tmp_path: Path) -> None:
    for name in ("a", "b", "bad"):
        adder(tmp_path, name, wrong=name == "bad")

    async def body(models: Models, plane: Plane) -> None:
        assert [(at.name, at.version, at.state, at.reason) for at in plane.index()] == [
            ("a", "1", "READY", ""),
            ("b", "", "UNAVAILABLE", "not loaded"),
            ("bad", "", "UNAVAILABLE", "not loaded"),
        ]
        assert not plane.model_ready("b")
        with pytest.raises(Unavailable, match="model 'b' is not loaded"):
            await models.get("b")
        await plane.load("b")
        assert await added(models, "b") == 1
        adder(tmp_path, "b")
        assert await added(models, "b") == 1
        await plane.load("b", '{"max_batch": 7}')
        assert await added(models, "b") == 2
        assert (await models.get("b")).config.max_batch == 7
        await plane.unload("b")
        assert told(models, "b") == {"": "UNAVAILABLE"}
        await plane.unload("b")
        with pytest.raises(Unavailable, match="model 'bad': version 1: output 'y' differs"):
            await plane.load("bad")
        with pytest.raises(NotFound, match="model 'c' is not here; here are 'a', 'b', 'bad'"):
            await plane.load("c")
        with pytest.raises(NotFound, match="model 'c' is not here"):
            await plane.unload("c")
        with pytest.raises(InvalidArgument, match="model 'a': config: max_batch: "):
            await plane.load("a", '{"max_batch": 0}')
        shutil.rmtree(tmp_path / "b")
        with pytest.raises(NotFound):
            await plane.load("b")
        assert await added(models, "a") == 1

    serve(tmp_path, body, model_control="explicit", load=("a",))


def test_all_may_be_loaded_to_begin_with(tmp_path: Path) -> None:
    for name in ("a", "b"):
        adder(tmp_path, name)

    async def body(models: Models, plane: Plane) -> None:
        assert models.states() == {"a/1": True, "b/1": True}

    serve(tmp_path, body, model_control="explicit", load=("*",))


def test_remote_repositories_are_watched_too(tmp_path: Path) -> None:
    import fsspec

    memory: Any = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pipe("/m/adder/1/model.onnx", graph(1))

    async def main() -> None:
        settings = anywhere(tmp_path, model_control="poll", poll_seconds=0.01, cache_dir=tmp_path)
        object.__setattr__(settings, "models", ("memory://m",))
        async with asyncio.timeout(60), Models(settings, Metrics("0")) as models:
            await models.start()
            assert await added(models) == 1
            memory.pipe("/m/adder/2/model.onnx", graph(2))
            await until(lambda: told(models) == {"2": "READY"})
            assert await added(models) == 2
            await until(lambda: len([*tmp_path.glob("remote/**/*.onnx")]) == 1)

    asyncio.run(main())
    memory.store.clear()


def test_health_follows_the_models(tmp_path: Path) -> None:
    from grpc_health.v1.health_pb2 import HealthCheckRequest
    from grpc_health.v1.health_pb2_grpc import HealthStub

    adder(tmp_path, wrong=True)

    def health(channel: grpc.Channel, service: str) -> int:
        stub: Any = HealthStub(channel)
        status: int = stub.Check(HealthCheckRequest(service=service)).status
        return status

    settings = {"model_control": "poll", "poll_seconds": 0.02, "strict_readiness": True}
    with (
        running(tmp_path, **settings) as server,
        grpc.insecure_channel(str(server.grpc)) as channel,
    ):
        assert (health(channel, "adder"), health(channel, "")) == (NOT_SERVING, NOT_SERVING)
        adder(tmp_path)
        expect(lambda: (health(channel, "adder"), health(channel, "")) == (SERVING, SERVING))
        shutil.rmtree(tmp_path / "adder")
        expect(lambda: (health(channel, "adder"), health(channel, "")) == (NOT_SERVING, SERVING))


def test_strict_readiness_follows_models_that_never_answered(tmp_path: Path) -> None:
    async def body(models: Models, plane: Plane) -> None:
        async def heard(sound: bool) -> None:
            async with asyncio.timeout(SOON):
                while models.sound is not sound:
                    await models.changed.wait()
                    models.changed.clear()

        models.changed.clear()
        adder(tmp_path, "bad", wrong=True)
        await heard(False)
        models.changed.clear()
        shutil.rmtree(tmp_path / "bad")
        await heard(True)
        adder(tmp_path, "odd")
        configure(tmp_path, "odd", max_batch=0)
        await heard(False)
        models.changed.clear()
        shutil.rmtree(tmp_path / "odd")
        await heard(True)

    adder(tmp_path)
    serve(tmp_path, body)


def expect(said: Callable[[], bool]) -> None:
    """Waits until something is so, where nothing else is to be done meanwhile."""
    end = monotonic() + SOON
    while not said():
        assert monotonic() < end
        threading.Event().wait(0.02)
