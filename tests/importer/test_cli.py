"""The command cortex-import: what it prints, where, and what it ends with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from cortex.importer import load
from cortex.importer.cli import main
from cortex.runtime import repository
from cortex.runtime.digests import digests
from cortex.runtime.report import Report

from .keras_files import dense_arrays, entry, functional, given, link, small_model, write

DIGITS = Path(__file__).parents[2] / "examples" / "digits.h5"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_model(tmp_path / "Small Model.h5")


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def recorded(path: Path, model: Path, wrong: bool = False) -> Path:
    """A reference file of what our own engine computes, or of something else."""
    network = load(model).network
    x = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    values = network.run({"x": x}, list(network.graph.layers))
    with h5py.File(path, "w") as file:
        file["inputs/x"] = x
        file["outputs/0"] = values["classes"]
        for name, value in values.items():
            file[f"layer_outputs/{name}"] = value + (0.5 if wrong and name == "hidden" else 0)
    return path


def test_installs_and_says_so(model: Path, tmp_path: Path) -> None:
    result = run(model, "--repository", tmp_path / "models")
    assert result.exit_code == 0, result.stderr
    assert "consistent (two engines agree, no outputs from outside)" in result.stdout
    assert "hidden" in result.stdout
    assert result.stdout.endswith(f"installed {tmp_path / 'models' / 'small-model' / '1'}\n")
    assert result.stderr == ""
    (version,) = repository.versions(tmp_path / "models")
    assert (version.name, version.version) == ("small-model", 1)
    assert {file.name for file in version.path.iterdir()} == {
        "model.onnx",
        "weights.safetensors",
        "check.safetensors",
        "report.json",
    }


def test_the_next_version_by_default(model: Path, tmp_path: Path) -> None:
    for arguments in ([], [], ["--version", 7], []):
        assert run(model, "--repository", tmp_path, "--name", "m", *arguments).exit_code == 0
    assert [at.version for at in repository.versions(tmp_path)] == [1, 2, 7, 8]


def test_json_is_one_object_of_the_schema(model: Path, tmp_path: Path) -> None:
    result = run(model, "--repository", tmp_path / "models", "--json")
    report = Report.model_validate_json(result.stdout)
    assert report.evidence == "engines"
    assert not report.verified
    assert report.source.keras_version == "2.4.0"
    assert [(at.name, at.class_, at.parameters) for at in report.layers] == [
        ("x", "InputLayer", 0),
        ("hidden", "Dense", 15),
        ("classes", "Dense", 8),
    ]
    assert report.path
    assert json.loads((Path(report.path) / "report.json").read_text()) == json.loads(result.stdout)
    assert report.files == digests(Path(report.path), repository.SERVED)


def test_the_schema_is_a_stable_interface() -> None:
    schema = Report.model_json_schema(by_alias=True)
    assert list(schema["properties"]) == [
        "model",
        "version",
        "path",
        "verified",
        "evidence",
        "reference",
        "source",
        "layers",
        "outputs",
        "first_difference",
        "seconds",
        "warnings",
        "notes",
        "files",
    ]
    assert set(schema["$defs"]["LayerReport"]["properties"]) == {
        "name",
        "class",
        "output_shape",
        "parameters",
        "max_abs",
        "scale",
        "ok",
        "outside",
    }
    assert set(schema["$defs"]["Source"]["properties"]) == {
        "file",
        "sha256",
        "format",
        "keras_version",
    }


def test_a_reference_beside_the_file_verifies(model: Path, tmp_path: Path) -> None:
    recorded(model.with_name("Small Model.reference.h5"), model)
    result = run(model, "--repository", tmp_path / "models")
    assert result.exit_code == 0
    assert "verified by recorded outputs (Small Model.reference.h5)" in result.stdout


def test_a_reference_that_leaves_out_an_output_verifies_nothing(
    model: Path, tmp_path: Path
) -> None:
    reference = recorded(tmp_path / "partial.h5", model)
    with h5py.File(reference, "r+") as file:
        del file["outputs"], file["layer_outputs/classes"]
    arguments = [model, "--repository", tmp_path / "models", "--reference", reference]
    report = Report.model_validate_json(run(*arguments, "--json").stdout)
    assert not report.verified
    assert report.warnings == ("the reference says nothing of the output 'classes'",)
    assert "partial.h5, which does not prove the whole of it" in run(*arguments).stdout


def test_a_reference_of_another_model_verifies_nothing(model: Path, tmp_path: Path) -> None:
    reference = recorded(tmp_path / "other.h5", model)
    with h5py.File(reference, "r+") as file:
        file.move("layer_outputs/hidden", "layer_outputs/secret")
    result = run(model, "--no-install", "--reference", reference)
    assert "the reference has a layer 'secret', the model has none of that name" in result.stdout
    assert "consistent" in result.stdout
    assert "2 of 3 layers" in result.stdout
    report = Report.model_validate_json(
        run(model, "--no-install", "--reference", reference, "--json").stdout
    )
    assert [layer.outside for layer in report.layers] == [True, False, True]
    assert not report.verified


def test_a_network_of_no_numbers_proves_nothing(tmp_path: Path) -> None:
    path = small_model(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        file["model_weights/hidden/hidden/kernel:0"][...] = np.nan  # pyright: ignore
    result = run(path, "--repository", tmp_path / "models")
    assert result.exit_code == 1
    assert "the array 'hidden/kernel' holds numbers that are not finite" in result.stdout
    assert list((tmp_path / "models").iterdir()) == []


def test_inputs_of_any_precision_will_do(model: Path, tmp_path: Path) -> None:
    for dtype in ("float64", "int64", "float16"):
        np.save(tmp_path / "x.npy", np.ones((2, 4), dtype))
        result = run(model, "--no-install", "--input", tmp_path / "x.npy")
        assert result.exit_code == 0, result.stderr


def test_outputs_that_disagree_are_not_installed(model: Path, tmp_path: Path) -> None:
    reference = recorded(tmp_path / "other.h5", model, wrong=True)
    result = run(model, "--repository", tmp_path / "models", "--reference", reference)
    assert result.exit_code == 1
    assert "differs" in result.stdout
    assert (
        "layer 'hidden' is the first that differs (numpy float64): found shape (3, 3)"
        in result.stderr
    )
    assert "nothing was installed" in result.stderr
    assert list((tmp_path / "models").iterdir()) == []


def test_only_checking_installs_nothing(model: Path, tmp_path: Path) -> None:
    result = run(model, "--repository", tmp_path / "models", "--no-install")
    assert result.exit_code == 0
    assert not (tmp_path / "models").exists()
    assert "installed" not in result.stdout


@pytest.mark.parametrize("required", ["recorded", "keras"])
def test_weak_evidence_can_be_refused(required: str, model: Path, tmp_path: Path) -> None:
    arguments = [model, "--repository", tmp_path / "models", "--require-evidence", required]
    assert json.loads(run(*arguments, "--json").stdout)["path"] is None
    result = run(*arguments)
    assert result.exit_code == 3
    assert f"the evidence is 'engines', --require-evidence asks for '{required}'" in result.stderr
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("text", ["no\nyes\n", '["no", "yes"]'])
def test_labels_go_into_the_configuration(text: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text(text)
    run(model, "--repository", tmp_path / "models", "--labels", tmp_path / "labels", "--name", "m")
    (version,) = repository.versions(tmp_path / "models")
    assert version.config().labels == ("no", "yes")


def test_an_input_of_ones_own(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((5, 4), np.float32))
    result = run(model, "--repository", tmp_path / "m", "--input", tmp_path / "x.npy")
    assert result.exit_code == 0
    check = repository.versions(tmp_path / "m")[0].check()
    assert check
    np.testing.assert_array_equal(check.inputs["x"], np.ones((5, 4)))


def files(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.ones((5, 9), np.float32))
    np.savez(tmp_path / "named.npz", y=np.ones((5, 4), np.float32))
    np.save(tmp_path / "infinite.npy", np.full((2, 4), np.inf))
    (tmp_path / "latin").write_bytes(b"a\xff")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "three").write_text("a\nb\nc\n")
    (tmp_path / "numbers").write_text("[1, 2]")
    (tmp_path / "broken").write_text("[1, ")
    small_model(tmp_path / "model.h5")
    recorded(tmp_path / "ok.h5", tmp_path / "model.h5")
    with h5py.File(tmp_path / "named.h5", "w") as file:
        file["inputs/a"] = file["inputs/b"] = np.zeros((2, 4), np.float32)
    write(
        tmp_path / "wrong.h5",
        functional(given(), entry("Dense", "d", link("x"), units=3, use_bias=False)),
        {"d": {"kernel:0": np.zeros((5, 3), np.float32)}},
    )
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "layers.yaml").write_text("config: [1, 2]")
    layers = [entry("Foo", "foo"), entry("Dense", "d", units=3)]
    (tmp_path / "foo.json").write_text(
        json.dumps({"class_name": "Sequential", "config": {"layers": layers}})
    )
    dense = functional(given(), entry("Dense", "d", link("x"), units=3, use_bias=True))
    (tmp_path / "dense.json").write_text(json.dumps(dense))
    weights_of(tmp_path / "wide.h5", {"d": dense_arrays(5, 3)})
    weights_of(tmp_path / "unbiased.h5", {"d": {"kernel:0": dense_arrays(4, 3)["kernel:0"]}})
    weights_of(tmp_path / "two.h5", {"d": dense_arrays(4, 3), "e": dense_arrays(3, 3)})


def weights_of(path: Path, layers: Mapping[str, Mapping[str, Any]]) -> None:
    """A file of weights only, as Keras 2 writes it."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.4.0", "tensorflow"
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for name, arrays in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [key.encode() for key in arrays]
            for key, value in arrays.items():
                group[key] = value


BAD: dict[str, tuple[list[str], int, str]] = {
    "no file": ([], 2, "Missing argument 'FILE'"),
    "absent": (["absent.h5"], 2, "absent.h5: no such file"),
    **{
        f"absent {option}": (["model.h5", f"--{option}", "none"], 2, "none: no such file")
        for option in ("weights", "substitute", "reference", "input", "labels")
    },
    "json of something": (
        ["a.json"],
        3,
        "a.json: it is no architecture of Keras, which is an "
        "object with 'class_name' and 'config': found one with 'a'",
    ),
    "yaml of something": (
        ["layers.yaml", "--weights", "wide.h5"],
        3,
        "layers.yaml: it is no architecture of Keras",
    ),
    "an architecture alone": (["dense.json"], 3, "without weights; add --weights FILE.h5"),
    "a class unknown, and no shape": (
        ["foo.json", "--weights", "wide.h5"],
        3,
        "foo.json with wide.h5: no converter for the Keras layers Foo ('foo'); code in a file is "
        "never run: say what they compute by --substitute FILE.yaml",
    ),
    "weights of another shape": (
        ["dense.json", "--weights", "wide.h5"],
        3,
        "dense.json with wide.h5: Keras Dense 'd': its kernel has the shape (5, 3), "
        "its options ask for (4, 3)",
    ),
    "weights that are too few": (
        ["dense.json", "--weights", "unbiased.h5"],
        3,
        "dense.json with unbiased.h5: Keras Dense 'd': its array 'bias' is missing; "
        "stored are kernel",
    ),
    "weights that are too many": (
        ["dense.json", "--weights", "two.h5"],
        3,
        "dense.json with two.h5: the arrays of 'e' would be lost: no layer asks for them",
    ),
    "not a model": (["text"], 3, "text: it is text, but no architecture in JSON or YAML"),
    "unknown option": (["model.h5", "--frobnicate"], 2, "No such option '--frobnicate'"),
    "tolerance": (["model.h5", "--tolerance", "0"], 2, "tolerance 0.0: use a number between"),
    "no tolerance": (["model.h5", "--tolerance", "nan"], 2, "tolerance nan: use a number between"),
    "any tolerance": (["model.h5", "--tolerance", "inf"], 2, "tolerance inf: use a number between"),
    "no name": (["model.h5", "--name", ""], 2, "model name '': use letters"),
    "folder": (["."], 3, ".: it is a folder without the config.json of a Keras 3 model"),
    "pipe of labels": (["model.h5", "--labels", "/dev/zero"], 3, "/dev/zero: not a regular file"),
    "labels not in UTF-8": (
        ["model.h5", "--labels", "latin"],
        3,
        "latin: not text in UTF-8: byte 1",
    ),
    "input that is infinite": (
        ["model.h5", "--input", "infinite.npy"],
        2,
        "infinite.npy: input 'x': it must hold finite numbers",
    ),
    "version": (["model.h5", "--version", "0"], 2, "0 is not in the range x>=1"),
    "name that leaves": (["model.h5", "--name", "../x"], 2, "model name '../x': use letters"),
    "name with a slash": (["model.h5", "--name", "a/b"], 2, "model name 'a/b': use letters"),
    "hidden name": (["model.h5", "--name", ".x"], 2, "model name '.x': use letters"),
    "weights of the wrong shape": (
        ["wrong.h5"],
        3,
        "Keras Dense 'd': its kernel has the shape (5, 3), its options ask for (4, 3)",
    ),
    "input of the wrong shape": (
        ["model.h5", "--input", "wide.npy"],
        2,
        "wide.npy: input 'x': its shape is (5, 9), expected ('N', 4)",
    ),
    "input of another name": (
        ["model.h5", "--input", "named.npz"],
        2,
        "the inputs are ['x'], given were ['y']",
    ),
    "input that is no array": (
        ["model.h5", "--input", "text"],
        3,
        "text: not an .npy or .npz file",
    ),
    "input and reference": (
        ["model.h5", "--reference", "ok.h5", "--input", "wide.npy"],
        2,
        "were recorded for other inputs",
    ),
    "reference that is none": (
        ["model.h5", "--reference", "model.h5"],
        3,
        "it has no group 'inputs'",
    ),
    "reference of another model": (
        ["model.h5", "--reference", "named.h5"],
        3,
        "its inputs are ['a', 'b'], the model's ['x']",
    ),
    "labels of another model": (
        ["model.h5", "--labels", "three"],
        2,
        "three: 3 labels for 2 classes",
    ),
    "labels that are none": (
        ["model.h5", "--labels", "numbers"],
        3,
        "numbers: a label is not a string",
    ),
    "labels in broken JSON": (["model.h5", "--labels", "broken"], 3, "broken: not a JSON list"),
    "repository that is a file": (
        ["model.h5", "--repository", "text"],
        3,
        "cannot install the model: File exists: text; nothing was changed",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_says_what_is_wrong(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, code, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    files(tmp_path)
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "text").read_text() == "hello"
    if code == 3:
        assert result.stderr.count("\n") == 1
    assert not list(tmp_path.glob("models/*"))


def test_an_existing_version_is_kept(model: Path, tmp_path: Path) -> None:
    arguments = [model, "--repository", tmp_path / "r", "--name", "m", "--version", 1]
    assert run(*arguments).exit_code == 0
    before = (tmp_path / "r/m/1/report.json").read_bytes()
    result = run(*arguments)
    assert result.exit_code == 3
    assert "this version exists" in result.stderr
    assert (tmp_path / "r/m/1/report.json").read_bytes() == before


def test_a_full_disk_leaves_nothing_behind(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cortex.runtime.weights.write", full)
    result = run(model, "--repository", tmp_path / "models")
    assert result.exit_code == 3
    assert "cannot install the model: No space left on device; nothing was changed" in result.stderr
    assert list((tmp_path / "models").iterdir()) == []


def test_a_traceback_only_on_demand(tmp_path: Path) -> None:
    assert "Traceback" in run(tmp_path / "absent.h5", "--debug").stderr


def test_help_needs_no_heavy_library() -> None:
    code = "import sys; import cortex.importer.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "h5py", "onnx", "onnxruntime", "pydantic", "rich", "grpc"}
    assert heavy.isdisjoint(done.stdout.split())


def test_the_example_is_verified_by_what_keras_recorded(tmp_path: Path) -> None:
    result = run(DIGITS, "--repository", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "verified by recorded outputs (digits.reference.h5)" in result.stdout


@pytest.mark.slow
def test_real_keras_is_a_witness(tmp_path: Path) -> None:
    result = run(DIGITS, "--repository", tmp_path, "--reference", "keras", "--json")
    assert result.exit_code == 0, result.stderr
    report = Report.model_validate_json(result.stdout)
    assert report.verified
    assert report.evidence == "keras"
    assert report.largest < 1e-5


@pytest.mark.slow
def test_what_real_keras_refuses_it_runs_rewritten(tmp_path: Path) -> None:
    path = small_model(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        config = (
            str(file.attrs["model_config"])
            .replace('"Dense"', '"Dense"')
            .replace(
                '"units": 3',
                '"units": 3, "bias_constraint": {"class_name": "Nobody", "config": {}}',
            )
        )
        file.attrs["model_config"] = config
    result = run(path, "--repository", tmp_path / "m", "--reference", "keras", "--json")
    assert result.exit_code == 0, result.stderr
    report = Report.model_validate_json(result.stdout)
    assert report.evidence == "keras-rewritten"
    assert not report.verified
    assert any("is no witness" in note for note in report.notes)
