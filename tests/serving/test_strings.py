"""A model that takes strings: replayed before it is ready, asked for numbers and for strings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cortex.runtime import ops
from cortex.runtime.check import Check, Recorded
from cortex.runtime.export import export
from cortex.runtime.ir import Graph, Layer, Node
from cortex.runtime.network import Network
from cortex.runtime.repository import CHECK, WEIGHTS, install, write_check
from cortex.runtime.tensor import STRING, Tensor
from cortex.runtime.weights import WeightsFile
from cortex.serving.client.connection import Client, ServerError
from cortex.serving.server import Server

from .running import running

WORDS = ("the", "cat", "Été")


def words() -> Network:
    """Texts as the numbers of their first three words, and as these words again."""
    nodes = (
        Node("small", ops.Lower(), ("text",)),
        Node("bare", ops.RemoveCharacters("!,."), ("small",)),
        Node("split", ops.SplitText(3), ("bare",)),
        Node("ids", ops.LookupText(("", *WORDS), (0, 2, 3, 4), 1), ("split",)),
        Node("known", ops.TextOf((0, 2, 3, 4), ("", *WORDS), "[UNK]"), ("ids",)),
    )
    inputs, outputs = {"text": Tensor(("N",), STRING)}, {"ids": "ids", "known": "known"}
    return Network(Graph(inputs, nodes, outputs, {"split": Layer("split")}), {})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root, network = tmp_path_factory.mktemp("strings"), words()
    text = np.array(["The cat!", ""], object)
    found = network.run({"text": text}, ["ids", "known", "split"])
    records = {name: Recorded.of(value) for name, value in found.items()}
    layers = {"split": records.pop("split")}
    with install(root, "words") as version:
        network.save(version.path / WEIGHTS)
        model = export(network, WeightsFile.open(version.path / WEIGHTS))
        Path(version.model).write_bytes(model.SerializeToString())
        write_check(version.path / CHECK, Check({"text": text}, records, layers))
    with running(root) as server:
        yield server


def test_it_says_what_it_takes(server: Server) -> None:
    with Client(str(server.grpc)) as client:
        inputs, outputs = client.metadata("words")
    found = [(tensor.name, tensor.datatype) for tensor in (*inputs, *outputs)]
    assert found == [("text", "BYTES"), ("ids", "INT64"), ("known", "BYTES")]


def test_it_answers(server: Server) -> None:
    texts = np.array(["A CAT, the\tcat", "", "Été! été"])
    with Client(str(server.grpc)) as client:
        answer = client.infer("words", {"text": texts}).outputs
    assert answer["ids"].tolist() == [[1, 3, 2], [0, 0, 0], [4, 1, 0]]
    known = [[word.decode() for word in row] for row in answer["known"]]
    assert known == [["[UNK]", "cat", "the"], ["", "", ""], ["Été", "[UNK]", ""]]


def test_a_layer_of_strings_is_answered(server: Server) -> None:
    with Client(str(server.grpc)) as client:
        found = client.infer("words", {"text": np.array(["b  A."])}, outputs=["split"]).outputs
    assert found["split"].tolist() == [[b"b", b"a", b""]]


def test_strings_are_utf_8(server: Server) -> None:
    with Client(str(server.grpc)) as client, pytest.raises(ServerError, match="is not UTF-8"):
        client.infer("words", {"text": np.array([b"\xff"], object)})
