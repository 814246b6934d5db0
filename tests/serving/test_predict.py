"""``cortex-predict``: what it reads, what it prints, what it says when it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cortex.runtime.errors import CortexError, UnreadableFile, Unsupported, UsageError
from cortex.serving.client.answers import as_json, ranking
from cortex.serving.client.connection import Client, Inference, ServerError, Tensor
from cortex.serving.client.inputs import read_inputs
from cortex.serving.server import Server

from .certificates import certificates
from .repositories import expected, sample
from .running import running

COMMAND = [sys.executable, "-c", "from cortex.serving.client.predict import main; main()"]
X = Tensor("x", "FP32", (-1, 4))
PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def run(server: object, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    return subprocess.run(
        [*COMMAND, str(server), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One row for the dense network, without the axis of the batch."""
    np.save(tmp_path / "x.npy", sample(1)[0])
    return tmp_path / "x.npy"


def test_the_best_classes_are_printed(server: Server, file: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("zero\none\ntwo\n")
    labels = ("--labels", tmp_path / "labels.txt")
    ended = run(server.grpc, "dense", "--input", file, "--top", "2", *labels)
    assert (ended.returncode, ended.stderr) == (0, "")
    scores = expected(sample(1))["probabilities"][0]
    best = np.argsort(-scores)
    for place in best[:2]:
        assert f"{('zero', 'one', 'two')[place]}" in ended.stdout
        assert f"{scores[place]:.4f}" in ended.stdout
    assert ("zero", "one", "two")[best[2]] not in ended.stdout


def test_json_is_one_object(server: Server, file: Path) -> None:
    ended = run(server.grpc, "dense", "--input", file, "--json", "--version", "1")
    assert (ended.returncode, ended.stderr) == (0, "")
    found = json.loads(ended.stdout)
    scores = expected(sample(1))["probabilities"]
    assert (found["model"], found["version"]) == ("dense", "1")
    assert found["outputs"]["probabilities"]["shape"] == [1, 3]
    np.testing.assert_allclose(found["outputs"]["probabilities"]["data"], scores, 1e-5)
    assert [each["index"] for each in found["top"][0]] == np.argsort(-scores[0]).tolist()


def test_layers_are_printed_as_shapes_and_values(server: Server, file: Path) -> None:
    outputs = ("--output", "hidden", "--output", "scores")
    ended = run(server.grpc, "dense", "--input", file, *outputs)
    assert ended.returncode == 0
    hidden, scores = ended.stdout.splitlines()
    assert hidden.startswith("hidden  [1, 8]  ")
    assert scores.startswith("scores  [1, 3]  ")
    first = float(scores.split("]  ")[1].split(",")[0])
    assert first == pytest.approx(float(expected(sample(1))["scores"][0, 0]), rel=1e-4)


FAILURES: dict[str, tuple[list[str], int, str]] = {
    "unknown model": (["nope"], 3, "model 'nope' is not here"),
    "unknown version": (["dense", "--version", "9"], 3, "model 'dense' has no version '9'"),
    "not ready": (["broken"], 3, "model 'broken': no version of it is ready"),
    "unknown output": (["dense", "--output", "z"], 3, "output 'z': model 'dense' has no output or"),
    "two inputs": (["two"], 3, "x.npy: one array, but the model takes a, b: give an .npz of these"),
    "wrong shape": (["picture"], 3, "input 'x': the model takes shape [-1, 4, 6, 3], found [4]"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), FAILURES.values(), ids=FAILURES)
def test_what_goes_wrong_is_one_line(
    server: Server, file: Path, arguments: list[str], code: int, message: str
) -> None:
    ended = run(server.grpc, *arguments, "--input", file)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr.startswith("cortex-predict: ")
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_server_that_is_not_there_is_one_line(file: Path) -> None:
    ended = run("127.0.0.1:1", "dense", "--input", file)
    assert ended.returncode == 3
    assert ended.stderr.startswith("cortex-predict: 127.0.0.1:1: ")
    assert "Connection refused" in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("server", "arguments", "message"),
    [
        ("127.0.0.1:1", ["dense"], "Missing option '--input'"),
        ("localhost", ["dense", "--input", "x.npy"], "'localhost': give the server as HOST:PORT"),
        ("http://a:1", ["dense", "--input", "x.npy"], "'http://a:1': give the server as HOST:PORT"),
    ],
)
def test_wrong_usage_is_2(server: str, arguments: list[str], message: str) -> None:
    ended = run(server, *arguments)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_file_must_be_there() -> None:
    ended = run("127.0.0.1:1", "dense", "--input", "/no/such/file.npy")
    assert ended.returncode == 3
    assert "/no/such/file.npy: no such file" in ended.stderr


def test_the_client_has_every_kind_of_answer(server: Server) -> None:
    with Client(str(server.grpc)) as client:
        words = np.array([["a", "é"]])
        answer = client.infer("same-bytes", {"x": words}).outputs["y"]
        assert answer.tolist() == [[b"a", "é".encode()]]
        inputs, outputs = client.metadata("two")
        assert [each.name for each in (*inputs, *outputs)] == ["a", "b", "sum"]
        with pytest.raises(ServerError, match="model 'nope' is not here"):
            client.infer("nope", {})


def test_an_npz_holds_an_array_for_each_input(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.ones(3), b=np.zeros((2, 3), np.int8), c=1)
    wanted = [Tensor("a", "FP32", (-1, 3)), Tensor("b", "INT64", (-1, 3))]
    found = read_inputs(tmp_path / "x.npz", wanted)
    assert {name: (array.shape, array.dtype.name) for name, array in found.items()} == {
        "a": ((1, 3), "float32"),
        "b": ((2, 3), "int64"),
    }


def save(path: Path, mode: str = "RGB", size: tuple[int, int] | None = None) -> Path:
    """A small picture."""
    image = Image.fromarray(PIXELS).convert(mode)
    (image.resize(size) if size else image).save(path)
    return path


def test_a_picture_becomes_the_model_s_input(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = read_inputs(save(tmp_path / "x.png"), [Tensor("x", "FP32", (-1, 4, 6, 3))])["x"]
    assert (found.shape, found.dtype.name) == ((1, 4, 6, 3), "float32")
    np.testing.assert_allclose(found[0], PIXELS / 255, rtol=1e-6)
    assert caplog.messages == [
        f"{tmp_path / 'x.png'}: values divided by 255, to lie between 0 and 1"
    ]


def test_a_picture_is_brought_to_size_and_channels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(tmp_path / "x.png", size=(12, 8))
    found = read_inputs(path, [Tensor("x", "UINT8", (-1, 1, 4, 6))])["x"]
    assert (found.shape, found.dtype.name) == ((1, 1, 4, 6), "uint8")
    assert caplog.messages == [f"{path}: resized from 12×8 to 6×4"]


@pytest.mark.parametrize("shape", [(-1, -1, -1, 3), (-1, 3, -1, -1)])
def test_where_the_model_takes_any_size_a_picture_keeps_its_own(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    found = read_inputs(save(tmp_path / "x.jpg"), [Tensor("x", "FP32", shape)])["x"]
    assert found.shape == ((1, 4, 6, 3) if shape[-1] == 3 else (1, 3, 4, 6))


def text(path: Path) -> Path:
    """A file of words."""
    path.write_text("nothing of the kind")
    return path


def pickled(path: Path) -> Path:
    """An array that would run code."""
    np.save(path, np.array([{}], object), allow_pickle=True)
    return path


def saved(array: Any) -> Callable[[Path], Path]:
    """Writes an array."""

    def write(path: Path) -> Path:
        np.save(path, array)
        return path

    return write


BAD_FILES: dict[str, tuple[str, Callable[[Path], Path], type[CortexError], str]] = {
    "kind": ("x.txt", text, UsageError, "x.txt: give one of .npy, .npz, .png, .jpg,"),
    "no array": ("x.npy", text, UnreadableFile, "x.npy: no file of numpy arrays of numbers"),
    "no archive": ("x.npz", text, UnreadableFile, "x.npz: no file of numpy arrays of numbers"),
    "pickle": ("x.npy", pickled, UnreadableFile, "x.npy: no file of numpy arrays of numbers"),
    "dtype": (
        "x.npy",
        saved(np.ones(4, np.complex64)),
        Unsupported,
        "input 'x': the model takes FP32, the file holds complex64",
    ),
    "picture": (
        "x.png",
        save,
        Unsupported,
        "input 'x' takes shape [-1, 4], which is not that of pictures",
    ),
}


@pytest.mark.parametrize(("name", "write", "kind", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_will_not_do_is_named(
    tmp_path: Path,
    name: str,
    write: Callable[[Path], Path],
    kind: type[CortexError],
    message: str,
) -> None:
    with pytest.raises(kind) as error:
        read_inputs(write(tmp_path / name), [X])
    assert message in str(error.value)


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"x\.png: no picture: none of JPEG, PNG"):
        read_inputs(text(tmp_path / "x.png"), [Tensor("x", "FP32", (-1, 4, 6, 3))])


def test_an_input_that_the_npz_lacks_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", z=np.ones(4))
    with pytest.raises(Unsupported, match="no array 'x', which the model takes; it holds z"):
        read_inputs(tmp_path / "x.npz", [X])


def test_labels_must_fit_the_classes() -> None:
    inference = Inference("m", "1", {"y": np.ones((1, 3))})
    with pytest.raises(UsageError, match="2 labels were given for 3 classes"):
        ranking(inference, ["a", "b"], 5)


@pytest.mark.parametrize("shape", [(3,), (2, 1), (1, 3, 3)])
def test_only_rows_of_scores_have_classes(shape: tuple[int, ...]) -> None:
    assert ranking(Inference("m", "1", {"y": np.ones(shape)}), [], 5) is None


def test_json_has_no_numbers_that_are_none() -> None:
    values = {"f": np.array([1, np.nan, np.inf]), "b": np.array([b"a", b"\xff"], object)}
    found = json.loads(as_json(Inference("m", "1", values), None))
    assert found["outputs"]["f"]["data"] == [1, None, None]
    assert found["outputs"]["b"]["data"] == ["a", "\ufffd"]


def test_a_guarded_server_is_asked_with_a_certificate_and_a_token(
    repository: Path, file: Path, tmp_path: Path
) -> None:
    pem = certificates(tmp_path)
    tokens = tmp_path / "tokens"
    tokens.write_text("# for tests\nsixteen-or-more-characters\n")
    cert, key = pem.server
    guarded = {"tls_cert": cert, "tls_key": key, "tls_client_ca": pem.ca, "token_file": tokens}
    with running(repository, **guarded) as server:
        asked = ["dense", "--input", file, "--json", "--tls-ca", pem.ca]
        shown = ["--tls-cert", pem.client[0], "--tls-key", pem.client[1]]
        ended = run(server.grpc, *asked, *shown, "--token-file", tokens)
        refused = run(server.grpc, *asked, *shown)
        nobody = run(server.grpc, *asked, "--token-file", tokens)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["model"] == "dense"
    for other in (refused, nobody):
        assert other.returncode == 3
        assert len(other.stderr.splitlines()) == 1
    assert "token" in refused.stderr


def test_a_certificate_without_tls_is_a_usage_error(file: Path) -> None:
    ended = run("localhost:1", "dense", "--input", file, "--tls-cert", file)
    assert ended.returncode == 2
    assert "--tls-ca" in ended.stderr
