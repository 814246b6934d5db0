"""The architectures that Keras brings, with random weights: written by it, imported, and proved.

    python benchmarks/zoo.py [NAME …] [--few] [--package tf_keras] [--write docs/zoo.md]

Each is written as ``.h5`` and as ``.keras``; each file is imported with ``--reference keras`` in a
process of its own, whose time and memory the table tells. Batch statistics are those of random
images, so that what flows through a hundred layers stays of the size it would have in use.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

SMALLEST = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
SIZE = 64
FAMILIES = {
    "ConvNeXt": ("Tiny", "Small", "Base", "Large", "XLarge"),
    "DenseNet": ("121", "169", "201"),
    "EfficientNet": tuple(f"B{n}" for n in range(8)),
    "EfficientNetV2": ("B0", "B1", "B2", "B3", "S", "M", "L"),
    "Inception": ("ResNetV2", "V3"),
    "MobileNet": ("", "V2", "V3Large", "V3Small"),
    "NASNet": ("Mobile", "Large"),
    "ResNet": ("50", "101", "152", "50V2", "101V2", "152V2"),
    "VGG": ("16", "19"),
    "Xception": ("",),
}
ALL = tuple(f"{family}{member}" for family, members in FAMILIES.items() for member in members)
FEW = ("MobileNet", "MobileNetV2", "EfficientNetB0", "DenseNet121", "ConvNeXtTiny")
"""Five that have most kinds of layers between them."""
TEN = (
    "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionV3", "MobileNet",
    "MobileNetV2", "MobileNetV3Small", "NASNetMobile", "ResNet50V2", "VGG16",
)  # fmt: skip
"""A sample for Keras 2."""
QUIET = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
    "KERAS_BACKEND": "jax",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
COLUMNS = (
    ("architecture", "name"), ("file", "file"), ("parameters", "parameters"), ("layers", "layers"),
    ("largest difference", "largest"), ("seconds", "seconds"), ("MB", "megabytes"),
    ("date", "date"), ("verdict", "verdict"),
)  # fmt: skip

INTRODUCTION = """# The zoo

The architectures that Keras brings, with random weights and small images: written by Keras,
imported with `--reference keras`, and compared layer by layer. `make zoo` renews the tables; a
difference is relative to the scale of its layer. The seconds are those of the import with all of
its checks, Keras included; the memory is that of the importer alone. *Verified as rewritten*: Keras
cannot read the file it wrote, and ran the model as we rewrote it."""

Row = dict[str, Any]


def main() -> int:
    """Prints the table, and writes it where it is told; 1 if a file is not verified."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="architectures; by default all")
    parser.add_argument("--few", action="store_true", help="five small ones")
    parser.add_argument("--package", default="keras", help="keras or tf_keras")
    parser.add_argument("--write", type=Path, help="a page to keep the table in")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        print(json.dumps(STEPS[given.step](*given.names)))
        return 0
    names = given.names or (FEW if given.few else ALL if given.package == "keras" else TEN)
    rows: list[Row] = []
    print(_line([title for title, _ in COLUMNS]))
    for name in names:
        for row in _tried(given.package, name):
            rows.append(row)
            print(_told(row), flush=True)
        if given.write:
            _write(given.write, given.package, rows)
    return 0 if all(row["verdict"].startswith("verified") for row in rows) else 1


def _tried(package: str, name: str) -> Iterator[Row]:
    """What became of each file of an architecture."""
    with tempfile.TemporaryDirectory(prefix="cortex-zoo-") as folder:
        built = _step("build", package, name, folder)
        if "problem" in built:
            yield {"name": name, "file": "", "verdict": f"not written: {built['problem']}"}
            return
        for file in built["files"]:
            row = {"name": name, "file": Path(file).suffix, **_step("load", file)}
            yield {"verdict": f"refused: {row['problem']}", **row} if "problem" in row else row


def _step(step: str, *arguments: str) -> Row:
    command = [sys.executable, __file__, *arguments, "--step", step]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **QUIET}
    )
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return {"problem": said[-1] if said else f"it ended with {done.returncode}"}


def build(package: str, name: str, folder: str) -> Row:
    """Has Keras write an architecture in each of its formats."""
    keras: Any = __import__(package)
    size = SMALLEST.get(name, SIZE)
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3))
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (8, size, size, 3)).astype(np.float32)  # as those of the import
    _fill(model, rng)
    _learn_statistics(model, images)
    found = np.asarray(model(images, training=False))
    if not np.isfinite(found).all() or found.std() == 0:
        raise ValueError(f"{name}: what it puts out says nothing")
    files = [Path(folder) / f"{name}{suffix}" for suffix in (".h5", ".keras")]
    for file in files:
        model.save(file)
    return {"files": [str(file) for file in files]}


def _fill(model: Any, rng: np.random.Generator) -> None:
    """Random numbers where Keras begins with constants."""
    for weight in model.weights:
        shape = tuple(weight.shape)
        kind = (getattr(weight, "path", None) or weight.name).rpartition("/")[2].split(":")[0]
        if "gamma" in kind:
            weight.assign(rng.uniform(0.5, 1.0, shape))
        elif "beta" in kind or "bias" in kind:
            weight.assign(rng.uniform(-0.1, 0.1, shape))


def _learn_statistics(model: Any, images: Any) -> None:
    """Moments of what really arrives, then all of them changed a little."""
    layers = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
    usual = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    model(images, training=True)
    for layer, momentum in zip(layers, usual, strict=True):
        layer.momentum = momentum
        layer.moving_variance.assign(np.asarray(layer.moving_variance) * 1.1 + 0.01)


def load(file: str) -> Row:
    """Imports a file and says what it took."""
    from cortex.importer import load as read

    start = time.monotonic()
    imported = read(file, reference="keras")
    graph, report = imported.network.graph, imported.report
    return {
        "parameters": sum(tensor.size for tensor in graph.parameters.values()),
        "layers": len(graph.layers),
        "largest": report.largest,
        "seconds": time.monotonic() - start,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "verdict": _verdict(report),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def _verdict(report: Any) -> str:
    if report.verified:
        return f"verified: {report.reference}"
    if report.agrees and report.evidence == "keras-rewritten":
        return f"verified as rewritten: {report.reference}"
    difference = report.first_difference
    return f"differs at {difference.layer}" if difference else "not verified"


STEPS = {"build": build, "load": load}


def _cell(row: Row, key: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:.1e}" if key == "largest" else f"{value:,.0f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _told(row: Row) -> str:
    return _line([_cell(row, key) for _, key in COLUMNS])


def _write(page: Path, package: str, rows: Sequence[Row]) -> None:
    """Puts the rows into the table of their package; what else is there stays."""
    tables: dict[str, dict[str, str]] = {}
    kept: dict[str, str] = {}
    for line in page.read_text().splitlines() if page.exists() else ():
        if line.startswith("## "):
            kept = tables.setdefault(line.removeprefix("## "), {})
        elif line.startswith("| ") and not line.startswith(("| architecture", "| ---")):
            kept["|".join(line.split("|")[1:3])] = line
    table = tables.setdefault(package, {})
    for row in rows:
        line = _told(row)
        table["|".join(line.split("|")[1:3])] = line
    head = [_line([title for title, _ in COLUMNS]), _line(["---"] * len(COLUMNS))]
    sections = ["\n".join([f"## {n}", "", *head, *sorted(t.values())]) for n, t in tables.items()]
    page.write_text("\n\n".join([INTRODUCTION, *sections]) + "\n")


if __name__ == "__main__":
    sys.exit(main())
