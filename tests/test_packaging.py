"""What is installed is what is in the folders, and importing the runtime loads little."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"grpc", "onnxruntime", "h5py", "cupy", "keras", "torch", "sklearn", "prometheus_client"}


def modules(package: str) -> list[str]:
    """The modules of one of the packages, by the names they are imported under."""
    names: list[str] = []
    for path in sorted((ROOT / package).rglob("*.py")):
        *folders, name = path.relative_to(ROOT).with_suffix("").parts
        names.append(".".join(["cortex", *folders, *([name] if name != "__init__" else [])]))
    return names


def test_every_folder_with_code_is_installed() -> None:
    """One that pyproject lacks is missing from the wheel, in silence."""
    folders = {
        ".".join(["cortex", *path.parent.relative_to(ROOT).parts])
        for package in ("importer", "runtime", "serving")
        for path in (ROOT / package).rglob("*.py")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = project["tool"]["setuptools"]["packages"]
    assert sorted(declared) == sorted(folders)


@pytest.mark.parametrize("package", ["importer", "runtime", "serving"])
def test_every_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()


def output(code: str, *arguments: str) -> list[str]:
    """What a fresh interpreter prints, by words."""
    found = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    return found.stdout.split()


IMPORT_ALL = """
import sys
from importlib import import_module

for name in sys.argv[1:]:
    import_module(name)
print(*sys.modules)
"""
IMPORT_EACH_FIRST = """
import sys
from importlib import import_module

for name in sys.argv[1:]:
    for loaded in [each for each in sys.modules if each.startswith("cortex.")]:
        del sys.modules[loaded]
    import_module(name)
"""


def test_the_runtime_loads_nothing_heavy() -> None:
    light = [name for name in modules("runtime") if not name.startswith("cortex.runtime.hdf5.")]
    loaded = {name.partition(".")[0] for name in output(IMPORT_ALL, *light)}
    assert loaded & HEAVY == set()
    assert "numpy" in loaded


@pytest.mark.parametrize("package", ["importer", "runtime", "serving"])
def test_every_module_can_be_imported_first(package: str) -> None:
    """There is no circle of imports that works in one order only."""
    output(IMPORT_EACH_FIRST, *modules(package))
