"""The live page: what it is told, what it serves, and that training does not wait for it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from cortex.runtime import nn, optim
from cortex.runtime.data import Ahead, Arrays
from cortex.runtime.errors import UsageError
from cortex.runtime.live.answers import SHOWN, Answers
from cortex.runtime.live.board import Board
from cortex.runtime.live.curve import MOST, Curve
from cortex.runtime.live.details import plain
from cortex.runtime.live.listener import LivePage
from cortex.runtime.live.pictures import kernel_png, png
from cortex.runtime.live.projection import principal
from cortex.runtime.live.server import PAGE, PATIENCE, Server
from cortex.runtime.losses import BinaryCrossEntropy, Term
from cortex.runtime.training.loop import Epoch, Listener, Run
from cortex.runtime.training.measures import usual
from cortex.runtime.training.model import Model
from cortex.runtime.training.trainer import Trainer

from . import learning

LABELS = ("dark", "grey", "light")
ROWS = 30


def shades(rows: int = 60, seed: int = 0) -> dict[str, Any]:
    """Pictures 6x6 in three shades, and which."""
    random = np.random.default_rng(seed)
    shade = random.integers(0, 3, rows)
    pictures = shade[:, None, None, None] / 2 + random.normal(0, 0.1, (rows, 6, 6, 1))
    return {"x": pictures.astype(np.float32), "softmax-1:target": np.eye(3, dtype="f4")[shade]}


def run(*listeners: Listener, epochs: int | None = 2) -> Run:
    """A convnet that learns to tell them."""
    model = nn.sequential(
        [
            nn.input(height=6, width=6, channels=1, name="x"),
            nn.convolutional(3, filters=4),
            nn.relu(),
            nn.convolutional(2, filters=5),
            nn.linear(8, l2=1e-3),
            nn.relu(),
            nn.linear(3),
            nn.softmax(),
        ]
    )
    return Run(
        Trainer(model, optim.adam(1e-2), shards=1),
        Arrays(shades()),
        Arrays(shades(ROWS, 1)),
        epochs,
        16,
        usual(model.terms),
        "accuracy",
        listeners,
    )


class Asking(Listener):
    """Looks at the page after the last epoch, while training is not over."""

    def __init__(self, page: LivePage, *paths: str) -> None:
        self.page, self.paths, self.answers = page, paths, dict[str, httpx.Response]()

    def epoch(self, run: Run, epoch: Epoch) -> None:
        if epoch.number == run.epochs:
            with httpx.Client(base_url=self.page.url) as client:
                self.answers = {path: client.get(path) for path in self.paths}


def asked(*paths: str, trained: Any = run) -> list[httpx.Response]:
    """What the page answers once there is something to see."""
    page = LivePage(0, "shades", LABELS)
    asking = Asking(page, *paths)
    trained(page, asking).train()
    return list(asking.answers.values())


def test_the_details_are_those_of_the_last_epoch() -> None:
    response, projection = asked("/details", "/projection")
    told = response.json()
    assert (told["name"], told["goal"], told["revision"]) == ("shades", "accuracy", 3)
    assert told["history"]["epoch"] == [1, 2]
    assert told["history"]["metrics"].keys() == {"loss", "accuracy"}
    assert told["history"]["terms"].keys() == {"cross_entropy of softmax-1", "penalties"}
    assert min(map(min, told["history"]["terms"].values())) > 0
    counts = np.array(told["matrix"]["counts"])
    assert counts.shape == (3, 3)
    assert counts.sum() == told["matrix"]["all"] == ROWS
    accuracy = told["history"]["metrics"]["accuracy"][-1]
    assert np.trace(counts) == told["matrix"]["right"] == round(accuracy * ROWS)
    assert told["matrix"]["labels"] == list(LABELS)
    assert len(told["samples"]) == ROWS
    assert told["samples"][0].keys() == {"example", "place", "wanted", "guess", "confidence"}
    assert set(told["learnt"]) <= set(LABELS)
    assert told["kernels"] == [
        ["convolutional-1/kernel", 3, 3, 1, 4],
        ["convolutional-2/kernel", 2, 2, 4, 5],
    ]
    assert told["embedding"] == "relu-2"
    assert np.abs(projection.json()["points"]).max() == 1
    assert np.array(projection.json()["points"]).shape == (ROWS, 2)
    assert len(projection.json()["classes"]) == ROWS


def test_every_layer_has_numbers_about_its_parameters() -> None:
    (response,) = asked("/details")
    layers = {layer["name"]: layer for layer in response.json()["layers"]}
    assert list(layers) == [
        "x", "convolutional-1", "relu-1", "convolutional-2", "linear-1", "relu-2", "linear-2",
        "softmax-1",
    ]  # fmt: skip
    kernel, bias = layers["linear-2"]["parameters"]
    assert (kernel["name"], kernel["shape"], bias["shape"]) == ("kernel", "8×3", "3")
    assert kernel["largest"] > kernel["deviation"] > 0
    assert kernel["gradient"] > 0


def test_a_cell_has_its_examples_the_surest_first() -> None:
    paths = [f"/cells/{wanted}/{guess}" for wanted in range(3) for guess in range(3)]
    details, *cells = asked("/details", *paths)
    counts = np.array(details.json()["matrix"]["counts"]).reshape(-1)
    truth = shades(ROWS, 1)["softmax-1:target"].argmax(1)
    for number, (cell, count) in enumerate(zip(cells, counts, strict=True)):
        examples = cell.json()
        assert len(examples) == count
        assert {truth[each["example"]] for each in examples} <= {number // 3}
        confidence = [each["confidence"] for each in examples]
        assert confidence == sorted(confidence, reverse=True)


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/examples/29.png", (6, 6)),
        ("/learnt/0.png", (6, 6)),
        ("/kernels/0.png", (7, 7)),  # 4 filters 3x3
        ("/kernels/1.png", (11, 14)),  # 5 filters of 4 channels, 2x2
    ],
)
def test_pictures_are_made_when_they_are_asked_for(path: str, size: tuple[int, int]) -> None:
    (response,) = asked(path)
    assert response.headers["content-type"] == "image/png"
    assert Image.open(BytesIO(response.content)).size == size


@pytest.mark.parametrize(
    "path",
    ["/examples/30.png", "/learnt/24.png", "/kernels/2.png", "/cells/3/0", "/cells/0/-1", "/etc",
     "/../pyproject.toml"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(path: str) -> None:
    (response,) = asked(path)
    assert response.status_code == 404


def test_a_network_without_pictures_or_classes_has_a_page_too() -> None:
    def regression(*listeners: Listener) -> Run:
        model = nn.sequential([nn.input(2, name="x"), nn.linear(1, name="y")])
        data = {"x": np.ones((8, 2), "f4"), "y:target": np.ones((8, 1), "f4")}
        return Run(Trainer(model, optim.sgd(0.1)), Arrays(data), None, 1, 4, listeners=listeners)

    details, *others = asked(
        "/details", "/projection", "/cells/0/0", "/examples/0.png", "/learnt/0.png",
        trained=regression,
    )  # fmt: skip
    told = details.json()
    assert (told["matrix"], told["samples"], told["pictures"]) == (None, [], False)
    assert (told["kernels"], told["learnt"], told["embedding"]) == ([], [], None)
    assert [other.status_code for other in others] == [200, 404, 404, 404]


def test_an_autoencoder_has_pictures_but_no_classes() -> None:
    def autoencoder(*listeners: Listener) -> Run:
        layers = [nn.input(height=6, width=6, channels=1, name="x"), nn.linear(36), nn.logistic()]
        model = nn.sequential(layers)
        (output,) = model.network.graph.outputs
        term = Term(BinaryCrossEntropy(), model.network.graph.outputs[output], "same")
        model = Model(model.network, [term])
        x = np.clip(shades()["x"], 0, 1)
        data = Arrays({"x": x, "same": x.reshape(len(x), -1)})
        measures = usual(model.terms)
        return Run(Trainer(model, optim.sgd(0.1)), data, data, 1, 16, measures, listeners=listeners)

    details, picture = asked("/details", "/learnt/0.png", trained=autoencoder)
    told = details.json()
    assert (told["matrix"], told["pictures"], set(told["learnt"])) == (None, True, {""})
    assert picture.status_code == 200


def test_the_layer_that_is_drawn_can_be_named() -> None:
    page = LivePage(0, embedding="linear-1")
    one = run(page)
    one.train()
    assert one.answers["linear-1"].shape == (ROWS, 8)
    with pytest.raises(UsageError, match="no layer is called 'liner'; there are x, conv"):
        run(LivePage(0, embedding="liner")).train()


def test_classes_have_the_names_that_the_data_give_them() -> None:
    page = LivePage(0)
    asking = Asking(page, "/details")
    one = run(page, asking)
    data = Arrays(shades())
    data.classes = LABELS
    one.data = Ahead(data)
    one.train()
    told = asking.answers["/details"].json()
    assert told["matrix"]["labels"] == list(LABELS)
    assert {at["guess"] for at in told["samples"]} | set(told["learnt"]) <= set(LABELS)


def test_rows_that_are_no_pictures_are_told_by_their_numbers() -> None:
    details, picture = asked("/details", "/examples/0.png", trained=learning.run)
    assert details.json()["samples"][4]["example"] == 4
    assert not details.json()["pictures"]
    assert picture.status_code == 404


@pytest.fixture
def server() -> Iterator[Server]:
    """One without a training."""
    made = Server(0)
    yield made
    made.close()


@pytest.mark.parametrize("path", PAGE)
def test_the_page_runs_nothing_but_its_own_files(server: Server, path: str) -> None:
    response = httpx.get(server.url + path)
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    if path == "/":
        assert " style=" not in response.text
        assert "<script>" not in response.text
        assert "//" not in response.text.replace("<!doctype html>", "")


def test_another_sites_name_does_not_lead_here(server: Server) -> None:
    assert httpx.get(server.url, headers={"host": "evil.example"}).status_code == 400
    assert httpx.get(server.url, headers={"host": "localhost:8091"}).status_code == 200


def test_a_port_that_is_taken_is_told(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1: Address already in use"):
        run(LivePage(port)).train()


def events(url: str, into: list[dict[str, Any]], began: threading.Event | None = None) -> None:
    """Reads the news to their end."""
    with httpx.stream("GET", f"{url}/news", timeout=10) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            if line.startswith("data: "):
                into.append(json.loads(line[6:]))
                if began:
                    began.set()


class Watched(Listener):
    """Opens a stream when training begins."""

    def __init__(self, page: LivePage) -> None:
        self.page, self.news, self.began = page, list[dict[str, Any]](), threading.Event()
        self.thread = threading.Thread(target=lambda: events(page.url, self.news, self.began))

    def begin(self, run: Run) -> None:
        self.thread.start()
        assert self.began.wait(10)


@pytest.mark.parametrize(
    ("epochs", "status"), [(2, "done"), (None, "stopped")], ids=["done", "stopped"]
)
def test_a_stream_has_the_news_and_ends_with_the_training(epochs: int | None, status: str) -> None:
    page = LivePage(0)
    watched = Watched(page)

    class Stop(Listener):
        def epoch(self, run: Run, epoch: Epoch) -> None:
            run.stop = run.epochs is None

    run(page, watched, Stop(), epochs=epochs).train()
    watched.thread.join(5)
    assert not watched.thread.is_alive()
    assert watched.news[0]["status"] == "training"
    last = watched.news[-1]
    assert (last["status"], last["done"]) == (status, 2 if epochs else 1)
    assert len(last["curve"][0]) == len(last["curve"][1]) > 0


def test_an_open_stream_that_nobody_reads_does_not_hold_up_the_end(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as reader:
        reader.sendall(b"GET /news HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reader.recv(100)
        for _ in range(200):
            server.board.write("x" * 100_000)
            time.sleep(0.001)
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 2 * PATIENCE + 2


def test_a_slow_reader_misses_news_and_gets_the_last() -> None:
    async def reading() -> list[str | None]:
        board = Board(asyncio.get_running_loop())
        found: list[str | None] = []
        board.write("0")
        async for text in board.read():
            found.append(text)
            if text == "0":
                for number in range(1, 100):
                    board.write(str(number))
                board.close()
        assert board.readers == 0
        return found

    assert asyncio.run(reading()) == ["0", "99"]


def test_news_from_another_thread_wake_a_reader() -> None:
    async def reading() -> list[str | None]:
        board = Board(asyncio.get_running_loop())
        writer = threading.Thread(target=lambda: (board.write("late"), board.close()))
        asyncio.get_running_loop().call_later(0.01, writer.start)
        found = [text async for text in board.read()]
        writer.join()
        return found

    assert asyncio.run(reading()) == ["late"]


@pytest.mark.parametrize("count", [1, MOST, MOST + 1, 5 * MOST + 3])
def test_a_curve_of_any_length_has_few_points_and_the_same_mean(count: int) -> None:
    curve = Curve()
    for i in range(count):
        curve.add(i, float(i))
    x, y = curve.points
    assert len(x) == len(y) <= MOST
    assert curve.latest == count - 1
    whole = int(x[-1]) + 1  # what is over is in no point yet
    assert np.mean(y) == pytest.approx((whole - 1) / 2)


def test_two_components_show_the_most_of_the_spread() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(40, 6)) * [9, 1, 4, 0.1, 0.1, 0.1]
    found = principal(values.astype(np.float32))
    centred = values - values.mean(0)
    axes = np.linalg.svd(centred)[2][:2]
    expected = centred @ axes.T
    expected /= np.abs(expected).max()
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)


@pytest.mark.parametrize(
    "values", [np.ones((1, 3)), np.zeros((5, 2)), np.full((3, 2), np.nan), np.ones((4, 2, 2))]
)
def test_a_projection_of_nearly_nothing_is_finite(values: Any) -> None:
    found = principal(values)
    assert found.shape == (len(values), 2)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_picture_has_the_values_between_black_and_white(channels: int) -> None:
    image = np.array([[-1, 0], [1, np.nan]], np.float32)[..., None].repeat(channels, 2)
    shown = np.asarray(Image.open(BytesIO(png(image, -1, 1))))
    grey = shown if shown.ndim == 2 else shown[..., 0]
    assert shown.ndim == (3 if channels > 2 else 2)
    assert grey.tolist() == [[0, 128], [255, 0]]


def test_the_weights_of_a_first_layer_are_in_colour() -> None:
    made = Image.open(BytesIO(kernel_png(np.ones((5, 4, 3, 7), np.float32))))
    assert (made.mode, made.size) == ("RGB", (14, 17))


def test_answers_to_a_sequence_know_their_place() -> None:
    found = np.eye(2)[[[0, 1, 0], [1, 1, 0]]]
    answers = Answers(found, np.array([[0, 0, 0], [1, 1, 1]]), ["a", "b"])
    assert answers.matrix()["counts"] == [[2, 1], [1, 2]]
    assert [(at["example"], at["place"]) for at in answers.cell(0, 1)] == [(0, 1)]
    assert [at["example"] for at in answers.samples()] == [0, 1]


def test_one_score_is_two_classes() -> None:
    answers = Answers(np.array([[0.9], [0.2], [0.6]]), np.array([[1], [0], [0]]), ["no", "yes"])
    assert answers.matrix()["counts"] == [[1, 1], [0, 1]]
    assert answers.matrix()["mistakes"] == [[0, 1, 1]]
    assert answers.confidence.tolist() == [0.9, 0.8, 0.6]


def test_of_many_classes_and_examples_only_some_are_shown() -> None:
    scores = np.zeros((300, 100))
    scores[:, 7] = 1
    answers = Answers(scores, np.full(300, 5), [str(i) for i in range(100)])
    assert answers.matrix()["counts"] is None
    assert answers.matrix()["mistakes"] == [[5, 7, 300]]
    assert len(answers.cell(5, 7)) == SHOWN


def test_json_has_none_for_what_is_no_number() -> None:
    assert plain({"a": [1.0, float("nan"), (float("inf"), "x")]}) == {"a": [1.0, None, [None, "x"]]}
