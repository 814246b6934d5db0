"""``cortex-train``: from a spec to a saved network, and what each option does."""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image

from cortex.runtime.network import Network
from cortex.runtime.spec.cli import main

SPEC: dict[str, Any] = {
    "network": [
        {"type": "input", "size": 4},
        {"type": "linear", "units": 8},
        "relu",
        {"type": "dropout", "rate": 0.1},
        {"type": "linear", "units": 3},
        "softmax",
    ],
    "data": {"type": "npz", "path": "d.npz"},
    "validation": 20,
    "optimizer": {"type": "adam", "rate": 0.01},
    "batch_size": 16,
    "epochs": 3,
}
COMMAND = [sys.executable, "-c", "from cortex.runtime.spec.cli import main; main()"]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command configures logging for its whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a spec and its data, which is where the command runs."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    np.savez("d.npz", input=x, target=x[:, :3].argmax(1))
    Path("s.yaml").write_text(yaml.safe_dump(SPEC))
    return tmp_path


def train(*arguments: str, spec: str = "s.yaml") -> Result:
    return CliRunner().invoke(main, [spec, *arguments])


def trained(*arguments: str) -> str:
    found = train(*arguments)
    assert found.exit_code == 0, found.stderr
    return found.stdout


def test_a_spec_becomes_a_saved_network(folder: Path) -> None:
    told = trained()
    assert "Parameter count: 67" in told
    assert "epoch 3/3  loss " in told
    assert "saved s.safetensors: new best" in told
    assert "best: epoch " in told
    network = Network.load(folder / "s.safetensors")
    found = network.run({"input-1": np.zeros((2, 4), np.float32)})
    assert found["softmax-1"].shape == (2, 3)


def test_a_run_that_is_resumed_ends_as_one_that_never_stopped(folder: Path) -> None:
    trained("--checkpoint", "whole.safetensors", "--epochs", "4")
    trained("--checkpoint", "part.safetensors", "--epochs", "2")
    told = trained("--checkpoint", "part.safetensors", "--epochs", "4", "--resume")
    assert "going on after epoch 2" in told
    whole, part = (Network.load(folder / f"{name}.safetensors") for name in ("whole", "part"))
    for name, array in whole.parameters.items():
        assert np.array_equal(array, part.parameters[name])


def test_files_are_written_where_options_say(folder: Path) -> None:
    trained(
        "--save", "out/best.safetensors", "--checkpoint", "out/last.safetensors", "--history", "2",
        "--log", "out/log.csv", "--tensorboard", "out/tb", "--evaluate-every", "3",
        "--set", "optimizer.rate=0.02", "--batch-size", "8", "--shards", "2", "--dtype", "float64",
        "--seed", "7",
    )  # fmt: skip
    names = {path.name for path in (folder / "out").iterdir()}
    assert {"best.safetensors", "last-2.safetensors", "last-3.safetensors", "log.csv"} <= names
    head, first, *_, last = (folder / "out" / "log.csv").read_text().splitlines()
    assert head.split(",")[:4] == ["epoch", "loss", "validation loss", "accuracy"]
    assert first.split(",")[3] == ""
    assert last.split(",")[4] == "0.02"


def test_every_term_of_the_loss_is_told(folder: Path) -> None:
    losses = "losses=[{loss: l1, on: relu-1, weight: 0.01}, {loss: l2, on: linear-1/kernel}]"
    told = trained("--set", losses, "--log", "log.csv")
    terms = r"  loss = cross_entropy of softmax-1 [\d.]+ \+ l1 of relu-1 [\d.]+ \+ penalties [\d.]+"
    assert len(re.findall(terms, told)) == 3
    names = (folder / "log.csv").read_text().splitlines()[0].split(",")
    assert names[1:5] == ["loss", "cross_entropy of softmax-1", "l1 of relu-1", "penalties"]


def test_a_network_is_published_where_a_server_finds_it(folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert "published models/s/1" in trained("--publish", "models", "--epochs", "1")
    assert (folder / "models" / "s" / "1" / "model.onnx").exists()


def test_nothing_is_trained_by_what_only_looks(folder: Path) -> None:
    assert "together" in trained("--dry-run", "--data", "nowhere")  # the data are not asked
    assert "linear-1/kernel   30 elements  error" in trained("--check-gradients")
    assert "linear-1" in trained("--profile")
    open_shape = [{"type": "input", "shape": ["T", 4]}, {"type": "lstm", "units": 3}]
    Path("plain.yaml").write_text(yaml.safe_dump({"network": open_shape}))
    told = train("--dry-run", spec="plain.yaml").stdout
    assert "assumed: T is 16, which only the data say" in told
    assert "together" in told
    assert sorted(path.name for path in folder.iterdir()) == ["d.npz", "plain.yaml", "s.yaml"]


def test_the_schema_needs_no_spec() -> None:
    found = CliRunner().invoke(main, ["--schema"])
    assert found.exit_code == 0
    assert json.loads(found.stdout)["properties"]["batch_size"]["default"] == 128


def wrong_data() -> None:
    """Labels that are no class, and a class with a broken picture."""
    with np.load("d.npz") as file:
        np.savez("wrong.npz", input=file["input"], target=np.full(100, 7))
    for name in ("cat", "cow", "dog"):
        Path("photos", name).mkdir(parents=True)
        for i in range(20):
            Image.new("L", (2, 2)).save(Path("photos", name, f"{i}.png"))
    Path("photos", "cat", "2.png").write_bytes(b"no picture")


REFUSED: list[tuple[list[str], int, str]] = [
    (["--set", "network.1.unit=3"], 3, "s.yaml: network.1.unit: no such option"),
    (["--set", "network.4.units=0"], 3, "network.4: layer 'linear-2'"),
    (["--set", "network.0.size=5"], 2, "'input-1'"),
    (["--set", "network.4.units=2"], 2, "'softmax-1:target'"),
    (["--set", "data.path=none.npz"], 3, "none.npz"),
    (["--set", "data.path=wrong.npz"], 2, "target 'softmax-1:target': 7 is no class; they are 0"),
    (
        ["--set", "data={type: pictures, height: 2, width: 2, channels: 1, path: photos}"],
        3,
        "photos/cat/2.png: no picture",
    ),
    (["--set", "data=null"], 2, "data: is missing"),
    (["--set", "goal=f1"], 2, "goal 'f1'"),
    (["--set", "optimizer.rate=1e30"], 3, "no longer finite"),
    (["--set", "x"], 2, "--set x: write it as PATH=VALUE"),
    (["--data", "nowhere"], 3, "nowhere/d.npz"),
    (["--resume"], 2, "--resume: s-last.safetensors: no such file"),
    (["--resume", "--dry-run"], 2, "of --resume, --dry-run"),
    (["--trials", "2"], 2, "nothing says !hyperopt"),
    (["--device", "tpu"], 2, "device 'tpu'"),
    (["--epochs", "0"], 2, "--epochs"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), REFUSED)
def test_what_makes_no_sense_is_one_line(
    folder: Path, arguments: list[str], code: int, message: str
) -> None:
    wrong_data()
    found = train(*arguments)
    assert (found.exit_code, message in found.stderr) == (code, True), found.stderr
    assert found.stderr.startswith("cortex-train: ")
    assert found.stderr.count("\n") == 1


def test_a_checkpoint_of_another_network_is_refused(folder: Path) -> None:
    trained()
    found = train("--resume", "--epochs", "5", "--set", "network.1.units=9")
    assert found.exit_code == 2
    assert "holds another network" in found.stderr


def test_a_full_disk_is_one_line_and_loses_nothing(folder: Path) -> None:
    trained()
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    limited = ["bash", "-c", 'ulimit -f 1; exec "$@"', "-", *COMMAND, "s.yaml", "--resume"]
    found = subprocess.run([*limited, "--epochs", "9"], capture_output=True, text=True)
    assert found.returncode == 3
    assert found.stderr == (
        "cortex-train: s-last.safetensors: cannot be written: File too large; "
        "what was there before is untouched\n"
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept
    assert "going on after epoch 3" in trained("--resume", "--epochs", "4")


RANGES = """
network:
  - {type: input, size: 4}
  - {type: linear, units: !hyperopt units INT 2 16}
  - !hyperopt activation CHOICE relu tanh
  - {type: linear, units: 3}
  - softmax
optimizer: {type: adam, rate: !hyperopt rate FLOAT 1e-3 1e-1 LOG}
data: {type: npz, path: d.npz}
validation: 20
epochs: 2
"""


def test_a_search_goes_on_and_keeps_the_best(folder: Path) -> None:
    pytest.importorskip("optuna")
    Path("r.yaml").write_text(RANGES)
    assert "is to be searched for; give --trials" in train(spec="r.yaml").stderr
    assert train("--trials", "2", spec="r.yaml").exit_code == 0
    found = train("--trials", "3", spec="r.yaml")
    assert found.exit_code == 0, found.stderr
    assert found.stdout.count("epoch 1/2") == 1
    *_, head, first, second, third, best = found.stdout.splitlines()
    assert head.split() == ["trial", "state", "value", "units", "activation", "rate"]
    values = [line.split()[2] for line in (first, second, third)]
    assert values == sorted(values, reverse=True)
    assert len({line.split()[-1] for line in (first, second, third)}) == 3
    assert best.startswith(f"best: trial {first.split()[0]}: --set network.1.units=")
    units = int(first.split()[3])
    kept = Network.load(folder / "r.safetensors")
    assert kept.parameters["linear-1/kernel"].shape == (4, units)
    assert not list(folder.glob("*trial*"))


def test_a_name_that_stands_for_two_ranges_is_refused(folder: Path) -> None:
    Path("r.yaml").write_text("a: !hyperopt x INT 1 2\nb: !hyperopt x INT 1 3")
    found = train("--trials", "1", spec="r.yaml")
    assert (found.exit_code, "b: 'x' is another range" in found.stderr) == (2, True)


HELP = """
import sys
from cortex.runtime.spec.cli import main
try:
    main(["--help"])
finally:
    print(*sys.modules)
"""


def test_help_loads_little() -> None:
    found = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    assert "Usage:" in found.stdout
    assert not {"numpy", "pydantic", "yaml", "rich", "onnx"} & set(found.stdout.split())


@pytest.mark.slow
def test_ctrl_c_stops_after_the_batch_and_keeps_what_was_learnt(folder: Path) -> None:
    process = subprocess.Popen([*COMMAND, "s.yaml", "--epochs", "1000000"], stdout=subprocess.PIPE)
    checkpoint = folder / "s-last.safetensors"
    for _ in range(300):
        if checkpoint.exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert re.search(rb"interrupted after (epoch \d+|\d+ batch(es)? of epoch \d+)", told)
    assert Network.load(checkpoint).parameters
