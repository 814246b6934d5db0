"""Models that take pictures as they are, and clients that are told what to do with them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from onnx import helper

from cortex.runtime.preprocessing import Preprocessing
from cortex.serving.client.connection import Client, ServerError
from cortex.serving.server import Server

from .repositories import FLOAT, single
from .running import running
from .test_pictures import PIXELS, bomb, encoded
from .test_predict import run

SIZES = ("N", 4, 6, 3)
HOW = Preprocessing(channels="bgr", mean=(1, 2, 3), std=2)
EXPECTED = (PIXELS[..., ::-1].astype(np.float32) - (1, 2, 3)) / 2
LABELS = ("blue", "green", "red")


def darkest(root: Path, name: str, **config: Any) -> None:
    """Installs a model that answers with each channel's mean, and with its input."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["first"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"], axis=1),
        helper.make_node("Identity", ["x"], ["seen"]),
    ]
    turn = helper.make_node("Transpose", ["x"], ["first"], perm=(0, 3, 1, 2))
    outputs = [("means", FLOAT, ("N", 3)), ("seen", FLOAT, SIZES)]
    single(root, name, [("x", FLOAT, SIZES)], outputs, [turn, *nodes], **config)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves models that decode, that tell how, and one that does not fit what it tells."""
    root = tmp_path_factory.mktemp("pictures")
    darkest(root, "decodes", decode_images=True, preprocessing=HOW)
    darkest(root, "tells", preprocessing=HOW, labels=LABELS)
    darkest(root, "mislabelled", labels=LABELS[:2])
    darkest(root, "unfit", preprocessing=Preprocessing(size=(5, 5)))
    with running(root) as server:
        yield server


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture that the models take without resizing."""
    (tmp_path / "photo.png").write_bytes(encoded())
    return tmp_path / "photo.png"


def ask(server: Server, elements: list[bytes]) -> dict[str, Any]:
    """What the model that decodes makes of pictures."""
    with Client(str(server.grpc)) as client:
        pictures = np.array(elements, object).reshape(-1, 1)
        return dict(client.infer("decodes", {"x": pictures}).outputs)


def test_the_input_is_announced_as_bytes(server: Server) -> None:
    with Client(str(server.grpc)) as client:
        ((x,), _) = client.metadata("decodes")
    assert (x.name, x.datatype, x.shape) == ("x", "BYTES", (-1, 1))


def test_pictures_are_decoded(server: Server) -> None:
    outputs = ask(server, [encoded(), encoded(255 - PIXELS)])
    np.testing.assert_allclose(outputs["seen"][0], EXPECTED)
    assert outputs["seen"].shape == (2, 4, 6, 3)
    np.testing.assert_allclose(outputs["means"][0], EXPECTED.mean((0, 1)), rtol=1e-5)


def test_triton_s_client_sends_one_as_it_sends_any(server: Server) -> None:
    from tritonclient import grpc as triton

    client: Any = triton.InferenceServerClient(str(server.grpc))
    given: Any = triton.InferInput("x", [1, 1], "BYTES")
    given.set_data_from_numpy(np.array([[encoded()]], object))
    seen = client.infer("decodes", [given]).as_numpy("seen")
    client.close()
    np.testing.assert_allclose(seen[0], EXPECTED)


def test_a_file_is_a_body_of_rest(server: Server) -> None:
    answer = httpx.post(
        f"http://{server.http}/v2/models/decodes/infer",
        content=encoded(),
        headers={"Inference-Header-Content-Length": "0"},
    )
    assert answer.status_code == 200
    length = int(answer.headers["Inference-Header-Content-Length"])
    outputs = json.loads(answer.content[:length])["outputs"]
    assert [each["name"] for each in outputs] == ["means", "seen"]
    values = np.frombuffer(answer.content[length + 12 :], np.float32)
    np.testing.assert_allclose(values.reshape(EXPECTED.shape), EXPECTED)


def test_base64_is_refused_with_what_to_do(server: Server) -> None:
    given = {"name": "x", "shape": [1, 1], "datatype": "BYTES", "data": ["iVBORw0KGgo"]}
    answer = httpx.post(f"http://{server.http}/v2/models/decodes/infer", json={"inputs": [given]})
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        "input 'x', picture 0: it is base64; send the picture's own bytes"
    )


@pytest.mark.parametrize("bad", [b"", b"text", encoded(kind="JPEG")[:-40], bomb()])
def test_a_picture_that_will_not_do_is_the_client_s_fault(server: Server, bad: bytes) -> None:
    with pytest.raises(ServerError, match="input 'x', picture 1: no picture: ") as error:
        ask(server, [encoded(), bad])
    cause: Any = error.value.__context__
    assert cause.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "\n" not in str(error.value)


def predicted(server: Server, model: str, photo: Path, *more: str) -> dict[str, Any]:
    """What cortex-predict makes of a picture; it has nothing to remark."""
    ended = run(server.grpc, model, "--input", photo, "--json", *more)
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


@pytest.mark.parametrize("model", ["decodes", "tells"])
def test_the_client_does_what_the_server_says(server: Server, photo: Path, model: str) -> None:
    seen = predicted(server, model, photo)["outputs"]["seen"]["data"]
    np.testing.assert_allclose(seen[0], EXPECTED)


def labels(ended: dict[str, Any]) -> set[str]:
    """What the classes of an answer are called."""
    return {each["label"] for each in ended["top"][0]}


def test_labels_come_from_the_server_or_the_command_line(
    server: Server, photo: Path, tmp_path: Path
) -> None:
    means = ("--output", "means")
    assert labels(predicted(server, "tells", photo, *means)) == set(LABELS)
    (tmp_path / "own.txt").write_text("a\nb\nc\n")
    own = predicted(server, "tells", photo, *means, "--labels", str(tmp_path / "own.txt"))
    assert labels(own) == {"a", "b", "c"}


def test_labels_that_do_not_fit_are_left_out(server: Server, photo: Path) -> None:
    ended: subprocess.CompletedProcess[str] = run(
        server.grpc, "mislabelled", "--input", photo, "--json", "--output", "means"
    )
    assert labels(json.loads(ended.stdout)) == {""}
    assert "the server has 2 labels, output 'means' has shape (3,)" in ended.stderr


def test_a_preprocessing_that_does_not_fit_keeps_a_model_out(server: Server) -> None:
    with Client(str(server.grpc)) as client, pytest.raises(ServerError, match="'unfit'"):
        client.metadata("unfit")
