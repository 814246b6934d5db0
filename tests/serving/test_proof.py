"""Checks are replayed at every batch size that is served, and by ``--check`` alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from cortex.runtime.check import Check, Recorded
from cortex.runtime.errors import Disagreement
from cortex.runtime.repository import ModelVersion, write_check
from cortex.serving.engine import replay as replaying
from cortex.serving.model import OpenModel

from .adders import X, adder, configure
from .repositories import FLOAT, identity, single
from .test_serve_command import run


def version(root: Path, name: str) -> ModelVersion:
    """The first version of a model."""
    return ModelVersion(name, 1, root / name / "1")


@pytest.mark.parametrize(
    ("most", "expected"), [(1, [1, 2]), (2, [1, 2]), (3, [1, 2, 3]), (32, [1, 2, 32])]
)
def test_it_is_replayed_in_the_batches_that_are_served(
    tmp_path: Path, most: int, expected: list[int]
) -> None:
    adder(tmp_path, max_batch=most, runners=1)
    proof = OpenModel.open(version(tmp_path, "adder")).proof
    assert proof
    assert list(proof.rows) == expected
    assert (proof.evidence, proof.largest) == ("engines", 0.0)


def test_what_takes_too_long_is_tried_with_fewer_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adder(tmp_path, max_batch=32, runners=1)
    monkeypatch.setattr(replaying, "LONGEST", 0.0)
    proof = OpenModel.open(version(tmp_path, "adder")).proof
    assert proof
    assert list(proof.rows) == [1, 2]


def test_a_model_that_depends_on_its_batch_is_found_out(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], start=0, end=1),
        helper.make_node("Cast", ["s"], ["rows"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "rows"], ["y"]),
    ]
    single(tmp_path, "net", [("x", FLOAT, ("N", 2))], [("y", FLOAT, ("N", 2))], nodes)
    check = Check({"x": X}, {"y": Recorded.of(X + 2)}, {})
    write_check(tmp_path / "net" / "1" / "check.safetensors", check)
    configure(tmp_path, "net", max_batch=2, runners=1)
    with pytest.raises(Disagreement, match=r"in a batch of 1 rows, allowed are .*; no layers"):
        OpenModel.open(version(tmp_path, "net"))


def test_requests_that_share_no_batch_are_replayed_as_recorded(tmp_path: Path) -> None:
    identity(tmp_path, "net", FLOAT, (2, 2))
    check = Check({"x": X}, {"y": Recorded.of(X)}, {})
    write_check(tmp_path / "net" / "1" / "check.safetensors", check)
    proof = OpenModel.open(version(tmp_path, "net")).proof
    assert proof
    assert list(proof.rows) == []


def test_rows_that_do_not_come_out_even_are_all_compared(tmp_path: Path) -> None:
    """A record of three rows, in batches of seven: 3 + 3 + 1."""
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    identity(tmp_path, "net", FLOAT)
    write_check(
        tmp_path / "net" / "1" / "check.safetensors", Check({"x": x}, {"y": Recorded.of(x)}, {})
    )
    configure(tmp_path, "net", max_batch=7, runners=1)
    proof = OpenModel.open(version(tmp_path, "net")).proof
    assert proof
    assert list(proof.rows) == [1, 3, 7]


def test_check_prints_what_would_be_served(tmp_path: Path) -> None:
    adder(tmp_path, "good")
    identity(tmp_path, "unproved", FLOAT)
    ended = run(str(tmp_path), "--check")
    assert ended.returncode == 0
    assert ended.stdout.splitlines() == [
        "model     version  evidence  largest difference  ok",
        "good      1        engines   0.0e+00             yes",
        "unproved  1        none      -                   yes",
    ]
    adder(tmp_path, "bad", wrong=True)
    adder(tmp_path, "chosen", version_policy=[1, 2])
    adder(tmp_path, "good")
    configure(tmp_path, "unproved", max_batch=0)
    ended = run(str(tmp_path), "--check", "-q")
    assert ended.returncode == 1
    assert [line.split()[:4] for line in ended.stdout.splitlines()[1:]] == [
        ["bad", "1", "-", "-"],
        ["chosen", "1", "engines", "0.0e+00"],
        ["chosen", "2", "-", "-"],
        ["good", "2", "engines", "0.0e+00"],
        ["unproved", "1", "-", "-"],
    ]
    for part in (
        "no: output 'y' differs from its check by",
        "no: its version_policy names it, and it is not there",
        "unproved/config.json: max_batch: Input should be",
    ):
        assert part in ended.stdout
    assert ended.stderr == (
        "cortex-serve: some versions would not be served; the last column says why\n"
    )


def test_check_needs_a_repository(tmp_path: Path) -> None:
    assert run(str(tmp_path / "nowhere"), "--check").returncode == 3


def test_check_of_nothing_is_no_success(tmp_path: Path) -> None:
    ended = run(str(tmp_path), "--check")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith(f"cortex-serve: {tmp_path}: holds no model to check; a model ")
