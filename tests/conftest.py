"""Where the real model files are, and how many of them a run has used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

if os.environ.get("CORTEX_CI"):  # there a failure is of the change; elsewhere new cases turn up
    settings.register_profile("ci", derandomize=True, deadline=None, database=None)
    settings.load_profile("ci")

CORPUS, DATA = "CORTEX_CORPUS", "CORTEX_DATA"
USED = "corpus file"


def _folder(variable: str) -> Path:
    """The folder a variable names. Unset: the test is skipped. Set but missing: it fails."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: no real files to test with")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"{variable}={value}: no such folder")
    return folder


@pytest.fixture
def corpus(request: pytest.FixtureRequest) -> Any:
    """A function that gives the path of a real model file by its name."""
    folder = _folder(CORPUS)

    def path(name: str) -> Path:
        file = folder / name
        if not file.is_file():
            pytest.fail(f"{CORPUS} lacks {name}")
        request.node.user_properties.append((USED, name))
        return file

    return path


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data to train on."""
    return _folder(DATA)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The last lines say how many real files were used."""
    used = {
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for key, value in getattr(report, "user_properties", ())
        if key == USED
    }
    where = os.environ.get(CORPUS) or f"none: {CORPUS} is not set"
    terminalreporter.write_line(f"real model files used: {len(used)} ({where})")
