"""The command cortex-import."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..runtime.command import command
from ..runtime.errors import Disagreement, UsageError, WeakEvidence

if TYPE_CHECKING:
    from ..runtime.report import Evidence, ValueStatistics
    from ..runtime.repository import ModelVersion
    from .imported import Imported, Precision
    from .preprocessing import Mode
    from .source import Layout
    from .untouched import Untouched

FILE = click.Path(readable=False, path_type=Path)  # who opens it says what is wrong


def _list_layers() -> str:
    from .catalogue import as_text

    return as_text()


def _list_architectures() -> str:
    from .architectures import names

    return "\n".join(names())


def _listing(what: Callable[[], str]) -> Callable[[click.Context, click.Parameter, bool], None]:
    """The callback of an option that prints something and ends the command."""

    def show(context: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted:
            click.echo(what())
            context.exit()

    return show


def _shapes(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> Mapping[str, tuple[int, ...]]:
    """The values of --input-shape, by the input's name, which may be left out of the only one."""
    found: dict[str, tuple[int, ...]] = {}
    for text in given:
        name, _, sizes = text.rpartition("=")
        parts = sizes.split(",")
        if name in found or not all(re.fullmatch(r"[1-9]\d{0,8}", part) for part in parts):
            raise UsageError(f"--input-shape {text}: use whole numbers, such as 3,224,224")
        found[name] = tuple(int(part) for part in parts)
    return found


@command("cortex-import")
@click.argument("file", type=FILE)
@click.option("--list-layers", is_flag=True, is_eager=True, expose_value=False,
              callback=_listing(_list_layers),
              help="List the layers of each format that are read, with their options.")  # fmt: skip
@click.option("--list-architectures", is_flag=True, is_eager=True, expose_value=False,
              callback=_listing(_list_architectures),
              help="List the architectures that are built in.")  # fmt: skip
@click.option("--weights", type=FILE, help="Weights for an architecture without them.")
@click.option("--architecture", metavar="NAME",
              help="Built-in architecture for a file of weights only.")  # fmt: skip
@click.option("--keras1-backend", type=click.Choice(["theano", "tensorflow"]),
              help="What wrote a file of Keras 1 that does not tell.")  # fmt: skip
@click.option("--input-layout", type=click.Choice(["channels_first", "channels_last"]),
              help="How images are given to a network of thinktopic/cortex; default: with their "
              "channels first, as there.")  # fmt: skip
@click.option("--substitute", type=FILE,
              help="Mapping (YAML) that says what Lambda and custom layers compute.")  # fmt: skip
@click.option("--plugin", "plugins", multiple=True, metavar="NAME",
              help="Converters of an installed package, by their entry point.")  # fmt: skip
@click.option(
    "--repository", type=FILE, default=Path("models"), show_default=True, help="Where to install."
)
@click.option("--name", help="Name of the model; default: from the file's name.")
@click.option("--version", type=click.IntRange(min=1), help="Version; default: the next number.")
@click.option("--reference", help="Recorded outputs (FILE.h5), or 'keras' to ask real Keras; "
              "default: NAME.reference.h5 beside the file.")  # fmt: skip
@click.option("--require-evidence", type=click.Choice(["recorded", "keras", "onnxruntime"]),
              help="Refuse a model with less.")  # fmt: skip
@click.option("--input", "inputs", type=FILE, help="Input to check with (.npy, .npz).")
@click.option("--tolerance", type=float, default=1e-4, show_default=True,
              help="Largest difference of a layer, relative to its scale.")  # fmt: skip
@click.option(
    "--labels", type=FILE, help="What the classes are called: a line each, or a JSON list."
)
@click.option("--preprocessing", type=click.Choice(["caffe", "tf", "torch", "none"]),
              help="What pictures go through before the model, as keras.applications call it; "
              "default: by the architecture, if it is one of theirs.")  # fmt: skip
@click.option("--precision", type=click.Choice(["float32", "float16"]), default="float32",
              show_default=True, help="What weights are stored and computed in.")  # fmt: skip
@click.option("--input-shape", "input_shapes", multiple=True, metavar="[NAME=]N,...",
              callback=_shapes,
              help="Shape of one example of an input, without the batch, where the file does not "
              "say it: 3,224,224.")  # fmt: skip
@click.option("--training-spec", type=FILE,
              help="Also write a spec for cortex-train that goes on from the model; for a "
              "description without weights, that alone.")  # fmt: skip
@click.option("--no-install", is_flag=True, help="Only check.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def main(
    file: Path,
    weights: Path | None,
    architecture: str | None,
    keras1_backend: str | None,
    input_layout: Layout | None,
    input_shapes: Mapping[str, tuple[int, ...]],
    substitute: Path | None,
    plugins: tuple[str, ...],
    repository: Path,
    name: str | None,
    version: int | None,
    reference: str | None,
    require_evidence: Evidence | None,
    inputs: Path | None,
    tolerance: float,
    labels: Path | None,
    preprocessing: Mode | None,
    precision: Precision,
    training_spec: Path | None,
    no_install: bool,
    as_json: bool,
) -> None:
    """Reads a model FILE, proves every layer's output, and installs the model in a repository.

    Exit codes: 0 done, 1 outputs disagree (nothing is installed), 2 usage or no such file, 3 a file
    cannot be read or holds something unsupported, 130 interrupted.
    """
    from ..runtime.repository import ModelVersion, install, slug
    from .configuration import configured, write
    from .formats import untrained
    from .imported import read_any
    from .keras.plugins import load_plugin
    from .proof import KERAS, WEAKEST, Proof
    from .source import ModelSource

    recorded = Path(reference) if reference and reference != KERAS else None
    _check_there(file, weights, substitute, recorded, inputs, labels)
    proof = Proof(reference, inputs, tolerance, required=require_evidence or WEAKEST)
    for plugin in plugins:
        load_plugin(plugin)
    source = ModelSource(
        file, weights, architecture, keras1_backend, substitute, input_layout, input_shapes
    )
    if training_spec and (description := untrained(source)) is not None:
        _write_spec(training_spec, description)
        return
    if training_spec and no_install:
        raise UsageError("--training-spec: it goes on from what is installed; drop --no-install")
    imported = read_any(source, proof, precision)
    name = slug(file.stem) if name is None else name
    config = configured(imported.graph, labels, preprocessing, imported.preprocessing)
    if no_install:
        with tempfile.TemporaryDirectory(prefix="cortex-") as folder:
            _prove(imported, ModelVersion(name, 0, Path(folder)), None, as_json)
        return
    with install(repository, name, version) as target:
        place = repository / name / str(target.version)
        _prove(imported, target, place, as_json)
    written = write(config, repository, name)
    if training_spec:
        _write_spec(training_spec, imported.training, repository / name)
    if not as_json:
        for what in written:
            click.echo(f"config.json: {what}")
        click.echo(f"installed {place}")


def _write_spec(path: Path, training: Mapping[str, Any], model: Path | None = None) -> None:
    from .training import write_spec  # the schema of specs takes a while to load

    write_spec(path, training, model)


def _check_there(*paths: Path | None) -> None:
    """A name that is misspelt on the command line is no damaged file."""
    for path in paths:
        if path is not None and not path.exists():
            raise UsageError(f"{path}: no such file")


def _prove(
    imported: Imported | Untouched, target: ModelVersion, place: Path | None, as_json: bool
) -> None:
    """Writes and proves the model in the folder of ``target``; raises unless it is accepted."""
    from .show import progress, show

    count = len(imported.graph.layers) if imported.graph else 0
    with progress(f"proving {count} layers of {target.name}"):
        report = imported.write(target, place)
    if as_json:
        click.echo(report.to_json())
    else:
        show(report)
    path, required = imported.path, imported.proof.required
    if difference := report.first_difference:
        raise Disagreement(
            f"{path}: layer {difference.layer!r} is the first that differs "
            f"({difference.engine}): found {_numbers(difference.found)}, "
            f"expected {_numbers(difference.expected)}; nothing was installed"
        )
    if not report.accepted(required):
        raise WeakEvidence(
            f"{path}: the evidence is {report.evidence!r}, "
            f"--require-evidence asks for {required!r}; nothing was installed"
        )


def _numbers(value: ValueStatistics) -> str:
    numbers = {"mean": value.mean, "std": value.std, "min": value.min, "max": value.max}
    told = " ".join(f"{k} {'not finite' if n is None else f'{n:.6g}'}" for k, n in numbers.items())
    return f"shape {value.shape} {told}"
