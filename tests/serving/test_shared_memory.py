"""Tensors in the system's shared memory: through tritonclient, and what must be refused."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.utils.shared_memory as shm

from cortex.serving import shared_memory
from cortex.serving.errors import Forbidden, InvalidArgument, NotFound, RequestError
from cortex.serving.shared_memory import FOLDER, OFF, Regions, SharedTensor, Span

from .repositories import dense, expected, identity, sample
from .running import running
from .test_grpc import triton_client


@pytest.fixture
def key() -> Iterator[str]:
    """The name of shared memory of 64 bytes."""
    name = f"cortex-test-{uuid4().hex}"
    path = FOLDER / name
    path.write_bytes(bytes(range(64)))
    path.chmod(0o600)
    yield name
    path.unlink(missing_ok=True)


@pytest.fixture
def regions() -> Iterator[Regions]:
    """Regions that may be used, in tensors of at most 32 bytes."""
    found = Regions(32, on=True)
    yield found
    found.unregister()


def test_tritonclient_sends_and_receives_through_shared_memory(tmp_path: Path) -> None:
    dense(tmp_path)
    identity(tmp_path, "words", 8, ("N",))
    x, size = sample(3), 3 * 4 * 4
    name = f"cortex-test-{uuid4().hex}"
    memory: Any = shm.create_shared_memory_region("both", f"/{name}", 4096)
    try:
        with (
            running(tmp_path, shared_memory=True) as server,
            triton_client(server) as client,
        ):
            assert "system_shared_memory" in client.get_server_metadata().extensions
            client.register_system_shared_memory("both", f"/{name}", 4096)
            (told,) = client.get_system_shared_memory_status().regions.values()
            assert (told.name, told.key, told.offset, told.byte_size) == (
                "both",
                f"/{name}",
                0,
                4096,
            )
            shm.set_shared_memory_region(memory, [x])
            given = triton.InferInput("x", [3, 4], "FP32")
            given.set_shared_memory("both", size)
            hidden = triton.InferRequestedOutput("hidden")
            hidden.set_shared_memory("both", 3 * 8 * 4, offset=1024)
            plain = triton.InferRequestedOutput("probabilities")
            found = client.infer("dense", [given], outputs=[hidden, plain])
            there: Any = shm.get_contents_as_numpy(memory, np.float32, [3, 8], offset=1024)
            np.testing.assert_allclose(there, expected(x)["hidden"], 1e-5)
            right = expected(x)["probabilities"]
            np.testing.assert_allclose(found.as_numpy("probabilities"), right, 1e-5)
            parameters = found.get_response().outputs[0].parameters
            assert parameters["shared_memory_region"].string_param == "both"
            assert parameters["shared_memory_byte_size"].int64_param == 3 * 8 * 4
            assert parameters["shared_memory_offset"].int64_param == 1024
            hidden.set_shared_memory("both", 3 * 8 * 4 - 1)
            with pytest.raises(triton.InferenceServerException, match="it takes 96 bytes"):
                client.infer("dense", [given], outputs=[hidden])
            counted = client.get_inference_statistics("dense").model_stats[0].inference_stats
            assert (counted.success.count, counted.fail.count) == (1, 1)
            given.set_shared_memory("both", 4096, 1)
            with pytest.raises(triton.InferenceServerException, match="do not lie in shared"):
                client.infer("dense", [given])
            client.unregister_system_shared_memory()
            assert not client.get_system_shared_memory_status().regions
    finally:
        shm.destroy_shared_memory_region(memory)


def test_where_it_is_off_nothing_is_registered(key: str) -> None:
    with pytest.raises(Forbidden, match="shared memory is off here; cortex-serve --shared-memory"):
        OFF.register("r", key, 0, 64)
    with pytest.raises(Forbidden, match="shared memory is off here"):
        OFF.read(Span("r", 0, 4), "input 'x'")
    assert not OFF.registered()
    OFF.unregister()


def test_reading_and_writing(key: str, regions: Regions) -> None:
    regions.register("r", key, 8, 40)
    assert bytes(regions.read(Span("r", 4, 3), "x")) == bytes([12, 13, 14])
    assert bytes(regions.read(Span("r", 40, 0), "x")) == b""
    regions.write(Span("r", 1, 5), b"abc", "y")
    assert (FOLDER / key).read_bytes()[8:14] == b"\x08abc\x0c\x0d"
    (FOLDER / key).unlink()  # what is registered stays
    assert bytes(regions.read(Span("r", 1, 3), "x")) == b"abc"


SPANS = {
    "unknown": (Span("q", 0, 1), "x: shared memory region 'q' is not registered; registered are"),
    "behind": (Span("r", 1, 64), "x: 64 bytes from byte 1 on do not lie in shared memory region"),
    "far": (Span("r", 1 << 70, 1), "x: 1 bytes from byte 1180591620717411303424 on do not lie"),
    "large": (Span("r", 0, 33), "x: 33 bytes in shared memory, at most 32 are taken"),
}


@pytest.mark.parametrize(("span", "message"), SPANS.values(), ids=SPANS)
def test_a_span_outside_its_region_is_refused(
    key: str, regions: Regions, span: Span, message: str
) -> None:
    regions.register("r", key, 0, 64)
    for use in (regions.read, regions.check):
        with pytest.raises(InvalidArgument, match=re.escape(message)):
            use(span, "x")


def test_a_file_cut_short_is_refused_and_harms_nobody(key: str, regions: Regions) -> None:
    regions.register("r", key, 0, 64)
    os.truncate(FOLDER / key, 16)
    for use in (
        lambda: regions.read(Span("r", 8, 16), "x"),
        lambda: regions.write(Span("r", 8, 16), b"a", "x"),
    ):
        with pytest.raises(InvalidArgument, match=f"x: shared memory {key!r} has become shorter"):
            use()
    assert len(regions.read(Span("r", 8, 8), "x")) == 8


def test_a_file_cut_short_while_it_is_read_is_refused(
    key: str, regions: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    regions.register("r", key, 0, 64)
    honest = os.preadv

    def cut(file: int, buffers: Any, offset: int) -> int:
        os.truncate(FOLDER / key, 4)
        return honest(file, buffers, offset)

    monkeypatch.setattr(os, "preadv", cut)
    with pytest.raises(InvalidArgument, match="has become shorter"):
        regions.read(Span("r", 0, 16), "x")


def test_what_is_unregistered_while_it_is_read_is_read_to_its_end(
    key: str, regions: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the number of its file would be another's by then."""
    regions.register("r", key, 0, 64)
    file, honest = regions.registered("r")[0].file, os.preadv

    def interrupted(number: int, buffers: Any, offset: int) -> int:
        regions.unregister("r")
        os.fstat(number)  # it is open
        return honest(number, buffers, offset)

    monkeypatch.setattr(os, "preadv", interrupted)
    assert bytes(regions.read(Span("r", 0, 16), "x")) == bytes(range(16))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


@pytest.mark.parametrize("name", ["", "r"])
def test_what_is_unregistered_is_closed(key: str, regions: Regions, name: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    regions.register("r", key, 0, 64)
    regions.unregister(name)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("datatype", "size", "slow"),
    [("BYTES", 1 << 20, True), ("BYTES", 1 << 10, False), ("FP32", 1 << 20, False)],
)
def test_strings_are_decoded_away_from_the_event_loop(datatype: str, size: int, slow: bool) -> None:
    assert SharedTensor("x", datatype, (1,), Span("r", 0, size), OFF).slow == slow


def linked(key: str) -> str:
    """A symbolic link."""
    (FOLDER / f"{key}-link").symlink_to(FOLDER / key)
    return f"{key}-link"


def twice(key: str) -> str:
    """A hard link."""
    os.link(FOLDER / key, FOLDER / f"{key}-link")
    return f"{key}-link"


def pipe(key: str) -> str:
    """A pipe, whose opening would wait."""
    os.mkfifo(FOLDER / f"{key}-link")
    return f"{key}-link"


def foreign(key: str) -> str:
    """A file of another user's."""
    os.chown(FOLDER / key, 12345, 12345)
    return key


KEYS: dict[str, tuple[Callable[[str], str], type[RequestError], str]] = {
    "path": (lambda key: f"../shm/{key}", InvalidArgument, "is no name of shared memory"),
    "absolute": (lambda key: f"/dev/shm/{key}", InvalidArgument, "is no name of shared memory"),
    "slashes": (lambda key: f"//{key}", InvalidArgument, "is no name of shared memory"),
    "dot": (lambda key: ".", InvalidArgument, "is no name of shared memory"),
    "hidden": (lambda key: f".{key}", InvalidArgument, "is no name of shared memory"),
    "nul": (lambda key: f"{key}\0", InvalidArgument, "is no name of shared memory"),
    "newline": (lambda key: f"{key}\n", InvalidArgument, "is no name of shared memory"),
    "empty": (lambda key: "", InvalidArgument, "is no name of shared memory"),
    "missing": (lambda key: f"{key}-no", NotFound, "there is no shared memory"),
    "link": (linked, Forbidden, "Too many levels of symbolic links"),
    "hard link": (twice, Forbidden, "is no shared memory but another kind of file"),
    "pipe": (pipe, Forbidden, "is no shared memory but another kind of file"),
}
if os.geteuid() == 0:
    KEYS["foreign"] = (foreign, Forbidden, "belongs to another user, who does not let everyone")


@pytest.mark.parametrize(("named", "kind", "message"), KEYS.values(), ids=KEYS)
def test_a_key_names_shared_memory_and_nothing_else(
    key: str, regions: Regions, named: Callable[[str], str], kind: type[RequestError], message: str
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    try:
        with pytest.raises(kind, match=message):
            regions.register("r", named(key), 0, 64)
    finally:
        (FOLDER / f"{key}-link").unlink(missing_ok=True)
    assert len(os.listdir("/proc/self/fd")) == before
    assert not regions.registered()


REGISTERED = {
    "twice": ("r", 0, 64, "shared memory region 'r' is registered already; unregister it first"),
    "no name": ("", 0, 64, "a name has 1 to 256 characters"),
    "long name": ("a" * 257, 0, 64, "a name has 1 to 256 characters"),
    "nothing": ("q", 0, 0, "0 bytes from byte 0 on are no region"),
    "behind": ("q", 1, 64, "it ends at byte 65, shared memory"),
}


@pytest.mark.parametrize(("name", "offset", "size", "message"), REGISTERED.values(), ids=REGISTERED)
def test_a_region_that_cannot_be_is_refused(
    key: str, regions: Regions, name: str, offset: int, size: int, message: str
) -> None:
    regions.register("r", f"/{key}", 0, 64)
    with pytest.raises(InvalidArgument, match=message):
        regions.register(name, key, offset, size)
    assert [each.name for each in regions.registered()] == ["r"]
    with pytest.raises(NotFound, match="shared memory region 'q' is not registered"):
        regions.registered("q")


def test_there_is_a_most(key: str, regions: Regions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "MOST", 2)
    regions.register("a", key, 0, 64)
    regions.register("b", key, 0, 64)
    with pytest.raises(Forbidden, match="2 regions are registered, which is the most"):
        regions.register("c", key, 0, 64)
    regions.unregister("a")
    regions.register("c", key, 0, 64)


PARAMETERS: dict[str, tuple[dict[str, object], str]] = {
    "no size": ({"shared_memory_region": "r"}, "needs shared_memory_byte_size beside it"),
    "no name": ({"shared_memory_region": 3}, "shared_memory_region is a name, found 3"),
    "offset": (
        {
            "shared_memory_region": "r",
            "shared_memory_byte_size": 4,
            "shared_memory_offset": -1,
        },
        "'shared_memory_offset' is a whole number from 0 on, found -1",
    ),
    "size": (
        {"shared_memory_region": "r", "shared_memory_byte_size": True},
        "'shared_memory_byte_size' is a whole number from 0 on, found True",
    ),
}


@pytest.mark.parametrize(("parameters", "message"), PARAMETERS.values(), ids=PARAMETERS)
def test_parameters_that_say_no_place_are_refused(
    parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"input 'x': .*{message}"):
        Span.of(parameters, "input 'x'")
